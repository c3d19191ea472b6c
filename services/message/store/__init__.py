"""The database of the message service. posting.py stores messages, read_state.py stores read state, and snapshot.py
counts unread messages. Each method of MessageStore is one transaction."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from services.message.domain import ChangePermissions
from services.message.store.devices import list_devices, open_device
from services.message.store.drafts import find as find_draft
from services.message.store.drafts import save as save_draft
from services.message.store.posting import DeadlinePassed, DuplicateDetected, PostedBatch, post
from services.message.store.read_state import (
    CursorsMoved,
    erase,
    list_positions,
    list_recent,
    mark_read,
    mark_unread,
    read_news,
    with_cursors,
)
from services.message.store.revisions import Expired, Revised, expire, revise
from services.message.store.snapshot import Snapshot
from shared.clock import now_ms
from shared.contract.drafts import DraftSaved, SavedDraft, SaveDraft
from shared.contract.following import HeadPosition, News, PositionPage
from shared.contract.ids import AccountId, ChatId, DeviceId
from shared.contract.message import ChangeMessage, DevicePosition, Draft, OpenDevice, ReadRange
from shared.database import Database, DatabaseUnavailable

if TYPE_CHECKING:
    from shared.tracing import Tracer

CHECKED_TABLES = ("heads", "messages", "cursors", "revisions", "edits", "reactions", "drafts", "devices")
"""The service works only while it can write to all of these tables. The health check tests this (`Database.check`)."""

__all__ = [
    "CommitUnconfirmed",
    "DatabaseUnavailable",
    "MessageStore",
    "PostedBatch",
    "Revised",
    "Snapshot",
    "open_database",
]

T = TypeVar("T")

_INLINE_DRAFTS = 128
"""The most drafts that are posted on the event loop. Posting this number of drafts takes one or two milliseconds."""
_AFTER_EVERY_DEADLINE = 2**63 - 1


def open_database(
    url: str, *, pool_size: int = 8, registry: CollectorRegistry | None = None, tracer: "Tracer | None" = None
) -> Database:
    """The database, with the PostgreSQL plan settings that the store's statements need."""
    return Database(url, name="message", pool_size=pool_size, registry=registry, tracer=tracer, nested_loops=True)


class CommitUnconfirmed(DatabaseUnavailable):
    """The database has not confirmed the commit. `find_results` finds out whether the transaction was committed."""


