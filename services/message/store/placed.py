"""The store of one of several databases: it serves the partitions that its own table names, and no others."""

from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from typing import TypeVar

import sqlalchemy as sa

from services.message.store import MessageStore
from services.message.store.placement import (
    MOVED,
    PlacementChanged,
    Places,
    StoredPlacement,
    last_id,
    load,
    require_version,
)
from services.message.store.posting import PostedBatch, post
from services.message.store.read_state import mark_read
from services.message.store.snapshot import Snapshot
from shared.clock import now_ms
from shared.contract.ids import ChatId
from shared.contract.message import Draft, ReadRange
from shared.database import Database

T = TypeVar("T")


class PlacedMessageStore(MessageStore):
    """`refresh` before anything else, and regularly. Drafts of chats in other databases have no result, so that edges
    repeat them there; reads and read state of such chats are rejected as unavailable."""

    def __init__(self, database: Database, now: Callable[[], int] = now_ms) -> None:
        super().__init__(database, now)
        self._stored: StoredPlacement | None = None
        self._places: Places | None = None

    @property
    def placement(self) -> StoredPlacement:
        """As it was read last."""
        assert self._stored is not None
        return self._stored

    async def refresh(self) -> bool:
        """Read the placement; returns whether it has changed."""
        stored = await self._database.read(load, brief=True)
        assert stored is not None
        if self._stored == stored:
            return False
        self._stored, self._places = stored, Places(stored)
        self._known_heads.clear()  # chats may be elsewhere now
        return True

    @property
    def _current(self) -> Places:
        assert self._places is not None
        return self._places

    async def _post(self, drafts: Sequence[Draft], now: Callable[[], int], *, check_duplicates: bool) -> PostedBatch:
        while True:
            if not all(self._current.serves(draft.chat) for draft in drafts):
                await self.refresh()
            serves = [self._current.serves(draft.chat) for draft in drafts]
            served = list(compress(drafts, serves))
            if not served:
                return PostedBatch([None] * len(drafts), 0)
            try:
                posted = await super()._post(served, now, check_duplicates=check_duplicates)
            except PlacementChanged:
                await self.refresh()
                continue
            results = iter(posted.results)
            return posted._replace(results=[next(results) if is_here else None for is_here in serves])

    def _append(
        self, connection: sa.Connection, drafts: Sequence[Draft], now: Callable[[], int], *, check_duplicates: bool
    ) -> PostedBatch:
        require_version(connection, self._current.version, writing=True)
        before = last_id(connection, self.placement) if connection.dialect.name == "sqlite" else None
        return post(connection, drafts, now, check_duplicates=check_duplicates, last_id=before)

    async def read(self, work: Callable[[Snapshot], T]) -> T:
        """Raises RequestError for a chat of another database."""
        while True:
            places = self._current
            try:
                return await self._database.read(
                    lambda connection, places=places: work(PlacedSnapshot(connection, places)),  # type: ignore[misc]
                    brief=True,
                )
            except PlacementChanged:
                await self.refresh()

    async def mark_read(self, ranges: Iterable[ReadRange], limit: int) -> None:
        """Raises RequestError for a chat of another database."""
        ranges = list(ranges)
        while True:
            if not all(self._current.serves(one.chat) for one in ranges):
                await self.refresh()
            places = self._current
            if not all(places.serves(one.chat) for one in ranges):
                raise MOVED

            def work(connection: sa.Connection, places: Places = places) -> None:
                require_version(connection, places.version, writing=True)
                mark_read(connection, ranges, limit)

            try:
                return await self._database.write(work)
            except PlacementChanged:
                await self.refresh()


class PlacedSnapshot(Snapshot):
    """Every read begins with the heads of its chats."""

    def __init__(self, connection: sa.Connection, places: Places) -> None:
        super().__init__(connection)
        require_version(connection, places.version, writing=False)
        self._places = places

    def heads(self, chats: Iterable[ChatId]) -> dict[ChatId, int]:
        """Raises RequestError for a chat of another database."""
        chats = list(chats)
        if not all(map(self._places.serves, chats)):
            raise MOVED
        return super().heads(chats)
