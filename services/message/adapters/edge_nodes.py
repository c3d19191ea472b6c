"""The edge nodes that this replica knows to exist, and the numbers of its delivery batches to each. Pure.

A node is one process of an edge. It is present for a while after a request from it, or a delivery batch to it. Delivery
batches for each node, and broadcasts, count from 1, so that edges detect losses. A skipped number reveals a loss; a
lost last batch is revealed by an empty one that follows when a node gets nothing more for half a second. It is repeated
after twice the time each time, for nine minutes: an empty batch may be lost, too. Counters of idle nodes are
remembered, so that no counter of a living node ever goes back; beyond 4,096 nodes, those idle for longest are
forgotten.
"""

from shared.contract.ids import NodeId

ALL_NODES = NodeId("all")
"""The broadcast subject, among the nodes."""

_QUIET_SECONDS = 0.5
_REPETITIONS = 10
_REPORTED_SECONDS = 600.0
_MAX_NODES = 4096
_PRESENT_SECONDS = 60.0


class EdgeNodes:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self._counters: dict[NodeId, int] = {}
        """The last numbers, of the node idle for longest first."""
        self._last_sent: dict[NodeId, float] = {}
        self._closed: dict[NodeId, int] = {}
        """The number of empty batches since the last other one."""
        self._heard: dict[NodeId, float] = {}
        """The time of each node's last request."""
        self.present: set[NodeId] = set()
        """The nodes that are present."""

    def heard(self, node: NodeId, now: float) -> None:
        """The node has sent a request."""
        self._heard[node] = now
        self.present.add(node)

    def update(self, now: float) -> None:
        """Once a second."""
        since = now - _PRESENT_SECONDS
        self._heard = {node: heard for node, heard in self._heard.items() if heard > since}
        sent = [node for node, sent in self._last_sent.items() if sent > since]
        self.present = {*self._heard, *sent} - {ALL_NODES}

    def next(self, node: NodeId, now: float) -> int:
        """The number of a delivery batch."""
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
        """The nodes that an empty batch is due to; when the replica leaves, all whose last envelope has none."""
        return [node for node in self._last_sent if node != ALL_NODES and self._is_due(node, now, leaving=leaving)]

    def _is_due(self, node: NodeId, now: float, *, leaving: bool) -> bool:
        repetitions = self._closed.get(node, 0)
        if leaving:
            return not repetitions
        return repetitions < _REPETITIONS and now - self._last_sent[node] >= _QUIET_SECONDS * 2**repetitions

    def next_empty(self, node: NodeId) -> int | None:
        """The number of an empty batch; None if the node has been forgotten."""
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
