"""Carries committed events from the outbox to the broker, in order, until it has confirmed them."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import nats.errors

from services.auth.metrics import AuthMetrics
from services.auth.store import outbox
from services.auth.store.outbox import OutboxEntry
from shared.bus.client import Bus
from shared.database import Database, DatabaseUnavailable
from shared.telemetry import log, trace

if TYPE_CHECKING:
    from shared.tracing import Tracer

_log = log(__name__)
_BATCH = 64
_EVERY_SECONDS = 2.0
"""What another replica left behind is found without being told."""


class OutboxRelay:
    """Several replicas may relay one outbox: the broker drops what it has by its key."""

    def __init__(self, database: Database, bus: Bus, metrics: AuthMetrics, tracer: "Tracer | None" = None) -> None:
        self._database = database
        self._bus = bus
        self._metrics = metrics
        self._tracer = tracer
        self._woken = asyncio.Event()
        self._finishing = False

    def wake(self) -> None:
        """An event was committed."""
        self._woken.set()

    def finish(self) -> None:
        """Tell what was committed until now, once, and return from `run`: what remains is durable."""
        self._finishing = True
        self._woken.set()

    async def run(self) -> None:
        """Until `end`. (Never by cancelling: what waits inside the broker's client may not notice.)"""
        ending = False
        while not ending:
            ending = self._finishing
            if not await self._relay_batch() and not ending:
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_EVERY_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    async def _relay_batch(self) -> bool:
        """Whether there was something, and all of it is told: perhaps there is more."""
        try:
            entries = await self._database.read(partial(outbox.oldest, limit=_BATCH))
            await self._publish(entries)
        except (nats.errors.Error, DatabaseUnavailable, TimeoutError) as error:
            self._metrics.relay_failures.inc()
            _log.warning("events wait to be told", error=repr(error))
            return False
        return bool(entries)

    async def _publish(self, entries: list[OutboxEntry]) -> None:
        told: list[int] = []
        try:
            for entry in entries:
                trace.set(entry.trace)
                telling = self._bus.publish_event(entry.topic, entry.event, key=entry.key)
                if self._tracer is not None:
                    telling = self._tracer.begin(entry.topic.subject, trace_id=entry.trace).around(telling)
                await telling
                told.append(entry.id)
        finally:
            if told:
                await self._database.write(partial(outbox.remove, entries=told))
