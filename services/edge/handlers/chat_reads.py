"""Handles the commands by which a client marks a chat as read or unread, and gets the number of unread messages."""

import msgspec

from services.edge.canonical.commands import MarkChatRead
from services.edge.canonical.replies import ChatMarkedRead
from services.edge.confirmations.read_state import ReadStateFlusher
from services.edge.delivery.local_chats import LocalChats
from services.edge.ephemeral.read_events import ReadEvents
from services.edge.handlers.table import Handlers
from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.contract.ephemeral import ReadPlace
from shared.contract.ids import AccountId
from shared.contract.message import GetHistory, MarkUnread, UnreadMarked


class ChatReads:
    """Marks chats as read. Most clients mark the last message of the chat. Then nothing is unread, and the message
    service is not queried. It is not queried either if the client does not want the number."""

    def __init__(
        self, bus: Bus, accounts: LocalAccounts, chats: LocalChats, read_state: ReadStateFlusher, reads: ReadEvents
    ) -> None:
        self._bus = bus
        self._reads = reads
        self._accounts = accounts
        self._chats = chats
        self._read_state = read_state

    def handlers(self) -> Handlers:
        return {
            MarkChatRead: lambda by, command: self.mark(command, by.connection.account, by.connection.number),
            MarkUnread: lambda by, command: self.mark_unread(command, by.connection.account, by.connection.number),
        }

    async def mark(self, command: MarkChatRead, actor: AccountId, connection: int) -> ChatMarkedRead:
        """`connection`: the connection that has read, which is not notified. Raises RequestError."""
        place = ReadPlace(actor, command.chat, command.index, connection)
        delivered = self._delivered(place)
        if command.index == delivered:
            self._read_state.mark_read(place)
            return ChatMarkedRead((0, 0), delivered)
        if command.index < delivered and not command.counts:
            self._read_state.mark_read(place)
            return ChatMarkedRead(None)
        if command.counts:  # this also counts the reads that another connection has just reported
            await self._read_state.flush_account(actor, await self._accounts.other_nodes(actor))
        return await self._mark_by_request(place)

    async def mark_unread(self, command: MarkUnread, actor: AccountId, connection: int) -> UnreadMarked:
        """Mark a chat as unread. Earlier reads are committed first, because they would remove this mark. Raises
        RequestError."""
        command.actor = actor
        await self._read_state.flush_account(actor, await self._accounts.other_nodes(actor))
        marked = await self._bus.send(command, retry=True)
        self._reads.committed([ReadPlace(actor, command.chat, 0, connection)])
        return marked

    def _delivered(self, place: ReadPlace) -> int:
        """The last index of the chat that has reached this edge, if the account is a known member. Otherwise 0."""
        sequencer = self._chats.sequencer(place.chat)
        if sequencer is None or place.account not in sequencer.members:
            return 0
        return sequencer.head or 0

    async def _mark_by_request(self, place: ReadPlace) -> ChatMarkedRead:
        request = GetHistory(place.chat, -1, 1, actor=place.account, read_to=place.index)
        page = await self._bus.send(request, retry=True)
        self._read_state.mark_read(msgspec.structs.replace(place, index=min(place.index, page.head)))
        return ChatMarkedRead(page.unread, page.read or None)
