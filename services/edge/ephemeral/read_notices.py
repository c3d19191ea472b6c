"""What accounts here have read, in any dialect, announced to all edges once it is committed: clients that show it get
it at once or never. The truth is the read state of message: a client that misses a notice has it from its next sync.

Nothing is announced while no edge has such a client."""

import asyncio
from collections.abc import Callable, Iterable

import nats.errors

from services.edge.ephemeral.signals import Publish
from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.ephemeral import ReadPlace, ReadsAnnounced, ReadsWanted
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.message import ReadRange
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_GATHER_SECONDS = 1.0
_PLACES = 5_000
"""In one signal: some 100 KB."""
_WAITING_PLACES = 20_000
"""Of one second; the others are not announced."""
_WANTED_EVERY_SECONDS = 2.0
_WANTED_SECONDS = 10.0

_Key = tuple[AccountId, ChatId]


class ReadNotices:
    """Notices of a second share a signal. `clock` is that of the connections."""

    def __init__(
        self, publish: Publish, node: NodeId, accounts: LocalAccounts, tasks: Tasks, clock: Callable[[], float]
    ) -> None:
        self._publish = publish
        self._node = node
        self._accounts = accounts
        self._tasks = tasks
        self._clock = clock
        self._wanted_until = 0.0
        self._marked: dict[_Key, ReadPlace] = {}
        """Up to where a client has marked a chat as read, until that is committed. A read of something already read is
        not committed again: the oldest places go when there are too many."""
        self._waiting: dict[_Key, ReadPlace] = {}

    @property
    def is_wanted(self) -> bool:
        """Whether any edge has a connection that shows what is read."""
        return self._accounts.ephemeral_connections > 0 or self._clock() < self._wanted_until

    def wanted(self, _: ReadsWanted) -> None:
        self._wanted_until = self._clock() + _WANTED_SECONDS

    async def run(self) -> None:
        """Tells the other edges while this one has connections that show what is read."""
        while True:
            if self._accounts.ephemeral_connections:
                await self._publish_signal(ReadsWanted(self._node))
            await asyncio.sleep(_WANTED_EVERY_SECONDS)

    def mark(self, place: ReadPlace) -> None:
        """A client has marked a chat as read, which is not committed yet. Its connection is not notified of it."""
        marked = self._marked.get((place.account, place.chat))
        if marked is None and len(self._marked) >= _WAITING_PLACES:
            del self._marked[next(iter(self._marked))]
        if marked is None or marked.index <= place.index:
            self._marked[place.account, place.chat] = place

    def committed(self, ranges: Iterable[ReadRange]) -> None:
        if not self.is_wanted:
            self._marked.clear()
            return
        for one in ranges:
            self._add((one.account, one.chat), one.high)

    def _add(self, key: _Key, index: int) -> None:
        if not self._waiting:
            self._tasks.start(self._publish_soon(), "read notices")
        waiting = self._waiting.get(key)
        if waiting is None and len(self._waiting) >= _WAITING_PLACES:
            self._marked.pop(key, None)
        elif waiting is None or waiting.index <= index:
            self._waiting[key] = ReadPlace(*key, index, self._origin(key, index))

    def _origin(self, key: _Key, index: int) -> int:
        """The connection that has marked this much itself, and more than others; 0: none."""
        marked = self._marked.get(key)
        if marked is None or index < marked.index:
            return 0
        del self._marked[key]
        return marked.connection if index == marked.index else 0

    async def _publish_soon(self) -> None:
        await asyncio.sleep(_GATHER_SECONDS)
        places, self._waiting = list(self._waiting.values()), {}
        for start in range(0, len(places), _PLACES):
            await self._publish_signal(ReadsAnnounced(self._node, places[start : start + _PLACES]))

    async def _publish_signal(self, signal: ReadsAnnounced | ReadsWanted) -> None:
        try:
            await self._publish(signal)
        except nats.errors.Error as error:
            _log.info("reads not announced", error=repr(error))
