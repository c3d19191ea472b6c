"""One client's backlogs: begun before the login is answered, read beside everything else, then forgotten."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from services.edge.catchup.backlog import Backlog, BacklogReader
from services.edge.context import EdgeContext
from services.edge.presence.local_accounts import LocalAccount
from shared.contract.ids import ChatId, NodeId
from shared.contract.model import Message
from shared.telemetry import log

_log = log(__name__)


class FallibleReader(BacklogReader, Protocol):
    def fail(self) -> None:
        """What was missed cannot be shown, for a reason that has been logged."""


class CatchUp:
    __slots__ = ("_node", "_reader", "backlog", "reading")

    def __init__(self, node: EdgeContext, reader: FallibleReader) -> None:
        self._node = node
        self._reader = reader
        self.backlog: Backlog | None = None
        """While one is being read, and until the chats' heads have passed it; without one, all that comes is news."""
        self.reading: asyncio.Task[None] | None = None

    async def begin(self, resident: LocalAccount, others: Collection[NodeId]) -> None:
        """Before a login is answered."""
        self.backlog = Backlog(self._node, self._reader, resident)
        await self.backlog.begin(others)

    def start_reading(self) -> None:
        """After it is answered: read what was missed."""
        if self.backlog is not None and self.reading is None:
            self._start(self.backlog.read_all, "sync")

    def chat_discovered(self, resident: LocalAccount, chat: ChatId, fresh: int) -> None:
        """See services.edge.presence.local_accounts.Recipient.catch_up."""
        if self.backlog is None:
            self.backlog = Backlog(self._node, self._reader, resident, complete=True)
        self.backlog.chat_discovered(chat, fresh)
        if self.backlog.complete and (self.reading is None or self.reading.done()):
            self._start(self.backlog.read_discovered, "sync chats")

    def contains(self, message: Message) -> bool:
        """Whether the message is still to come, or has come, with what was missed."""
        if self.backlog is None:
            return False
        covered = self.backlog.contains(message)
        if self.backlog.is_finished:
            self.backlog = None
        return covered

    def mark_sent(self, chat: ChatId, index: int) -> None:
        """The client has got this message as an answer."""
        if self.backlog is not None:
            self.backlog.mark_sent(chat, index)

    def cancel(self) -> None:
        self.backlog = None
        if self.reading is not None:
            self.reading.cancel()
            self.reading = None

    def _start(self, read: Callable[[], Awaitable[None]], name: str) -> None:
        self.reading = self._node.tasks.start(self._read(read), name)

    async def _read(self, read: Callable[[], Awaitable[None]]) -> None:
        try:
            await read()
        except Exception:
            _log.exception("backlog not read")
            self._reader.fail()
