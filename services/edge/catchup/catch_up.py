"""The backlog of one client: begun before the login is answered, read beside everything else, then forgotten."""

import asyncio
from collections.abc import Collection, Iterable

from services.edge.catchup.backlog import Backlog, OwnMessages, Steps
from services.edge.catchup.reader import BacklogReader
from services.edge.delivery.local_chats import LocalChats
from services.edge.dialects.base import Dialect
from services.edge.presence.local_accounts import LocalAccount
from shared.contract.ids import ChatId, NodeId
from shared.contract.model import Message


class CatchUp:
    """`start_reading` and `chat_discovered` return steps if there is something to read. The client carries them out in
    a task, which it keeps in `reading`."""

    __slots__ = ("_chats", "_reader", "backlog", "own", "reading")

    def __init__(self, reader: BacklogReader, chats: LocalChats) -> None:
        self._reader = reader
        self._chats = chats
        self.own: OwnMessages
        """Set before `begin`."""
        self.backlog: Backlog | None = None
        """While one is being read, and until the chats' heads have passed it; without one, every message is live."""
        self.reading: asyncio.Task[None] | None = None

    async def begin(self, account: LocalAccount, dialect: Dialect, other_nodes: Collection[NodeId]) -> None:
        """Before a login is answered."""
        self.backlog = Backlog(self._reader, self._chats, account, dialect, self.own)
        await self.backlog.begin(other_nodes)

    def start_reading(self) -> Steps | None:
        """After a login is answered: reads the missed messages."""
        if self.backlog is None or self.reading is not None:
            return None
        return self.backlog.read_all()

    def chat_discovered(self, account: LocalAccount, dialect: Dialect, chat: ChatId, fresh: int) -> Steps | None:
        """See services.edge.presence.local_accounts.Recipient.catch_up."""
        if self.backlog is None:
            self.backlog = Backlog(self._reader, self._chats, account, dialect, self.own, complete=True)
        self.backlog.chat_discovered(chat, fresh)
        if self.backlog.complete and (self.reading is None or self.reading.done()):
            return self.backlog.read_discovered()
        return None

    def contains(self, message: Message) -> bool:
        """Whether the backlog shows, or has shown, the message."""
        if self.backlog is None:
            return False
        contained = self.backlog.contains(message)
        if self.backlog.is_finished:
            self.backlog = None
        return contained

    def awaits(self, chat: ChatId) -> bool:
        """Whether messages of this chat are still to be read."""
        return self.backlog is not None and self.backlog.awaits(chat)

    def unpushed_to(self, chats: Iterable[ChatId]) -> dict[ChatId, int]:
        """The index of each chat up to which no messages will be pushed: the client requests them."""
        return self.backlog.unpushed_to(chats) if self.backlog is not None else {}

    def mark_sent(self, chat: ChatId, index: int) -> None:
        """The client has received this message as a reply."""
        if self.backlog is not None:
            self.backlog.mark_sent(chat, index)

    def cancel(self) -> None:
        self.backlog = None
        if self.reading is not None:
            self.reading.cancel()
            self.reading = None
