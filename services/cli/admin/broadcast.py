"""An operator tells people something: each the same message, from the herald, in a chat of its own with it.

Its nonce is made from the notice's name: whoever has it already is not told again, however often it is tried.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence

import click
import msgspec

from services.cli.admin import users
from services.cli.admin.bus_client import USER, AdminClient
from shared.clock import now_ms
from shared.contract.admin import ListAccounts, NoticesOpened, OpenNotices
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, SYSTEM_ACCOUNT, AccountId, NodeId, Nonce
from shared.contract.message import Draft, PostMessages
from shared.contract.model import Text, pack_segments
from shared.contract.subjects import LIST_ACCOUNTS, OPEN_NOTICES, POST_MESSAGES

_BATCHES_PER_SECOND = 10
_MAX_BATCH = 100
_MAX_BATCH_BYTES = 256 * 1024
_DRAFT_OVERHEAD_BYTES = 128
"""Beside its text, with the herald's face."""
_DEADLINE_MS = 24 * 3600 * 1000
"""Far off: what is told after all does no harm, and the operator's clock may be wrong."""
_GONE = (ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND)


class Notice(msgspec.Struct, frozen=True):
    """`name` tells it from all others."""

    name: str
    text: str

    @property
    def nonce(self) -> Nonce:
        return Nonce(int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8]) >> 1)


def default_name(text: str) -> str:
    """Of a notice that is given none."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


async def find_accounts(link: AdminClient, names: Sequence[str]) -> list[AccountId]:
    """Each once. Raises click.ClickException."""
    found: dict[AccountId, None] = {}
    for name in names:
        try:
            found[(await users.find(link, name)).account] = None
        except RequestError as refusal:
            raise click.ClickException(f"{name}: {refusal.failure.text}") from refusal
    return list(found)


async def list_accounts(link: AdminClient, *, online: bool) -> list[AccountId]:
    """All that there are now, or those who are connected. Raises Refused."""
    page = await link.request(LIST_ACCOUNTS, ListAccounts(online=online))
    accounts = page.accounts
    while page.last != NO_ACCOUNT:
        page = await link.request(LIST_ACCOUNTS, ListAccounts(page.last, online))
        accounts += page.accounts
    return accounts


async def send(
    link: AdminClient, notice: Notice, accounts: Sequence[AccountId], rate: int, done: Callable[[int], None]
) -> int:
    """At most `rate` accounts a second; how many of them have the notice now. `done` hears of how many more are dealt
    with. Raises click.ClickException."""
    told, together = 0, _batch_size(notice, rate)
    for start in range(0, len(accounts), together):
        began = time.monotonic()
        some = accounts[start : start + together]
        try:
            told += await _send_batch(link, notice, some)
        except RequestError as refusal:
            reached = f"{told} of {len(accounts)} accounts have the notice; ask again to go on"
            raise click.ClickException(f"{refusal.failure.text} ({reached})") from refusal
        done(len(some))
        if start + together < len(accounts):
            await asyncio.sleep(began + len(some) / rate - time.monotonic())
    return told


def _batch_size(notice: Notice, rate: int) -> int:
    """As many as go into one message on the bus, and make an even pace."""
    fitting = _MAX_BATCH_BYTES // (len(notice.text.encode()) + _DRAFT_OVERHEAD_BYTES)
    return max(1, min(_MAX_BATCH, fitting, rate // _BATCHES_PER_SECOND))


async def _send_batch(link: AdminClient, notice: Notice, accounts: Sequence[AccountId]) -> int:
    opened = await link.request(OPEN_NOTICES, OpenNotices(list(accounts)))
    answer = await link.request(POST_MESSAGES, PostMessages(NodeId(USER), _drafts(notice, opened)))
    for failure in answer.failures.values():
        if failure.code not in _GONE:
            raise RequestError.from_failure(failure)
    return len(answer.posted) - len(answer.failures)


def _drafts(notice: Notice, opened: NoticesOpened) -> list[Draft]:
    deadline, body = now_ms() + _DEADLINE_MS, pack_segments((Text(notice.text),))
    return [Draft(SYSTEM_ACCOUNT, chat, notice.nonce, deadline, body, opened.face) for chat in opened.chats.values()]
