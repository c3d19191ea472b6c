"""Announces to all edges which messages accounts of this node have read, once the read state is committed. An account
reads by `read` or by writing. Clients that show read receipts get the event at once or never. If a client misses an
event, it gets the stored read state at its next sync.

While no edge has such a client, nothing is announced.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import islice

from services.edge.ephemeral.events import Publish
from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.clock import until_next
from shared.contract.ephemeral import ChatRead, ReadPlace, ReadsAnnounced, ReadsWanted
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.receipts import MAX_READ_INDEXES, FindReadIndexes, ReadIndex
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_GATHER_SECONDS = 1.0
_PLACES = 5_000
"""The most reads in one ephemeral event, which takes some 100 KB."""
_WAITING_PLACES = 20_000
"""The most reads that are collected in one second. Further reads are not announced."""
_WANTED_EVERY_SECONDS = 2.0
_WANTED_SECONDS = 10.0

ReadKey = tuple[AccountId, ChatId]
_DUE = 20_000
"""The most reads that wait to be shown. Further reads are not shown."""
_REQUEST_SECONDS = 2.0


class ReadEvents:
    """Collects the reads of a second into one ephemeral event. `clock` is the clock of the connections."""

    def __init__(
        self, publish: Publish, node: NodeId, accounts: LocalAccounts, tasks: Tasks, clock: Callable[[], float]
    ) -> None:
        self._publish = publish
        self._node = node
        self._accounts = accounts
        self._tasks = tasks
        self._clock = clock
        self._wanted_until = 0.0
        self._waiting: dict[ReadKey, ReadPlace] = {}

    @property
    def is_wanted(self) -> bool:
        """Whether any edge has a connection that shows reads."""
        return self._accounts.ephemeral_connections > 0 or self._clock() < self._wanted_until

    def wanted(self, _: ReadsWanted) -> None:
        self._wanted_until = self._clock() + _WANTED_SECONDS

    async def run(self) -> None:
        """Keep the other edges informed while this edge has connections that show reads."""
        while True:
            if self._accounts.ephemeral_connections:
                await self._publish(ReadsWanted(self._node))
            await asyncio.sleep(until_next(_WANTED_EVERY_SECONDS))

    def committed(self, places: Iterable[ReadPlace]) -> None:
        """Announce reads. The connection that has read a place is not notified of it. Index 0 means that the chat is
        marked as unread."""
        if not self.is_wanted:
            return
        for place in places:
            self._add(place)

    def _add(self, place: ReadPlace) -> None:
        if not self._waiting:
            self._tasks.start(self._publish_soon(), "read events")
        key = place.account, place.chat
        waiting = self._waiting.get(key)
        # The account has read the chat and then marked it as unread. So even the connection that has read it must be
        # notified.
        if waiting and not place.index:
            place = ReadPlace(*key, waiting.index, 0)
        if (waiting is None and len(self._waiting) < _WAITING_PLACES) or (waiting and waiting.index <= place.index):
            self._waiting[key] = place

    async def _publish_soon(self) -> None:
        await asyncio.sleep(_GATHER_SECONDS)
        places, self._waiting = list(self._waiting.values()), {}
        for start in range(0, len(places), _PLACES):
            await self._publish(ReadsAnnounced(self._node, places[start : start + _PLACES]))


class DueReads:
    """Collects reads that are due, and passes them to `show` in batches. A batch contains, for each read, the
    connection that need not be notified (0: none). If `show` raises RequestError, the batch is not shown."""

    def __init__(self, show: Callable[[Mapping[ReadKey, int]], Awaitable[None]], tasks: Tasks, name: str) -> None:
        self._show = show
        self._tasks = tasks
        self._name = name
        self._due: dict[ReadKey, int] = {}
        self._is_working = False

    def add(self, key: ReadKey, origin: int = 0) -> None:
        """Add a read. If two connections have read the same chat, both are notified."""
        if key in self._due:
            self._due[key] = 0
        elif len(self._due) < _DUE:
            self._due[key] = origin
        if self._due and not self._is_working:
            self._is_working = True
            self._tasks.start(self._work(), self._name)

    async def _work(self) -> None:
        try:
            while self._due:
                batch = dict(islice(self._due.items(), MAX_READ_INDEXES))
                for key in batch:
                    del self._due[key]
                await self._show_batch(batch)
        finally:
            self._is_working = False

    async def _show_batch(self, batch: Mapping[ReadKey, int]) -> None:
        try:
            await self._show(batch)
        except RequestError as error:
            _log.info(f"{self._name} not shown", reads=len(batch), error=str(error))


class ReadDisplay:
    def __init__(self, bus: Bus, node: NodeId, accounts: LocalAccounts, tasks: Tasks) -> None:
        self._bus = bus
        self._node = node
        self._accounts = accounts
        self._due = DueReads(self._show, tasks, "reads of accounts")

    def receive(self, announced: ReadsAnnounced) -> None:
        for place in announced.places:
            self._add(place, place.connection if announced.node == self._node else 0)

    def _add(self, place: ReadPlace, origin: int) -> None:
        recipients = self._accounts.recipients(place.account)
        if any(one.dialect.shows_ephemeral and one.number != origin for one in recipients):
            self._due.add((place.account, place.chat), origin)

    async def _show(self, batch: Mapping[ReadKey, int]) -> None:
        request = FindReadIndexes(list(batch), counts=True)
        reply = await self._bus.send(request, seconds=_REQUEST_SECONDS)
        for found in reply.found:
            self._notify(found, batch.get((found.account, found.chat), 0))

    def _notify(self, found: ReadIndex, origin: int) -> None:
        shown = ChatRead(found.chat, found.index, found.unread, found.mentions, found.unread_from)
        for recipient in self._accounts.recipients(found.account):
            if recipient.number != origin:
                recipient.notify_ephemeral(shown)
