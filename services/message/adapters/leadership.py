"""The partitions of chats that this replica leads, as the heartbeats of all replicas decide. Edges send the messages of
these partitions to this replica's own subject.

Leadership only makes posting faster: the leader already has the member lists, and no other replica locks the same rows.
"""

import asyncio
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from services.message.metrics import MessageMetrics
from shared.bus.client import Bus
from shared.contract.edge import Heartbeat
from shared.contract.ids import ChatId
from shared.partitions import STOPPING, LiveReplicas
from shared.settings import MessageSettings
from shared.telemetry import log

_log = log(__name__)
_QUEUE_SECONDS = 0.1
_LEAST_SECONDS = 0.5
_decode_heartbeat = msgspec.msgpack.Decoder(Heartbeat).decode


class ProcessorLoad:
    """Measures the cores that this process uses since the last measurement, or since an earlier one if the last was a
    moment ago."""

    def __init__(self) -> None:
        self._since = float("-inf")
        self._used = self._cores = 0.0

    def take(self, now: float, used: float) -> float:
        """`used`: seconds of CPU time since the start."""
        if now - self._since >= _LEAST_SECONDS:
            self._cores = (used - self._used) / (now - self._since)
            self._since, self._used = now, used
        return self._cores


class Leadership:
    """`queue_seconds` tells how long a message would wait here."""

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
        """True while this replica leads no partition, as if it had stopped."""
        self._disagreed: set[str] = set()
        metrics.partitions.set_function(lambda: self._replicas.led(self.replica, time.monotonic()))

    @property
    def announced(self) -> int:
        """The number of partitions that heartbeats name."""
        return STOPPING if self._resigned or self.withdrawn else self._partitions

    def is_standby(self) -> bool:
        """The next heartbeat reports this value."""
        return self._decision.is_standby(self._replicas.__contains__, time.monotonic())

    def load(self) -> float:
        """The next heartbeat reports this value. A replica with a queue reports a high load, so that a standby helps,
        even if this replica cannot use more CPU."""
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
"""A leader that is no longer needed continues for this time."""


class StandbyDecision:
    """Decides whether a replica leads chats or is a standby. While there is little to do, few leaders have larger
    batches, and messages cost less. The decision is pure. Times are seconds of one monotonic clock.

    Replicas are needed in the order of their names: one for each `cores` cores that all replicas use together. With
    `cores` 0, all replicas are needed. Each replica decides alone by the announcements of all replicas, so for a moment
    there may be too many leaders. While all replicas are standbys, all lead chats."""

    def __init__(self, replica: str, cores: float) -> None:
        self._replica = replica
        self.cores = cores
        self._loads: dict[str, float] = {}
        self._needed_at = float("-inf")

    def note(self, replica: str, load: float) -> None:
        """Note the cores that a replica has announced."""
        self._loads[replica] = load

    def is_standby(self, is_live: Callable[[str], bool], now: float) -> bool:
        """`is_live`: whether a replica can lead chats."""
        self._loads = {replica: load for replica, load in self._loads.items() if is_live(replica)}
        if not self.cores:
            return False
        needed = max(1, math.ceil(sum(self._loads.values()) / self.cores))
        if self._replica in sorted(self._loads)[:needed]:
            self._needed_at = now
        return now - self._needed_at > _LONGER_SECONDS


_INTERVAL_SECONDS = 1.0

Failures = Callable[[], Awaitable[Mapping[str, str]]]
"""The error of each dependency that fails."""


class Withdrawal:
    """A replica leaves its requests to the other replicas while the database fails for this replica. The database may
    still work for other replicas."""

    def __init__(self, bus: Bus, leadership: Leadership, failures: Failures) -> None:
        self._bus = bus
        self._leadership = leadership
        self._failures = failures

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            if not self._leadership.withdrawn and not self._leadership.has_others():
                continue  # the checks cost a transaction and a stored probe
            error = (await self._failures()).get("database", "")
            if self._leadership.withdrawn and not error:
                self._leadership.withdrawn = False
                await self._bus.serve_queues(True)
                _log.info("serves again")
            elif not self._leadership.withdrawn and error and self._leadership.has_others():
                self._leadership.withdrawn = True
                _log.warning("the database does not work: other replicas handle the requests", error=error)
                await self._bus.serve_queues(False)
