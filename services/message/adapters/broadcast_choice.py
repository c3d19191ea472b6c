"""Which chats are broadcast to all edges, and in which chats messages name their recipients, edge by edge.

To name them, each member's edges are looked up. A broadcast reaches edges that hold no member, in vain. So the choice
compares the members of a chat with these edges: `broadcast_members_per_edge` is the number of members whose look-up
costs as much as one envelope in vain. How many edges hold members is known from the last message that named them.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from shared.contract.ids import ChatId, NodeId

_MAX_NAMED_RECIPIENTS = 40_000
"""Recipients of one message that fit into an envelope."""
_EDGE_SECONDS = 60.0
"""An edge counts as present for so long after a request from it or an envelope to it."""
_KNOWN_SECONDS = 30.0
"""Then a message names its recipients again."""


class _Reached(NamedTuple):
    edges: int
    at: float


class BroadcastChoice:
    """Times are monotonic seconds."""

    def __init__(self, members_per_edge: int) -> None:
        self._per_edge = members_per_edge
        self._edges_seen: dict[NodeId, float] = {}
        """The time of each edge's last request."""
        self._present: set[NodeId] = set()
        """The edges that are present."""
        self._reached: dict[ChatId, _Reached] = {}
        """The edges to which the last message that named its recipients went, of chats with many members."""

    def edge_seen(self, node: NodeId) -> None:
        """This edge has sent a request."""
        self._edges_seen[node] = time.monotonic()
        self._present.add(node)

    def update(self, sent_since: Callable[[float], set[NodeId]]) -> None:
        """Once a second. `sent_since`: the edges that got an envelope after this time."""
        now = time.monotonic()
        since = now - _EDGE_SECONDS
        self._edges_seen = {node: last for node, last in self._edges_seen.items() if last > since}
        self._present = sent_since(since).union(self._edges_seen)
        self._reached = {chat: one for chat, one in self._reached.items() if one.at > now - _KNOWN_SECONDS}

    def reached(self, chat: ChatId, members: int, edges: int) -> None:
        """A message to so many members has gone to so many edges by name."""
        if members >= self._per_edge:
            self._reached[chat] = _Reached(edges, time.monotonic())

    def is_broadcast(self, chat: ChatId, members: int) -> bool:
        """Unless it is known otherwise, no edge holds a member. Without any present edge, all recipients are named."""
        if members >= _MAX_NAMED_RECIPIENTS:
            return True
        if members < self._per_edge or not self._present:
            return False
        known = self._reached.get(chat)
        in_vain = len(self._present) - (0 if known is None else known.edges)
        return members >= self._per_edge * max(in_vain, 1)
