"""`dragoman admin notice`: the same message from the system account to each account, in a chat of the two.

The message's nonce is derived from the notice's name, so an account that has the notice never receives it again.
"""

import asyncio
import hashlib
import sys
import time
from collections.abc import Callable, Sequence

import click
import msgspec

from local.installation import Installation
from services.cli.admin import users
from services.cli.admin.bus_client import USER, AdminClient
from services.cli.admin.command import on_installation, with_client, yes_option
from shared.clock import steady_ms
from shared.contract.admin import ListAccounts, NoticesOpened, OpenNotices
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, SYSTEM_ACCOUNT, AccountId, NodeId, Nonce
from shared.contract.message import Draft, PostMessages
from shared.contract.model import Text

_BATCHES_PER_SECOND = 10
_MAX_BATCH = 100
_MAX_BATCH_BYTES = 256 * 1024
_DRAFT_OVERHEAD_BYTES = 128
"""Overhead of a draft beside its text, with the system account's profile summary."""
_DEADLINE_MS = 24 * 3600 * 1000
"""One day: a late notice does no harm, and the operator's clock may be wrong."""
_GONE = (ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND)


class Notice(msgspec.Struct, frozen=True):
    """`name` identifies the notice."""

    name: str
    text: str

    @property
    def nonce(self) -> Nonce:
        return Nonce(int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8]) >> 1)


@click.command()
@on_installation
@click.argument("text")
@click.option("--to", "names", metavar="ACCOUNT", multiple=True, help="Only this account; repeatable.")
@click.option("--online", is_flag=True, help="Only accounts that are connected now.")
@click.option("--id", "name", metavar="ID", help="Identifies the notice (default: made from the text).")
@click.option("--rate", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Accounts a second.")
@click.option("--dry-run", is_flag=True, help="Only count the recipients.")
@yes_option
def notice(
    installation: Installation,
    text: str,
    names: tuple[str, ...],
    online: bool,
    name: str | None,
    rate: int,
    dry_run: bool,
    yes: bool,
) -> None:
    """Send TEXT to all accounts as a message; offline users receive it at their next login.

    No account receives a notice twice: after an interruption, repeat the same command.
    """
    if names and online:
        raise click.UsageError("--to and --online exclude each other")
    _check(text, installation.settings.limits.message_text_bytes)
    accounts = with_client(installation, lambda client: _audience(client, names, online))
    if dry_run:
        return click.echo(f"{_counted(len(accounts))} would be notified")
    if not yes:
        click.confirm(f"Notify {_counted(len(accounts))}, at most {rate:,} a second?", abort=True)
    message = Notice(name or _default_name(text), text)
    received = _send(installation, message, accounts, rate)
    click.echo(f"{received:,} of {_counted(len(accounts))} have the notice {message.name}")


def _check(text: str, most_bytes: int) -> None:
    """The rules of all messages hold for a notice. Raises click.UsageError."""
    size = len(text.encode())
    if not text.strip():
        raise click.UsageError("the text is empty")
    if size > most_bytes:
        raise click.UsageError(f"the text has at most {most_bytes} bytes (limits.message_text_bytes)")


async def _audience(client: AdminClient, names: tuple[str, ...], online: bool) -> list[AccountId]:
    return await _find_accounts(client, names) if names else await _list_accounts(client, online=online)


def _send(installation: Installation, message: Notice, accounts: list[AccountId], rate: int) -> int:
    """Send with a progress bar; returns how many accounts have the notice now."""
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=len(accounts), label="sending", file=sys.stderr, hidden=hidden, show_pos=True) as bar:

        async def work(client: AdminClient) -> int:
            await client.record("notice", detail=f"{message.name} to {len(accounts)} accounts")
            return await _send_all(client, message, accounts, rate, bar.update)

        return with_client(installation, work)


def _counted(accounts: int) -> str:
    return f"{accounts:,} account" + "s" * (accounts != 1)


def _default_name(text: str) -> str:
    """The name of a notice without a given one, derived from its text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


async def _find_accounts(client: AdminClient, names: Sequence[str]) -> list[AccountId]:
    """The accounts of these identifiers, each once. Raises click.ClickException."""
    found: dict[AccountId, None] = {}
    for name in names:
        try:
            found[(await users.find(client, name)).account] = None
        except RequestError as error:
            raise click.ClickException(f"{name}: {error.failure.text}") from error
    return list(found)


async def _list_accounts(client: AdminClient, *, online: bool) -> list[AccountId]:
    """All existing accounts, or only connected ones. Raises RequestError."""
    page = await client.request(ListAccounts.route, ListAccounts(online=online))
    accounts = page.accounts
    while page.last != NO_ACCOUNT:
        page = await client.request(ListAccounts.route, ListAccounts(page.last, online))
        accounts += page.accounts
    return accounts


async def _send_all(
    client: AdminClient, notice: Notice, accounts: Sequence[AccountId], rate: int, done: Callable[[int], None]
) -> int:
    """Send the notice to at most `rate` accounts per second; returns how many have it now. `done` is called with the
    size of each completed batch. Raises click.ClickException."""
    received, size = 0, _batch_size(notice, rate)
    for start in range(0, len(accounts), size):
        began = time.monotonic()
        batch = accounts[start : start + size]
        try:
            received += await _send_batch(client, notice, batch)
        except RequestError as error:
            progress = f"{received} of {len(accounts)} accounts have the notice; repeat the command to continue"
            raise click.ClickException(f"{error.failure.text} ({progress})") from error
        done(len(batch))
        if start + size < len(accounts):
            await asyncio.sleep(began + len(batch) / rate - time.monotonic())
    return received


def _batch_size(notice: Notice, rate: int) -> int:
    """Accounts per batch: the drafts fit into one bus message, and batches are sent at an even pace."""
    fitting = _MAX_BATCH_BYTES // (len(notice.text.encode()) + _DRAFT_OVERHEAD_BYTES)
    return max(1, min(_MAX_BATCH, fitting, rate // _BATCHES_PER_SECOND))


async def _send_batch(client: AdminClient, notice: Notice, accounts: Sequence[AccountId]) -> int:
    opened = await client.request(OpenNotices.route, OpenNotices(list(accounts)))
    answer = await client.request(PostMessages.route, PostMessages(NodeId(USER), _drafts(notice, opened)))
    for failure in answer.failures.values():
        if failure.code not in _GONE:
            raise RequestError.from_failure(failure)
    return len(answer.posted) - len(answer.failures)


def _drafts(notice: Notice, opened: NoticesOpened) -> list[Draft]:
    deadline, body = int(steady_ms()) + _DEADLINE_MS, pack_segments((Text(notice.text),))
    return [Draft(SYSTEM_ACCOUNT, chat, notice.nonce, deadline, body, opened.face) for chat in opened.chats.values()]
