"""Did every envelope arrive? Counters of each replica of message, pure.

A replica counts its envelopes per subject (this node's, and "all" for broadcasts), and repeats the counters in a
heartbeat each second. A skip, a counter of a heartbeat that is not reached soon after it (the two travel apart), or
silence of a replica that did not take its leave, is a loss.
"""

from dataclasses import dataclass, field

from shared.contract.edge import Heartbeat
from shared.contract.ids import NodeId

BROADCAST = "all"
SILENCE_SECONDS = 3.5
PATIENCE_SECONDS = 0.7


@dataclass(slots=True)
class _Replica:
    epoch: int
    heard: float
    seen: dict[str, int] = field(default_factory=dict)
    promised: dict[str, tuple[int, float]] = field(default_factory=dict)
    leaving: bool = False


class LossDetector:
    """`envelope` and `tick` name what was lost; the caller then syncs everything, so each loss is named once."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self._replicas: dict[str, _Replica] = {}

    def envelope(self, replica: str, epoch: int, subject: str, counter: int, now: float) -> bool:
        """Whether envelopes of this subject (the node's name or BROADCAST) were lost before this one."""
        known = self._replica(replica, epoch, now)
        before = known.seen.get(subject, 0)
        known.seen[subject] = max(before, counter)
        return counter > before + 1

    def heartbeat(self, beat: Heartbeat, now: float) -> None:
        known = self._replica(beat.replica, beat.epoch, now)
        known.leaving = beat.leaving
        for subject in (self._node, BROADCAST):
            counter = beat.counters.get(subject, 0)
            if counter > known.seen.get(subject, 0) and subject not in known.promised:
                known.promised[subject] = (counter, now)

    def tick(self, now: float) -> list[str]:
        """Called about every second: what is lost, in words."""
        losses: list[str] = []
        for name, replica in list(self._replicas.items()):
            for subject, (counter, since) in list(replica.promised.items()):
                if replica.seen.get(subject, 0) >= counter:
                    del replica.promised[subject]
                elif now - since > PATIENCE_SECONDS:
                    del replica.promised[subject]
                    replica.seen[subject] = counter
                    losses.append(f"envelopes of {name}")
            if now - replica.heard > SILENCE_SECONDS:
                del self._replicas[name]
                if not replica.leaving:
                    losses.append(f"silence of {name}")
        return losses

    def _replica(self, name: str, epoch: int, now: float) -> _Replica:
        known = self._replicas.get(name)
        if known is None or known.epoch != epoch:
            known = self._replicas[name] = _Replica(epoch, now)
        known.heard = now
        return known
