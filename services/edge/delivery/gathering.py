"""Gathers the messages of a chat that come soon after one that went to many connections: they are delivered together,
with one write to each connection. A message is delayed by 20 ms at most."""

import asyncio
from collections.abc import Callable

from services.edge.delivery.grouping import group_runs
from services.edge.delivery.local_chats import LocalChats
from shared.contract.edge import Delivery
from shared.contract.ids import ChatId
from shared.telemetry import log

_log = log(__name__)
_MANY_CONNECTIONS = 100
_SECONDS = 12e-6
"""For each connection: about what the writes of a message take."""
_LONGEST_SECONDS = 0.02


class MessageGatherer:
    """Passes committed messages on to their chats. `delivery_failed` is called with a reason when that raises."""

    def __init__(self, chats: LocalChats, delivery_failed: Callable[[str], None]) -> None:
        self._chats = chats
        self._delivery_failed = delivery_failed
        self._gathered: dict[ChatId, list[Delivery]] = {}
        """Of the chats whose last messages went to many connections just now."""

    def receive(self, run: list[Delivery]) -> None:
        """Committed messages of one chat (see `group_runs`)."""
        chat = run[0].message.chat
        if (gathered := self._gathered.get(chat)) is not None:
            gathered += run
        elif (connections := self._deliver(run)) >= _MANY_CONNECTIONS:
            self._gather(chat, connections)

    def _gather(self, chat: ChatId, connections: int) -> None:
        self._gathered[chat] = []
        seconds = min(connections * _SECONDS, _LONGEST_SECONDS)
        asyncio.get_running_loop().call_later(seconds, self._release, chat)

    def _release(self, chat: ChatId) -> None:
        connections = max([self._deliver(run) for run in group_runs(self._gathered.pop(chat))], default=0)
        if connections >= _MANY_CONNECTIONS:
            self._gather(chat, connections)

    def _deliver(self, run: list[Delivery]) -> int:
        """The number of connections."""
        try:
            return self._chats.receive(run)
        except Exception:
            first = run[0].message
            _log.exception("messages not delivered", chat=first.chat, index=first.index, messages=len(run))
            self._delivery_failed("a delivery failed")
            return 0
