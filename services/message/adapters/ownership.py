"""The partitions of chats that this replica owns, by the heartbeats of all replicas. Edges send it the messages of
these partitions on its own subject.

Ownership only decides which replica is quickest: it has the rosters, and no other replica locks the same rows.
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
from shared.contract.subjects import post
from shared.partitions import STOPPING, LiveReplicas
from shared.settings import MessageSettings
from shared.telemetry import log

_log = log(__name__)
_QUEUE_SECONDS = 0.1
_LEAST_SECONDS = 0.5
_decode_heartbeat = msgspec.msgpack.Decoder(Heartbeat).decode


class ProcessorLoad:
    """The cores that this process has used since the time before, or one time earlier if that was just now."""

    def __init__(self) -> None:
        self._since = float("-inf")
        self._used = self._cores = 0.0

    def take(self, now: float, used: float) -> float:
        """`used`: seconds of the processor since the start."""
        if now - self._since >= _LEAST_SECONDS:
            self._cores = (used - self._used) / (now - self._since)
            self._since, self._used = now, used
        return self._cores


IsDenied = Callable[[str], bool]
"""Whether the broker denies this process a subject."""


class Ownership:
    """`queue_seconds`: how long a message would wait here."""

    def __init__(self, settings: MessageSettings, is_denied: IsDenied, metrics: MessageMetrics) -> None:
        partitions = settings.partitions
        self.replica = secrets.token_hex(8)
        self._partitions = partitions
        self._is_denied = is_denied
        self._replicas = LiveReplicas(partitions)
        self._decision = SpareDecision(self.replica, settings.owner_cores)
        self._load = ProcessorLoad()
        self.queue_seconds: Callable[[], float] = float
        self._resigned = False
        self.withdrawn = False
        """Own no partition for a while, as if this replica stopped."""
        self._disagreed: set[str] = set()
        metrics.partitions.set_function(lambda: self._replicas.owned(self.replica, time.monotonic()))

    @property
    def announced(self) -> int:
        """The number of partitions that heartbeats name; 0 while this replica can own none: it has the grants of a
        version without partitions."""
        if self._resigned or self.withdrawn:
            return STOPPING
        return 0 if self._is_denied(post(self.replica).subject) else self._partitions

    def is_spare(self) -> bool:
        """For the next heartbeat."""
        return self._decision.is_spare(self._replicas.__contains__, time.monotonic())

    def load(self) -> float:
        """For the next heartbeat. A replica with a queue needs another one, whatever keeps it from using more."""
        queued = self.queue_seconds() > _QUEUE_SECONDS
        return self._load.take(time.monotonic(), time.process_time()) + (self._decision.cores if queued else 0.0)

    def resign(self) -> None:
        """Own no partition from the next heartbeat on."""
        self._resigned = True

    def has_others(self) -> bool:
        """Whether another replica is live."""
        return self._replicas.has_others(self.replica, time.monotonic())

    def owns(self, chat: ChatId) -> bool:
        return self._replicas.owner(chat, time.monotonic()) == self.replica

    def receive_heartbeat(self, data: bytes) -> None:
        """Of any replica, this one included."""
        heartbeat = _decode_heartbeat(data)
        partitions = heartbeat.partitions
        self._replicas.heartbeat(heartbeat.replica, partitions, time.monotonic(), spare=heartbeat.spare)
        self._decision.note(heartbeat.replica, heartbeat.load)
        if partitions not in (STOPPING, 0, self._partitions):
            self._report(heartbeat, "another replica has another number of partitions (message.partitions)")

    def _report(self, heartbeat: Heartbeat, problem: str) -> None:
        """Once for each replica."""
        if heartbeat.replica not in self._disagreed:
            self._disagreed.add(heartbeat.replica)
            _log.error(problem, replica=heartbeat.replica, partitions=heartbeat.partitions, own=self._partitions)


_LONGER_SECONDS = 30.0
"""An owner that is not needed any more is one for so long."""


class SpareDecision:
    """Whether a replica owns chats or is a spare: while there is little to do, few owners have larger batches, and
    messages cost less. Pure; times are of one monotonic clock, in seconds.

    Replicas are needed in the order of their names, one for each `cores` of the processor that all of them use; 0:
    all are. They decide for themselves alone, by what each announces: for a moment there may be too many owners. While
    all are spares, all own chats."""

    def __init__(self, replica: str, cores: float) -> None:
        self._replica = replica
        self.cores = cores
        self._loads: dict[str, float] = {}
        self._needed_at = float("-inf")

    def note(self, replica: str, load: float) -> None:
        """A replica, this one or another, has announced the cores that it uses."""
        self._loads[replica] = load

    def is_spare(self, is_live: Callable[[str], bool], now: float) -> bool:
        """`is_live`: whether a replica can own chats."""
        self._loads = {replica: load for replica, load in self._loads.items() if is_live(replica)}
        if not self.cores:
            return False
        needed = max(1, math.ceil(sum(self._loads.values()) / self.cores))
        if self._replica in sorted(self._loads)[:needed]:
            self._needed_at = now
        return now - self._needed_at > _LONGER_SECONDS


_INTERVAL_SECONDS = 1.0

Failures = Callable[[], Awaitable[Mapping[str, str]]]
"""The error of each dependency that does not work."""


class Withdrawal:
    """A replica whose database does not work for it leaves its requests to the others, if there are any: it may be cut
    off from a database that works for them."""

    def __init__(self, bus: Bus, ownership: Ownership, failures: Failures) -> None:
        self._bus = bus
        self._ownership = ownership
        self._failures = failures

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            error = (await self._failures()).get("database", "")
            if self._ownership.withdrawn and not error:
                self._ownership.withdrawn = False
                await self._bus.serve_queues(True)
                _log.info("serves again")
            elif not self._ownership.withdrawn and error and self._ownership.has_others():
                self._ownership.withdrawn = True
                _log.warning("leaves its requests to other replicas: its database does not work", error=error)
                await self._bus.serve_queues(False)
