"""The database of message: posted messages and read state. Each method of MessageStore is one transaction."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import sqlalchemy as sa

from services.message.domain import Rights
from services.message.store.following import list_positions, read_news
from services.message.store.posting import (
    DeadlinePassed,
    DuplicateDetected,
    PostedBatch,
    post,
)
from services.message.store.read_state import CursorsMoved, erase, mark_read, with_cursors
from services.message.store.retention import Expired, expire
from services.message.store.revisions import Revised, revise
from services.message.store.snapshot import Snapshot
from shared.clock import now_ms
from shared.contract.body import EXPIRED_BODY
from shared.contract.following import HeadPosition, News, PositionPage
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ChangeMessage, Draft, ReadRange
from shared.database import Database, DatabaseUnavailable

CHECKED_TABLES = ("heads", "messages", "cursors", "revisions", "edits", "reactions")
"""The service does its work only while it can write to all of these, as its health check proves (`Database.check`)."""

__all__ = ["CommitUnconfirmed", "DatabaseUnavailable", "MessageStore", "PostedBatch", "Revised", "Snapshot"]

T = TypeVar("T")

_EXPIRED_ROWS = 200
_INLINE_DRAFTS = 128
"""Posting this many drafts takes a millisecond or two."""
_AFTER_EVERY_DEADLINE = 2**63 - 1


class CommitUnconfirmed(DatabaseUnavailable):
    """The commit itself got no answer: `find_results` finds out."""


class MessageStore:
    """All methods raise DatabaseUnavailable."""

    def __init__(self, database: Database, now: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._now = now
        self._moved: set[ChatId] = set()
        self._check_duplicates = False
        """Whether the last batch had duplicates: then more are likely."""

    @property
    def commits_inline(self) -> bool:
        """Whether a small batch would be committed on the event loop, blocking it, and not on a thread."""
        return self._database.commits_inline

    async def check(self) -> None:
        await self._database.check(CHECKED_TABLES)

    async def post(self, drafts: Sequence[Draft]) -> PostedBatch:
        """Commit the drafts, at least one, in this order, without those whose deadline passes meanwhile. Raises
        CommitUnconfirmed; errors of the database about the content are not caught."""
        while True:
            try:
                return await self._post(drafts, self._now, check_duplicates=self._check_duplicates)
            except (DeadlinePassed, DuplicateDetected):
                self._check_duplicates = True

    async def find_results(self, drafts: Sequence[Draft]) -> PostedBatch:
        """The results of an unconfirmed commit: None for drafts that are not committed and never will be. Waits for
        a transaction that is still committing them."""
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
        self._check_duplicates = batch.duplicates > 0
        return batch

    async def read(self, work: Callable[[Snapshot], T], *, brief: bool = True) -> T:
        """Everything that `work` reads comes from one snapshot. `brief`: see Database."""
        return await self._database.read(lambda connection: work(Snapshot(connection)), brief=brief)

    async def change(self, request: ChangeMessage, rights: Rights) -> Revised:
        """Raises RequestError."""
        revised = await self._database.write(lambda connection: revise(connection, request, rights, self._now()))
        self._moved.add(request.chat)
        return revised

    # What search follows

    def take_moved(self) -> set[ChatId]:
        """Chats with messages that were committed or changed since the last call."""
        moved, self._moved = self._moved, set()
        return moved

    async def list_positions(self, after: ChatId) -> PositionPage:
        return await self._database.read(partial(list_positions, after=after))

    async def read_news(self, positions: Sequence[HeadPosition], budget: int) -> News:
        return await self._database.read(partial(read_news, positions=positions, budget=budget))

    async def mark_read(self, ranges: Iterable[ReadRange], limit: int) -> None:
        given = list(ranges)
        while True:
            with suppress(CursorsMoved):
                return await self._database.write(
                    lambda connection: mark_read(connection, given, limit), background=True
                )

    async def expire(self, before: int, after: int) -> Expired:
        """Replace the bodies of some messages after the id `after` that were sent before `before` (Unix ms)."""
        work = partial(expire, body=EXPIRED_BODY, before=before, after=after, rows=_EXPIRED_ROWS)
        return await self._database.write(work, background=True)

    # Read state

    async def erase(self, account: AccountId) -> None:
        await self._database.write(lambda connection: erase(connection, account))

    async def with_read_state(self, accounts: list[AccountId]) -> list[AccountId]:
        """Those of the accounts that have read state."""
        return await self._database.read(lambda connection: with_cursors(connection, accounts))
