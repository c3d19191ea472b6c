"""Numbers the envelopes of this replica, so that edges detect losses. Pure.

Envelopes for each node, and broadcasts, count from 1. A skipped number reveals a loss; a lost last envelope is revealed
by an empty one that follows when a node gets nothing more for half a second. It is repeated after twice the time each
time, for nine minutes: an empty envelope may be lost, too. Counters of idle nodes are remembered, so that no counter of
a living node (a node is one process of an edge) ever goes back; beyond 4,096 nodes, those idle for longest are
forgotten.
"""

from shared.contract.ids import NodeId

ALL_NODES = NodeId("all")
"""The broadcast subject, among the nodes."""

_QUIET_SECONDS = 0.5
_REPETITIONS = 10
_REPORTED_SECONDS = 600.0
_MAX_NODES = 4096


class EnvelopeCounters:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self._counters: dict[NodeId, int] = {}
        """The last numbers, of the node idle for longest first."""
        self._last_sent: dict[NodeId, float] = {}
        self._closed: dict[NodeId, int] = {}
        """The number of empty envelopes since the last other one."""

    def next(self, node: NodeId, now: float) -> int:
        """The number of an envelope."""
        counter = self._counters.pop(node, 0) + 1
        self._counters[node] = counter
        self._last_sent[node] = now
        self._closed.pop(node, None)
        if len(self._counters) > _MAX_NODES:
            longest_idle = next(node for node in self._counters if node != ALL_NODES)
            del self._counters[longest_idle], self._last_sent[longest_idle]
            self._closed.pop(longest_idle, None)
        return counter

    def quiet(self, now: float, *, leaving: bool = False) -> list[NodeId]:
        """The nodes that an empty envelope is due to; when the replica leaves, all whose last envelope has none."""
        return [node for node in self._last_sent if node != ALL_NODES and self._is_due(node, now, leaving=leaving)]

    def _is_due(self, node: NodeId, now: float, *, leaving: bool) -> bool:
        repetitions = self._closed.get(node, 0)
        if leaving:
            return not repetitions
        return repetitions < _REPETITIONS and now - self._last_sent[node] >= _QUIET_SECONDS * 2**repetitions

    def next_empty(self, node: NodeId) -> int | None:
        """The number of an empty envelope; None if the node has been forgotten."""
        if node not in self._counters:
            return None
        self._counters[node] += 1
        self._closed[node] = self._closed.get(node, 0) + 1
        return self._counters[node]

    def reported(self, now: float) -> dict[str, int]:
        """The counters of a heartbeat: that of the broadcasts, unless the last one is long ago."""
        if now - self._last_sent.get(ALL_NODES, -_REPORTED_SECONDS) >= _REPORTED_SECONDS:
            return {}
        return {ALL_NODES: self._counters[ALL_NODES]}

    def sent_since(self, since: float) -> set[NodeId]:
        """The nodes that got an envelope after this time, without ALL_NODES."""
        return {node for node, sent in self._last_sent.items() if sent > since} - {ALL_NODES}
