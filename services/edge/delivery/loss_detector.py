"""Did every envelope arrive? Counters of each replica of message, pure.

A replica counts its envelopes per subject (this node's, and "all" for broadcasts), and repeats the counters in a
heartbeat each second. A skip, a counter of a heartbeat that is not reached soon after it (the two travel apart), or
silence of a replica that did not take its leave, is a loss. A replica that runs again is another one.
"""

from dataclasses import dataclass, field

from shared.contract.edge import Heartbeat
from shared.contract.ids import NodeId

BROADCAST = "all"
SILENCE_SECONDS = 3.5
PATIENCE_SECONDS = 0.7
FIRST_SECONDS = 1.5
"""Every replica that runs already is heard of within this time; what it broadcast before was not for this node."""


@dataclass(slots=True)
class _Replica:
    heard: float
    seen: dict[str, int] = field(default_factory=dict)
    promised: list[tuple[float, str, int]] = field(default_factory=list)
    """When a heartbeat came that was ahead of the envelopes, its subject and counter."""
    leaving: bool = False


class LossDetector:
    """`envelope` and `tick` name what was lost; the caller then syncs everything, so each loss is named once."""

    def __init__(self, node: NodeId, now: float) -> None:
        self._node = node
        self._began = now
        self._replicas: dict[tuple[str, int], _Replica] = {}

    def envelope(self, replica: str, epoch: int, subject: str, counter: int, now: float) -> bool:
        """Whether envelopes of this subject (the node's name or BROADCAST) were lost before this one."""
        known = self._replica(replica, epoch, counter - 1 if subject == BROADCAST else 0, now)
        before = known.seen.get(subject, 0)
        known.seen[subject] = max(before, counter)
        return counter > before + 1

    def heartbeat(self, beat: Heartbeat, now: float) -> None:
        known = self._replica(beat.replica, beat.epoch, beat.counters.get(BROADCAST, 0), now)
        known.leaving = beat.leaving
        for subject in (self._node, BROADCAST):
            counter = beat.counters.get(subject, 0)
            if counter > known.seen.get(subject, 0):
                known.promised.append((now, subject, counter))

    def tick(self, now: float) -> list[str]:
        """Called about every second: what is lost, in words."""
        losses: list[str] = []
        for key, replica in list(self._replicas.items()):
            if self._broken_promises(replica, now):
                losses.append(f"envelopes of {key[0]}")
            if now - replica.heard > SILENCE_SECONDS:
                del self._replicas[key]
                if not replica.leaving:
                    losses.append(f"silence of {key[0]}")
        return losses

    def _broken_promises(self, replica: _Replica, now: float) -> bool:
        broken = False
        while replica.promised and now - replica.promised[0][0] > PATIENCE_SECONDS:
            _, subject, counter = replica.promised.pop(0)
            if replica.seen.get(subject, 0) < counter:
                replica.seen[subject] = counter
                broken = True
        return broken

    def _replica(self, name: str, epoch: int, broadcasts: int, now: float) -> _Replica:
        known = self._replicas.get((name, epoch))
        if known is None:
            known = self._replicas[name, epoch] = _Replica(now)
            if now - self._began < FIRST_SECONDS:
                known.seen[BROADCAST] = broadcasts
        known.heard = now
        return known
