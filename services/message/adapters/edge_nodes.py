"""The edge nodes that this replica knows to exist, the numbers of its delivery batches to each, and which chats are
broadcast to all.

A node is one process of an edge. It is present for a while after a request from it, or a delivery batch to it. Delivery
batches for each node, and broadcasts, count from 1, so that edges detect losses. A skipped number reveals a loss; a
lost last batch is revealed by an empty one that follows when a node gets nothing more for half a second. It is repeated
after twice the time each time, for nine minutes: an empty batch may be lost, too. Counters of idle nodes are
remembered, so that no counter of a living node ever goes back; beyond 4,096 nodes, those idle for longest are
forgotten.
"""

import time
from typing import NamedTuple

from shared.contract.ids import ChatId, NodeId

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


_MAX_NAMED_RECIPIENTS = 40_000
"""Recipients of one message that fit into a delivery batch."""
_KNOWN_SECONDS = 30.0
"""Then a message names its recipients again."""


class _Reached(NamedTuple):
    edges: int
    at: float


class BroadcastChoice:
    """Which chats are broadcast to all edges, and in which chats messages name their recipients, edge by edge.

    To name them, each member's edges are looked up. A broadcast reaches edges that hold no member, in vain. So the
    choice compares the members of a chat with these edges: `members_per_edge` is the number of members whose lookup
    costs as much as one delivery batch in vain. How many edges hold members is known from the last message that named
    them. Times are monotonic seconds."""

    def __init__(self, members_per_edge: int, nodes: EdgeNodes) -> None:
        self._per_edge = members_per_edge
        self._nodes = nodes
        self._reached: dict[ChatId, _Reached] = {}
        """The edges to which the last message that named its recipients went, of chats with many members."""

    def update(self) -> None:
        """Once a second."""
        since = time.monotonic() - _KNOWN_SECONDS
        self._reached = {chat: one for chat, one in self._reached.items() if one.at > since}

    def reached(self, chat: ChatId, members: int, edges: int) -> None:
        """A message to so many members has gone to so many edges by name."""
        if members >= self._per_edge:
            self._reached[chat] = _Reached(edges, time.monotonic())

    def is_broadcast(self, chat: ChatId, members: int) -> bool:
        """Unless it is known otherwise, no edge holds a member. Without any present edge, all recipients are named."""
        if members >= _MAX_NAMED_RECIPIENTS:
            return True
        if members < self._per_edge or not self._nodes.present:
            return False
        known = self._reached.get(chat)
        in_vain = len(self._nodes.present) - (0 if known is None else known.edges)
        return members >= self._per_edge * max(in_vain, 1)
