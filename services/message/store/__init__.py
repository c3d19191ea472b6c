"""The database of message: what is posted, and who has read how far. Use cases say what, here is how."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import sqlalchemy as sa

from services.message.store.posting import Committed, Repeated, Stalled, make_heads, post
from services.message.store.read_state import erase, mark_read
from services.message.store.snapshot import Snapshot
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import Draft, ReadRange
from shared.database import Database, DatabaseUnavailable, now_ms

__all__ = ["Committed", "OutcomeUnknown", "Snapshot", "Store"]

T = TypeVar("T")

_HEADS_KNOWN = 200_000
_SMALL = 128
"""Drafts that are posted in a millisecond or two."""
_AFTER_EVERY_DEADLINE = 2**63 - 1


class OutcomeUnknown(DatabaseUnavailable):
    """The commit itself got no answer: `recall` will tell."""


class Store:
    """Each call is one transaction. Raises DatabaseUnavailable."""

    def __init__(self, database: Database, now: Callable[[], int] = now_ms) -> None:
        self._database = database
        self._now = now
        self._with_head: set[ChatId] = set()
        self._looks = False
        """Whether the last batch held what was posted before: where something is repeated, more will be."""

    @property
    def is_quick(self) -> bool:
        """Whether a small batch would be posted on the spot, holding up all else; otherwise that goes on beside."""
        return self._database.commits_inline

    async def check(self) -> None:
        await self._database.check()

    async def read(self, work: Callable[[Snapshot], T]) -> T:
        """All that `work` reads is one snapshot."""
        return await self._database.read(lambda connection: work(Snapshot(connection)), brief=True)

    async def post(self, drafts: Sequence[Draft]) -> Committed:
        """Commit the drafts in this order; with a deadline that passes meanwhile, all but that one. `drafts` must not
        be empty. Raises OutcomeUnknown; what the database says to bad content comes through."""
        while True:
            try:
                return await self._post(drafts, self._now, look=self._looks)
            except (Stalled, Repeated):
                self._looks = True

    async def recall(self, drafts: Sequence[Draft]) -> Committed:
        """What has become of these drafts: None for those that are not committed, nor will be. Waits for whoever is
        still committing them."""
        return await self._post(drafts, lambda: _AFTER_EVERY_DEADLINE, look=True)

    async def _post(self, drafts: Sequence[Draft], now: Callable[[], int], *, look: bool) -> Committed:
        chats = {draft.chat for draft in drafts}
        committing = False

        def work(connection: sa.Connection) -> Committed:
            nonlocal committing
            committing = False
            if new := chats - self._with_head:
                make_heads(connection, new)
            committed = post(connection, drafts, now, look=look)
            committing = True
            return committed

        try:
            committed = await self._database.write(work, brief=len(drafts) <= _SMALL)
        except DatabaseUnavailable as error:
            if committing:
                raise OutcomeUnknown from error
            raise
        self._remember(chats)
        self._looks = committed.duplicates > 0
        return committed

    def _remember(self, chats: set[ChatId]) -> None:
        """Heads are never deleted: making them once is enough."""
        if len(self._with_head) > _HEADS_KNOWN:
            self._with_head.clear()
        self._with_head |= chats

    async def mark_read(self, ranges: Iterable[ReadRange], most: int) -> None:
        await self._database.write(lambda connection: mark_read(connection, ranges, most))

    async def erase(self, account: AccountId) -> None:
        await self._database.write(lambda connection: erase(connection, account))
