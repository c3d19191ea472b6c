"""What accounts here have read, by `read` or by writing, announced to all edges once it is committed: clients that show
it get it at once or never. The truth is the read state of message: a client that misses a notice has it from its next
sync.

Nothing is announced while no edge has such a client."""

import asyncio
from collections.abc import Callable, Iterable

import nats.errors

from services.edge.ephemeral.signals import Publish
from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.ephemeral import ReadPlace, ReadsAnnounced, ReadsWanted
from shared.contract.ids import AccountId, ChatId, NodeId
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

    def committed(self, places: Iterable[ReadPlace]) -> None:
        """The connection of a place is not notified of it."""
        if not self.is_wanted:
            return
        for place in places:
            self._add(place)

    def _add(self, place: ReadPlace) -> None:
        if not self._waiting:
            self._tasks.start(self._publish_soon(), "read notices")
        key = place.account, place.chat
        waiting = self._waiting.get(key)
        if (waiting is None and len(self._waiting) < _WAITING_PLACES) or (waiting and waiting.index <= place.index):
            self._waiting[key] = place

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
