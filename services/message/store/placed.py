"""The store of one of several databases: it serves the partitions that its own table names, and no others."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import compress
from typing import TypeVar

import sqlalchemy as sa

from services.message.domain import Rights
from services.message.store import MessageStore, Revised
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
from services.message.store.revisions import revise
from services.message.store.snapshot import Activity, Snapshot
from shared.clock import now_ms
from shared.contract.ids import ChatId
from shared.contract.message import ChangeMessage, Draft, ReadRange
from shared.database import Database

T = TypeVar("T")


class PlacedMessageStore(MessageStore):
    """`refresh` before anything else, and regularly. Drafts of chats in other databases have no result, so that edges
    repeat them there; reads and read state of such chats are rejected as unavailable."""

    def __init__(self, database: Database, now: Callable[[], int] = now_ms) -> None:
        super().__init__(database, now)
        self._places: Places | None = None

    @property
    def placement(self) -> StoredPlacement:
        """As it was read last."""
        return self._current.stored

    async def refresh(self) -> None:
        """Reads the placement."""
        stored = await self._database.read(load, brief=True)
        assert stored is not None
        if self._places is None or self._places.stored != stored:
            self._places = Places(stored)
            self._known_heads.clear()  # chats may be elsewhere now

    @property
    def _current(self) -> Places:
        assert self._places is not None
        return self._places

    async def _post(self, drafts: Sequence[Draft], now: Callable[[], int], *, check_duplicates: bool) -> PostedBatch:
        while True:
            if not all(self._current.serves(draft.chat) for draft in drafts):
                await self.refresh()
            places = self._current  # another task may replace it before the transaction begins
            serves = [places.serves(draft.chat) for draft in drafts]
            served = list(compress(drafts, serves))
            if not served:
                return PostedBatch([None] * len(drafts), 0)
            append = partial(_append, places.stored, served, now, check_duplicates)
            try:
                posted = await self._commit(served, append)
            except PlacementChanged:
                await self.refresh()
                continue
            results = iter(posted.results)
            return posted._replace(results=[next(results) if is_here else None for is_here in serves])

    def serves(self, chat: ChatId) -> bool:
        return self._current.serves(chat)

    async def read(self, work: Callable[[Snapshot], T], *, brief: bool = True) -> T:
        """Raises RequestError for a chat of another database."""
        while True:
            places = self._current
            try:
                return await self._database.read(
                    lambda connection, places=places: work(PlacedSnapshot(connection, places)),  # type: ignore[misc]
                    brief=brief,
                )
            except PlacementChanged:
                await self.refresh()

    async def change(self, request: ChangeMessage, rights: Rights) -> Revised:
        """Raises RequestError, also for a chat of another database."""
        return await self._write([request.chat], lambda connection: revise(connection, request, rights, self._now()))

    async def mark_read(self, ranges: Iterable[ReadRange], limit: int) -> None:
        """Raises RequestError for a chat of another database."""
        ranges = list(ranges)
        chats = [one.chat for one in ranges]
        await self._write(chats, lambda connection: mark_read(connection, ranges, limit), background=True)

    async def _write(
        self, chats: Sequence[ChatId], work: Callable[[sa.Connection], T], *, background: bool = False
    ) -> T:
        """Raises RequestError for a chat of another database."""
        while True:
            if not all(map(self._current.serves, chats)):
                await self.refresh()
            places = self._current
            if not all(map(places.serves, chats)):
                raise MOVED

            def checked(connection: sa.Connection, places: Places = places) -> T:
                require_version(connection, places.stored.version, writing=True)
                return work(connection)

            try:
                return await self._database.write(checked, background=background)
            except PlacementChanged:
                await self.refresh()


def _append(
    stored: StoredPlacement,
    drafts: Sequence[Draft],
    now: Callable[[], int],
    check_duplicates: bool,
    connection: sa.Connection,
) -> PostedBatch:
    """Raises PlacementChanged if the database has another placement than `stored`."""
    require_version(connection, stored.version, writing=True)
    before = last_id(connection, stored) if connection.dialect.name == "sqlite" else None
    return post(connection, drafts, now, check_duplicates=check_duplicates, last_id=before)


class PlacedSnapshot(Snapshot):
    """Every read begins with the heads of its chats."""

    def __init__(self, connection: sa.Connection, places: Places) -> None:
        super().__init__(connection)
        require_version(connection, places.stored.version, writing=False)
        self._places = places

    def heads(self, chats: Iterable[ChatId]) -> dict[ChatId, int]:
        """Raises RequestError for a chat of another database."""
        return super().heads(self._require_served(chats))

    def activity(self, chats: Iterable[ChatId]) -> dict[ChatId, Activity]:
        """As `heads`."""
        return super().activity(self._require_served(chats))

    def _require_served(self, chats: Iterable[ChatId]) -> list[ChatId]:
        chats = list(chats)
        if not all(map(self._places.serves, chats)):
            raise MOVED
        return chats
