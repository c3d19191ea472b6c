"""Decides which partitions of the chats this replica leads. The decision depends on the heartbeats of all replicas.
Edges send the messages of these partitions to this replica's own subject.

Leadership only makes posting faster: the leader already has the member lists, and no other replica locks the same rows.
"""

import asyncio
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import msgspec
import nats.errors

from services.message.metrics import MessageMetrics
from shared.bus.client import Bus
from shared.clock import until_next
from shared.contract.edge import Heartbeat
from shared.contract.ids import ChatId
from shared.partitions import STOPPING, LiveReplicas
from shared.settings.messages import MessageSettings
from shared.telemetry import log

_log = log(__name__)
_QUEUE_SECONDS = 0.1
_LEAST_SECONDS = 0.5
_decode_heartbeat = msgspec.msgpack.Decoder(Heartbeat).decode


class ProcessorLoad:
    """Measures how many CPU cores this process has used since the last measurement. If the last measurement was a
    moment ago, its result is returned again."""

    def __init__(self) -> None:
        self._since = float("-inf")
        self._used = self._cores = 0.0

    def take(self, now: float, used: float) -> float:
        """Measures the cores in use. `used`: seconds of CPU time since the process has started."""
        if now - self._since >= _LEAST_SECONDS:
            self._cores = (used - self._used) / (now - self._since)
            self._since, self._used = now, used
        return self._cores


class Leadership:
    """Knows which partitions this replica leads. `queue_seconds` returns how long a message would wait in this
    replica."""

    def __init__(self, settings: MessageSettings, metrics: MessageMetrics) -> None:
        partitions = settings.partitions
        self.replica = secrets.token_hex(8)
        self._partitions = partitions
        self._replicas = LiveReplicas(partitions)
        self._decision = StandbyDecision(self.replica, settings.leader_cores)
        self._load = ProcessorLoad()
        self.queue_seconds: Callable[[], float] = float
        self._resigned = False
        self.withdrawn = False
        """While this is True, the replica leads no partition, as if it had stopped."""
        self._disagreed: set[str] = set()
        metrics.partitions.set_function(lambda: self._replicas.led(self.replica, time.monotonic()))

    @property
    def announced(self) -> int:
        """The number of partitions that heartbeats name."""
        return STOPPING if self._resigned or self.withdrawn else self._partitions

    def is_standby(self) -> bool:
        """Whether this replica is a standby. The next heartbeat reports it."""
        return self._decision.is_standby(self._replicas.__contains__, time.monotonic())

    def load(self) -> float:
        """The load that the next heartbeat reports. If messages wait in this replica, it reports a high load even if it
        cannot use more CPU, so that a standby becomes a leader."""
        queued = self.queue_seconds() > _QUEUE_SECONDS
        return self._load.take(time.monotonic(), time.process_time()) + (self._decision.cores if queued else 0.0)

    def resign(self) -> None:
        """Lead no partition from the next heartbeat on."""
        self._resigned = True

    def has_others(self) -> bool:
        """Whether another replica is live."""
        return self._replicas.has_others(self.replica, time.monotonic())

    def leads(self, chat: ChatId) -> bool:
        return self._replicas.leader(chat, time.monotonic()) == self.replica

    def receive_heartbeat(self, data: bytes) -> None:
        """Receives the heartbeats of all replicas, including this one."""
        heartbeat = _decode_heartbeat(data)
        partitions = heartbeat.partitions
        self._replicas.heartbeat(heartbeat.replica, partitions, time.monotonic(), standby=heartbeat.spare)
        self._decision.note(heartbeat.replica, heartbeat.load)
        if partitions not in (STOPPING, 0, self._partitions):
            self._report(heartbeat, "another replica has a different number of partitions (message.partitions)")

    def _report(self, heartbeat: Heartbeat, problem: str) -> None:
        """Log the problem once for each replica."""
        if heartbeat.replica not in self._disagreed:
            self._disagreed.add(heartbeat.replica)
            _log.error(problem, replica=heartbeat.replica, partitions=heartbeat.partitions, own=self._partitions)


_LONGER_SECONDS = 30.0
"""A leader that is no longer needed continues to lead for this time."""


class StandbyDecision:
    """Decides whether a replica leads chats or is a standby. While there is little to do, few replicas should lead:
    their batches are then larger, and each message costs less. The class does no input or output. Times are seconds of
    one monotonic clock.

    Replicas are needed in the order of their names: one for each `cores` cores that all replicas use together. With
    `cores` 0, all replicas are needed. Each replica decides by itself from the announcements of all replicas, so for a
    moment there may be too many leaders. If all replicas were standbys, all of them lead chats."""

    def __init__(self, replica: str, cores: float) -> None:
        self._replica = replica
        self.cores = cores
        self._loads: dict[str, float] = {}
        self._needed_at = float("-inf")

    def note(self, replica: str, load: float) -> None:
        """Note how many cores a replica uses, as it has announced."""
        self._loads[replica] = load

    def is_standby(self, is_live: Callable[[str], bool], now: float) -> bool:
        """Whether this replica is a standby now. `is_live`: returns whether a replica can lead chats."""
        self._loads = {replica: load for replica, load in self._loads.items() if is_live(replica)}
        if not self.cores:
            return False
        needed = max(1, math.ceil(sum(self._loads.values()) / self.cores))
        if self._replica in sorted(self._loads)[:needed]:
            self._needed_at = now
        return now - self._needed_at > _LONGER_SECONDS


_INTERVAL_SECONDS = 1.0

Failures = Callable[[], Awaitable[Mapping[str, str]]]
"""Checks the dependencies. Returns the error of each dependency that fails."""


class Withdrawal:
    """While the database fails for this replica, it leaves its requests to the other replicas, for which the database
    may still work."""

    def __init__(self, bus: Bus, leadership: Leadership, failures: Failures) -> None:
        self._bus = bus
        self._leadership = leadership
        self._failures = failures

    async def run(self) -> None:
        while True:
            await asyncio.sleep(until_next(_INTERVAL_SECONDS))
            if not self._leadership.withdrawn and not self._leadership.has_others():
                continue  # each check costs a transaction and a probe that NATS stores
            error = (await self._failures()).get("database", "")
            if self._leadership.withdrawn and not error:
                self._leadership.withdrawn = False
                with suppress(nats.errors.Error):  # NATS gets the subscriptions when it answers again
                    await self._bus.serve_queues(True)
                _log.info("serves again")
            elif not self._leadership.withdrawn and error and self._leadership.has_others():
                self._leadership.withdrawn = True
                _log.warning("the database does not work: other replicas handle the requests", error=error)
                await self._bus.serve_queues(False)
