"""Publishes the events in auth's outbox in order, until NATS has confirmed them. Notifies edges at most once, and
announces auth's state."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import nats.errors

from services.auth.metrics import AuthMetrics
from services.auth.store import outbox
from services.auth.store.outbox import OutboxEntry
from shared.bus.client import Bus, pack
from shared.clock import until_next
from shared.contract.auth import ListRevocations, Revocations
from shared.contract.edge import EdgeEvent, Notify
from shared.contract.errors import RequestError
from shared.contract.ids import NodeId
from shared.contract.subjects import AUTH_STATE, NOTIFY_ALL, notify
from shared.tasks import is_set_within
from shared.telemetry import log, trace
from shared.transactions import Transactions

if TYPE_CHECKING:
    from shared.tracing import Tracer


_log = log(__name__)
_BATCH = 64
_POLL_SECONDS = 2.0
"""The pause between two reads of the outbox. The relay polls because nothing wakes it for the events of a stopped
replica."""


class OutboxRelay:
    """Publishes the events in auth's outbox. Several replicas can publish the same outbox at once, because NATS
    recognizes a repeated event by its key and drops it."""

    def __init__(self, database: Transactions, bus: Bus, metrics: AuthMetrics, tracer: "Tracer | None" = None) -> None:
        self._database = database
        self._bus = bus
        self._metrics = metrics
        self._tracer = tracer
        self._woken = asyncio.Event()
        self._finishing = False

    def wake(self) -> None:
        """Wake the relay, because an event was committed."""
        self._woken.set()

    def finish(self) -> None:
        """End `run` after one more attempt to publish the events committed so far. Unpublished events stay in the
        outbox."""
        self._finishing = True
        self._woken.set()

    async def run(self) -> None:
        """Run until `finish`. Do not cancel the task: the NATS client can swallow a cancellation while it waits."""
        finishing = False
        while not finishing:
            finishing = self._finishing
            if not await self._relay_batch() and not finishing:
                await self._wait()

    async def _wait(self) -> None:
        if await is_set_within(self._woken, until_next(_POLL_SECONDS)):
            self._woken.clear()

    async def _relay_batch(self) -> bool:
        """Returns True if the batch was full, because then more events can be waiting."""
        try:
            entries = await self._database.read(outbox.oldest, _BATCH, brief=True)
            await self._publish(entries)
        except (nats.errors.Error, RequestError, TimeoutError) as error:
            self._metrics.relay_failures.inc()
            _log.warning("events were not published: will be retried", error=repr(error))
            return False
        return bool(entries)

    async def _publish(self, entries: list[OutboxEntry]) -> None:
        published: list[int] = []
        try:
            for entry in entries:
                trace.set(entry.trace)
                publishing = self._bus.publish_event(entry.topic, entry.event, key=entry.key)
                if self._tracer is not None:
                    publishing = self._tracer.begin(entry.topic.subject, trace_id=entry.trace).around(publishing)
                await publishing
                published.append(entry.id)
        finally:
            if published:
                await self._database.write(outbox.remove, published)


_INTERVAL_SECONDS = 1.0
_AFTER_ALL = ListRevocations(2**63 - 1)
"""A request that lists no revocation."""


class NodeNotifier:
    """Notifies edges. A lost notification does no harm: edges list revocations regularly, and a verification has a time
    limit."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def notify_all(self, event: EdgeEvent) -> None:
        await self._publish(NOTIFY_ALL, event)

    async def notify_node(self, node: NodeId, event: EdgeEvent) -> None:
        await self._publish(notify(node), event)

    async def _publish(self, subject: str, event: EdgeEvent) -> None:
        try:
            await self._bus.publish(subject, pack(Notify(event)))
        except nats.errors.Error as error:
            _log.warning("notification not sent", kind=type(event).__name__, error=repr(error))


async def announce_state(list_revocations: Callable[[ListRevocations], Awaitable[Revocations]], bus: Bus) -> None:
    """Announce auth's state to all edges each second, until cancelled: the number of the last revocation, maintenance
    mode, and the names of the keys. An edge whose state differs requests the difference."""
    while True:
        try:
            await bus.publish(AUTH_STATE, pack(await list_revocations(_AFTER_ALL)))
        except (RequestError, nats.errors.Error) as error:
            _log.debug("state not announced", error=repr(error))
        await asyncio.sleep(until_next(_INTERVAL_SECONDS))
