"""The partitions of chats that this replica owns, by the heartbeats of all replicas. Edges send it the messages of
these partitions on its own subject.

Ownership only decides which replica is quickest: it has the rosters, and no other replica locks the same rows.
"""

import secrets
import time
from collections.abc import Callable

import msgspec

from services.message.metrics import MessageMetrics
from shared.contract.edge import Heartbeat
from shared.contract.subjects import post
from shared.partitions import STOPPING, LiveReplicas
from shared.telemetry import log

_log = log(__name__)
_decode_heartbeat = msgspec.msgpack.Decoder(Heartbeat).decode

IsDenied = Callable[[str], bool]
"""Whether the broker denies this process a subject."""


class Ownership:
    """`partitions`: see MessageSettings."""

    def __init__(self, partitions: int, is_denied: IsDenied, metrics: MessageMetrics) -> None:
        self.replica = secrets.token_hex(8)
        self._partitions = partitions
        self._is_denied = is_denied
        self._replicas = LiveReplicas(partitions)
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

    def resign(self) -> None:
        """Own no partition from the next heartbeat on."""
        self._resigned = True

    def has_others(self) -> bool:
        """Whether another replica is live."""
        return self._replicas.has_others(self.replica, time.monotonic())

    def receive_heartbeat(self, data: bytes) -> None:
        """Of any replica, this one included."""
        heartbeat = _decode_heartbeat(data)
        self._replicas.heartbeat(heartbeat.replica, heartbeat.partitions, time.monotonic())
        if heartbeat.partitions not in (STOPPING, 0, self._partitions) and heartbeat.replica not in self._disagreed:
            self._disagreed.add(heartbeat.replica)
            _log.error(
                "another replica has another number of partitions (message.partitions)",
                replica=heartbeat.replica,
                partitions=heartbeat.partitions,
                own=self._partitions,
            )
