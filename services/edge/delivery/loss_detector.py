"""Detects lost envelopes by the counters of each replica of the message service; pure.

A replica counts its envelopes per subject (this node's, and "all" for broadcasts). An empty envelope follows the last
one to this node, and a heartbeat each second repeats the counter of broadcasts (in the version before, this node's,
too). Three things are a loss: a skipped counter, a heartbeat's counter that is not reached soon after it (heartbeats
and envelopes travel apart), and the silence of a replica that did not announce its end. A restarted replica counts as a
new one.

A replica that knows this node by its announcements repeats on the node's subject what it broadcasts, and the node may
not receive broadcasts: their counter proves nothing until a heartbeat has shown that the replica does so no more.
"""

from dataclasses import dataclass, field

from shared.contract.edge import Heartbeat
from shared.contract.ids import NodeId

BROADCAST = "all"
SILENCE_SECONDS = 3.5
PATIENCE_SECONDS = 0.7
FIRST_SECONDS = 1.5
"""Within this time every running replica is heard. Its earlier broadcasts were not meant for this node."""


@dataclass(slots=True)
class _Replica:
    last_seen: float
    counters: dict[str, int] = field(default_factory=dict)
    announced: list[tuple[float, str, int]] = field(default_factory=list)
    """Heartbeats ahead of the envelopes: time of arrival, subject and counter."""
    leaving: bool = False
    knows_node: bool = False


class LossDetector:
    """`envelope` and `tick` report each loss once; the caller then syncs everything."""

    def __init__(self, node: NodeId, now: float) -> None:
        self._node = node
        self._started = now
        self._replicas: dict[tuple[str, int], _Replica] = {}

    def envelope(self, replica: str, epoch: int, subject: str, counter: int, now: float) -> bool:
        """Whether envelopes of this subject (the node's name or BROADCAST) were lost before this one."""
        sender = self._replica(replica, epoch, counter - 1 if subject == BROADCAST else 0, now)
        before = sender.counters.get(subject, 0)
        sender.counters[subject] = max(before, counter)
        return counter > before + 1 and not (subject == BROADCAST and sender.knows_node)

    def heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        sender = self._replica(heartbeat.replica, heartbeat.epoch, heartbeat.counters.get(BROADCAST, 0), now)
        sender.leaving = heartbeat.leaving
        knew_node, sender.knows_node = sender.knows_node, self._node in heartbeat.known_nodes
        if knew_node or sender.knows_node:
            sender.counters[BROADCAST] = max(sender.counters.get(BROADCAST, 0), heartbeat.counters.get(BROADCAST, 0))
            sender.announced = [one for one in sender.announced if one[1] != BROADCAST]
        for subject in (self._node, BROADCAST):
            counter = heartbeat.counters.get(subject, 0)
            if counter > sender.counters.get(subject, 0):
                sender.announced.append((now, subject, counter))

    def tick(self, now: float) -> list[str]:
        """Called about every second. Describes each loss."""
        losses: list[str] = []
        for key, replica in list(self._replicas.items()):
            if self._has_missed_envelopes(replica, now):
                losses.append(f"envelopes of {key[0]}")
            if now - replica.last_seen > SILENCE_SECONDS:
                del self._replicas[key]
                if not replica.leaving:
                    losses.append(f"silence of {key[0]}")
        return losses

    def _has_missed_envelopes(self, replica: _Replica, now: float) -> bool:
        missed = False
        while replica.announced and now - replica.announced[0][0] > PATIENCE_SECONDS:
            _, subject, counter = replica.announced.pop(0)
            if replica.counters.get(subject, 0) < counter:
                replica.counters[subject] = counter
                missed = True
        return missed

    def _replica(self, name: str, epoch: int, broadcasts: int, now: float) -> _Replica:
        replica = self._replicas.get((name, epoch))
        if replica is None:
            replica = self._replicas[name, epoch] = _Replica(now)
            if now - self._started < FIRST_SECONDS:
                replica.counters[BROADCAST] = broadcasts
        replica.last_seen = now
        return replica
