"""A client marks a chat as read, and gets the number of messages that are left unread."""

import msgspec

from services.edge.canonical.commands import MarkChatRead
from services.edge.canonical.replies import ChatMarkedRead
from services.edge.delivery.local_chats import LocalChats
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.receipts.read_state import ReadStateFlusher
from shared.bus.client import Bus
from shared.contract.ephemeral import ReadPlace
from shared.contract.ids import AccountId
from shared.contract.message import GetHistory


class ChatReads:
    """Most clients mark the last message that they got: then nothing is left, and message is not requested. Nor is it
    if the client does not want the number. Otherwise the request waits for `seconds` at most."""

    def __init__(
        self,
        bus: Bus,
        accounts: LocalAccounts,
        chats: LocalChats,
        read_state: ReadStateFlusher,
        seconds: float,
    ) -> None:
        self._bus = bus
        self._accounts = accounts
        self._chats = chats
        self._read_state = read_state
        self._seconds = seconds

    async def mark(self, command: MarkChatRead, actor: AccountId, connection: int) -> ChatMarkedRead:
        """`connection`: is not notified of this read. Raises RequestError."""
        place = ReadPlace(actor, command.chat, command.index, connection)
        delivered = self._delivered(place)
        if command.index == delivered:
            self._read_state.mark_read(place)
            return ChatMarkedRead((0, 0), delivered)
        if command.index < delivered and not command.counts:
            self._read_state.mark_read(place)
            return ChatMarkedRead(None)
        if command.counts:  # what another connection has read a moment ago counts
            await self._read_state.flush_account(actor, await self._accounts.other_nodes(actor))
        return await self._mark_by_request(place)

    def _delivered(self, place: ReadPlace) -> int:
        """The last index of the chat that has come to this edge, where the account is a known member; else 0."""
        sequencer = self._chats.sequencer(place.chat)
        if sequencer is None or place.account not in sequencer.members:
            return 0
        return sequencer.head or 0

    async def _mark_by_request(self, place: ReadPlace) -> ChatMarkedRead:
        request = GetHistory(place.chat, -1, 1, actor=place.account, read_to=place.index)
        page = await self._bus.send(request, seconds=self._seconds, retry=True)
        self._read_state.mark_read(msgspec.structs.replace(place, index=min(place.index, page.head)))
        return ChatMarkedRead(page.unread, page.read or None)
