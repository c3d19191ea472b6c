"""Which chats are broadcast to all edges, and in which chats messages name their recipients, edge by edge.

To name them, each member's edges are looked up. A broadcast reaches edges that hold no member, in vain. So the choice
compares the members of a chat with these edges: `broadcast_members_per_edge` is the number of members whose lookup
costs as much as one delivery batch in vain. How many edges hold members is known from the last message that named them.
"""

import time
from typing import NamedTuple

from services.message.adapters.edge_nodes import EdgeNodes
from shared.contract.ids import ChatId

_MAX_NAMED_RECIPIENTS = 40_000
"""Recipients of one message that fit into a delivery batch."""
_KNOWN_SECONDS = 30.0
"""Then a message names its recipients again."""


class _Reached(NamedTuple):
    edges: int
    at: float


class BroadcastChoice:
    """Times are monotonic seconds."""

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
