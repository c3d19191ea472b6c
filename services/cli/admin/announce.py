"""`dragoman admin announce` sends the same message to each account, in the account's chat with the system account.

The message's nonce is derived from the announcement's name, so no account receives the same announcement twice.
"""

import asyncio
import hashlib
import sys
import time
from collections.abc import Callable, Sequence

import click
import msgspec

from local.installation import Installation
from local.options import CommandFailed
from services.cli.admin import users
from services.cli.admin.bus_client import USER, AdminClient, advice
from services.cli.admin.command import on_installation, with_client, yes_option
from services.cli.console import confirm, default_option
from shared.clock import steady_ms
from shared.contract.admin import AnnouncementsOpened, ListAccounts, OpenAnnouncements
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, SYSTEM_ACCOUNT, AccountId, NodeId, Nonce
from shared.contract.message import Draft, PostMessages
from shared.contract.model import Text

_BATCHES_PER_SECOND = 10
_MAX_BATCH = 100
_MAX_BATCH_BYTES = 256 * 1024
_DRAFT_OVERHEAD_BYTES = 128
"""The bytes of a draft in addition to its text, including the system account's profile summary."""
_DEADLINE_MS = 24 * 3600 * 1000
"""The deadline is one day: a late announcement does no harm, and the operator's clock may be wrong."""
_GONE = (ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND)


class SystemAnnouncement(msgspec.Struct, frozen=True):
    """`name` identifies the announcement."""

    name: str
    text: str

    @property
    def nonce(self) -> Nonce:
        return Nonce(int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8]) >> 1)


@click.command(epilog="Example: dragoman admin announce 'We move at 22:00 UTC' --online")
@on_installation
@click.argument("text")
@click.option("--to", "names", metavar="ACCOUNT", multiple=True, help="Only this account; repeatable.")
@click.option("--online", is_flag=True, help="Only accounts that are connected now.")
@click.option("--id", "name", metavar="ID", help="Identifies the announcement (default: made from the text).")
@default_option("--rate", 500, "Accounts a second.", click.IntRange(1, 10_000))
@click.option("--dry-run", is_flag=True, help="Only count the recipients.")
@yes_option
def announce(
    installation: Installation,
    text: str,
    names: tuple[str, ...],
    online: bool,
    name: str | None,
    rate: int,
    dry_run: bool,
    yes: bool,
) -> None:
    """Send TEXT to all accounts as a message.

    Offline users receive it at their next login. No account receives an announcement twice: after an interruption,
    repeat the same command.
    """
    if names and online:
        raise click.UsageError("--to and --online exclude each other")
    _check(text, installation.settings.limits.message_text_bytes)
    accounts = with_client(installation, lambda client: _audience(client, names, online))
    if dry_run:
        return click.echo(f"{_counted(len(accounts))} would be notified")
    confirm(f"Notify {_counted(len(accounts))}, at most {rate:,} a second?", yes=yes)
    message = SystemAnnouncement(name or _default_name(text), text)
    received = _send(installation, message, accounts, rate)
    click.echo(f"{received:,} of {_counted(len(accounts))} have the announcement {message.name}")


def _check(text: str, most_bytes: int) -> None:
    """Checks the text by the rules that hold for all messages. Raises click.UsageError."""
    size = len(text.encode())
    if not text.strip():
        raise click.UsageError("the text is empty")
    if size > most_bytes:
        raise click.UsageError(f"the text has at most {most_bytes} bytes (limits.message_text_bytes)")


async def _audience(client: AdminClient, names: tuple[str, ...], online: bool) -> list[AccountId]:
    return await _find_accounts(client, names) if names else await _list_accounts(client, online=online)


def _send(installation: Installation, message: SystemAnnouncement, accounts: list[AccountId], rate: int) -> int:
    """Send with a progress bar. Returns the number of accounts that have the announcement now."""
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=len(accounts), label="sending", file=sys.stderr, hidden=hidden, show_pos=True) as bar:

        async def work(client: AdminClient) -> int:
            await client.record("announce", detail=f"{message.name} to {len(accounts)} accounts")
            return await _send_all(client, message, accounts, rate, bar.update)

        return with_client(installation, work)


def _counted(accounts: int) -> str:
    return f"{accounts:,} account" + "s" * (accounts != 1)


def _default_name(text: str) -> str:
    """A name derived from the text, for an announcement without a given name."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


async def _find_accounts(client: AdminClient, names: Sequence[str]) -> list[AccountId]:
    """The accounts with these identifiers, without duplicates. Raises click.ClickException."""
    found: dict[AccountId, None] = {}
    for name in names:
        try:
            found[(await users.find(client, name)).account] = None
        except RequestError as error:
            raise CommandFailed(f"{name}: {error.failure.text}", advice(error)) from error
    return list(found)


async def _list_accounts(client: AdminClient, *, online: bool) -> list[AccountId]:
    """All existing accounts, or only the connected ones. Raises RequestError."""
    page = await client.send(ListAccounts(online=online))
    accounts = page.accounts
    while page.last != NO_ACCOUNT:
        page = await client.send(ListAccounts(page.last, online))
        accounts += page.accounts
    return accounts


async def _send_all(
    client: AdminClient,
    announcement: SystemAnnouncement,
    accounts: Sequence[AccountId],
    rate: int,
    done: Callable[[int], None],
) -> int:
    """Send the announcement to at most `rate` accounts a second. Returns the number of accounts that have the
    announcement now. `done` is called with the size of each completed batch. Raises click.ClickException."""
    received, size = 0, _batch_size(announcement, rate)
    for start in range(0, len(accounts), size):
        began = time.monotonic()
        batch = accounts[start : start + size]
        try:
            received += await _send_batch(client, announcement, batch)
        except RequestError as error:
            progress = f"{received} of {len(accounts)} accounts have the announcement"
            raise CommandFailed(f"{error.failure.text}: {progress}", "Repeat the command for the others") from error
        done(len(batch))
        if start + size < len(accounts):
            await asyncio.sleep(began + len(batch) / rate - time.monotonic())
    return received


def _batch_size(announcement: SystemAnnouncement, rate: int) -> int:
    """The number of accounts per batch. The drafts of a batch fit into one NATS message. Small batches at short
    intervals keep the load even."""
    fitting = _MAX_BATCH_BYTES // (len(announcement.text.encode()) + _DRAFT_OVERHEAD_BYTES)
    return max(1, min(_MAX_BATCH, fitting, rate // _BATCHES_PER_SECOND))


async def _send_batch(client: AdminClient, announcement: SystemAnnouncement, accounts: Sequence[AccountId]) -> int:
    opened = await client.send(OpenAnnouncements(list(accounts)))
    answer = await client.send(PostMessages(NodeId(USER), _drafts(announcement, opened)))
    for failure in answer.failures.values():
        if failure.code not in _GONE:
            raise RequestError.from_failure(failure)
    return len(answer.posted) - len(answer.failures)


def _drafts(announcement: SystemAnnouncement, opened: AnnouncementsOpened) -> list[Draft]:
    deadline, body = int(steady_ms()) + _DEADLINE_MS, pack_segments((Text(announcement.text),))
    return [
        Draft(SYSTEM_ACCOUNT, chat, announcement.nonce, deadline, body, opened.face) for chat in opened.chats.values()
    ]
