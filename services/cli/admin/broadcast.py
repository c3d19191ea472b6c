"""Sends an operator's notice: the same message from the system account to each account, in a chat of the two.

The message's nonce is derived from the notice's name, so an account that has the notice never receives it again.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence

import click
import msgspec

from services.cli.admin import users
from services.cli.admin.bus_client import USER, AdminClient
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


def default_name(text: str) -> str:
    """The name of a notice without a given one, derived from its text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


async def find_accounts(client: AdminClient, names: Sequence[str]) -> list[AccountId]:
    """The accounts of these identifiers, each once. Raises click.ClickException."""
    found: dict[AccountId, None] = {}
    for name in names:
        try:
            found[(await users.find(client, name)).account] = None
        except RequestError as error:
            raise click.ClickException(f"{name}: {error.failure.text}") from error
    return list(found)


async def list_accounts(client: AdminClient, *, online: bool) -> list[AccountId]:
    """All existing accounts, or only connected ones. Raises RequestError."""
    page = await client.request(ListAccounts.route, ListAccounts(online=online))
    accounts = page.accounts
    while page.last != NO_ACCOUNT:
        page = await client.request(ListAccounts.route, ListAccounts(page.last, online))
        accounts += page.accounts
    return accounts


async def send(
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
