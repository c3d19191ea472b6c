"""`dragoman admin audit` searches the audit trail."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import click

from local.options import OperatorError
from services.cli.admin import format, users
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import json_option, prints
from services.cli.console import default_option
from shared.contract.admin import Act, SearchTrail
from shared.contract.ids import NO_ACCOUNT, AccountId

_MOST = 100_000
_DIGITS = 18
"""The most digits of an account's number."""


def day_ms(day: str) -> int:
    """The beginning of a day (UTC) in Unix milliseconds. A day is written like 2026-01-31. Raises OperatorError."""
    try:
        return int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError as error:
        raise OperatorError(f"{day!r} is not a date", "Write it as 2026-01-31") from error


async def search_trail(client: AdminClient, wanted: SearchTrail) -> AsyncIterator[Act]:
    """Fetch all pages of the trail, newest first. Raises RequestError."""
    more = True
    while more:
        page = await client.send(wanted)
        for act in page.acts:
            yield act
            wanted.before = act.number
        more = page.more


def _text(found: Sequence[Act]) -> str:
    heads = ["TIME", "BY", "ACT", "ACCOUNT", "ADDRESS", "DETAIL"]
    rows = (
        (format.moment(one.time), one.by, one.act, format.account(one.account), one.address, one.detail)
        for one in found
    )
    return format.table(heads, rows, "there are no such acts")


@click.command("audit")
@prints(_text)
@click.argument("account", required=False)
@click.option("--act", default="", help="Only acts with this name, spelled as in the list.")
@click.option("--since", metavar="DAY", help="Only acts since this day (UTC), as 2026-01-31.")
@default_option("--limit", 100, "Acts, at most.", click.IntRange(1, _MOST))
@json_option
async def audit(client: AdminClient, account: str | None, act: str, since: str | None, limit: int) -> list[Act]:
    """List logins, changes of accounts, and operators' acts.

    They come newest first.

    ACCOUNT is an OC number, also of a deleted account, a uuid, a username or an e-mail address.
    """
    number = NO_ACCOUNT
    if account is not None:
        is_number = account.isdecimal() and len(account) <= _DIGITS
        number = AccountId(int(account)) if is_number else (await users.find(client, account)).account
    found: list[Act] = []
    async for one in search_trail(client, SearchTrail(number, act, day_ms(since) if since else 0)):
        found.append(one)
        if len(found) == limit:
            break
    return found