class MessageStore:
    """Every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database, now: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._now = now
        self._moved: set[ChatId] = set()
        self._any_moved = asyncio.Event()
        self.posting_since: int | None = None
        """When the post began whose result is not known yet (Unix ms). Its messages have this time or a later one."""
        self._check_duplicates = False
        """Whether the last batch contained repeated drafts. Then more repeated drafts are likely to follow."""

    @property
    def commits_inline(self) -> bool:
        """Whether a small batch is committed on the event loop instead of a thread. The event loop is then blocked
        during the commit."""
        return self._database.commits_inline

    async def check(self) -> None:
        await self._database.check(CHECKED_TABLES)

    async def post(self, drafts: Sequence[Draft]) -> PostedBatch:
        """Commit the drafts, at least one, in this order. Drafts whose deadline passes before the commit are left out.
        Raises CommitUnconfirmed, and the database's errors about the content of a draft. Only one call at a time."""
        self.posting_since = self._now()
        while True:
            try:
                return await self._post(drafts, self._now, check_duplicates=self._check_duplicates)
            except (DeadlinePassed, DuplicateDetected):
                self._check_duplicates = True
            except CommitUnconfirmed:
                raise
            except Exception:
                self.posting_since = None  # nothing was committed
                raise

    async def find_results(self, drafts: Sequence[Draft]) -> PostedBatch:
        """The results of an unconfirmed commit. If a transaction is still committing the drafts, the method waits for
        it. The result of a draft is None if the draft was not committed; it will not be committed later either."""
        return await self._post(drafts, lambda: _AFTER_EVERY_DEADLINE, check_duplicates=True)

    async def _post(self, drafts: Sequence[Draft], now: Callable[[], int], *, check_duplicates: bool) -> PostedBatch:
        committing = False

        def work(connection: sa.Connection) -> PostedBatch:
            nonlocal committing
            committing = False
            batch = post(connection, drafts, now, check_duplicates=check_duplicates)
            committing = True
            return batch

        try:
            batch = await self._database.write(work, brief=len(drafts) <= _INLINE_DRAFTS)
        except DatabaseUnavailable as error:
            if committing:
                raise CommitUnconfirmed from error
            raise
        self._moved |= {draft.chat for draft in drafts}
        self._any_moved.set()
        self.posting_since = None
        self._check_duplicates = batch.duplicates > 0
        return batch

    async def read(self, work: Callable[[Snapshot], T], *, brief: bool = True) -> T:
        """Run `work` on one snapshot of the database. `brief`: see Database."""
        return await self._database.read(lambda connection: work(Snapshot(connection)), brief=brief)

    async def change(self, request: ChangeMessage, permissions: ChangePermissions) -> Revised:
        """Commit a change of a message. Raises RequestError."""
        revised = await self._database.write(lambda connection: revise(connection, request, permissions, self._now()))
        self._moved.add(request.chat)
        self._any_moved.set()
        return revised

    # What search follows

    def take_moved(self) -> set[ChatId]:
        """The chats with messages that were committed or changed since the last call."""
        moved, self._moved = self._moved, set()
        self._any_moved.clear()
        return moved

    async def wait_for_moved(self) -> None:
        """Wait until messages have been committed or changed."""
        await self._any_moved.wait()

    async def list_positions(self, after: ChatId) -> PositionPage:
        return await self._database.read(partial(list_positions, after=after))

    async def list_recent(self, since: int) -> list[ChatId]:
        return await self._database.read(partial(list_recent, since=since))

    async def read_news(self, positions: Sequence[HeadPosition], limit: int, budget: int) -> News:
        return await self._database.read(partial(read_news, positions=positions, limit=limit, budget=budget))

    async def mark_read(
        self, ranges: Iterable[ReadRange], limit: int, positions: Sequence[DevicePosition] = ()
    ) -> None:
        given = list(ranges)
        while True:
            with suppress(CursorsMoved):
                return await self._database.write(
                    lambda connection: mark_read(connection, given, limit, positions), background=True
                )

    async def open_device(self, request: OpenDevice) -> DeviceId:
        return await self._database.write(partial(open_device, request=request, now=self._now()))

    async def list_devices(self, account: AccountId) -> list[str]:
        return await self._database.read(partial(list_devices, account=account))

    async def mark_unread(self, account: AccountId, chat: ChatId, index: int) -> None:
        await self._database.write(partial(mark_unread, account=account, chat=chat, index=index))

    async def save_draft(self, request: SaveDraft) -> DraftSaved:
        return await self._database.write(partial(save_draft, request=request, now=self._now()))

    async def find_draft(self, account: AccountId, chat: ChatId) -> SavedDraft:
        return await self._database.read(partial(find_draft, account=account, chat=chat))

    async def clock(self) -> int:
        """The time of the database in Unix ms."""
        return await self._database.clock()

    async def expire(self, before: int, after: int) -> Expired:
        """Replace the bodies of some messages: those with ids after `after` that were sent before `before` (Unix
        ms)."""
        return await self._database.write(partial(expire, before=before, after=after), background=True)

    # Read state

    async def erase(self, account: AccountId) -> None:
        await self._database.write(lambda connection: erase(connection, account))

    async def with_read_state(self, accounts: list[AccountId]) -> list[AccountId]:
        """The accounts among `accounts` that have read state, drafts or devices."""
        return await self._database.read(lambda connection: with_cursors(connection, accounts))
