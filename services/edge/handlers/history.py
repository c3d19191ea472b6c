"""Fetches and finds the messages that a client requests, with the senders' profile summaries, and marks chats as read.
Fetched messages are delivered when the reply has arrived."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from services.edge.canonical.commands import CountUnread, FetchUnread, MarkChatRead, ReadHistory, ResumeChats
from services.edge.canonical.replies import (
    ChatMarkedRead,
    ChatsResumed,
    ChatToResume,
    HistoryPage,
    MessagePage,
    MessagesFound,
)
from services.edge.catchup.left_out import LeftOutMessages
from services.edge.client.session import LoginSession
from services.edge.confirmations.read_state import Ranges, ReadStateFlusher, add_span
from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.quotes import QuoteReader
from services.edge.dialects.encoded_message import other_member, to_display, to_display_change
from services.edge.ephemeral.read_events import ReadEvents
from services.edge.handlers.table import Handlers, for_actor
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.presence.profiles import fetch_summaries
from shared.bus.client import Bus
from shared.bus.failures import NoResponders
from shared.contract import subjects as on
from shared.contract.ephemeral import ReadPlace
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.message import GetHistory, GetUnread, History, MarkUnread, Unread, UnreadMarked
from shared.contract.model import Chat, MemberPair, Message, ProfileSummary
from shared.contract.own_lists import GetOwnLists, OwnLists
from shared.contract.resume import ChatRevision, Resume, Resumed, ResumedChat
from shared.contract.search import SearchMessages, SearchPage
from shared.contract.session import ChatsFound, GetChats

_CHATS = 100


class MissingMessages:
    """Every method may raise RequestError."""

    def __init__(self, bus: Bus, accounts: LocalAccounts, read_state: ReadStateFlusher) -> None:
        self._bus = bus
        self._accounts = accounts
        self._read_state = read_state

    async def fetch(self, command: ResumeChats, actor: AccountId) -> ChatsResumed:
        await self._read_state.flush_account(actor, await self._accounts.other_nodes(actor))
        (resumed, reset), lists = await asyncio.gather(self._resumed(command, actor), self._lists(command, actor))
        listed = resumed.chats
        others = {one.chat: other_member(one.pair, actor) for one in listed if one.pair is not None}
        senders = {message.sender for one in listed for message in one.messages}
        found, summaries = await asyncio.gather(
            self._chats([one.chat for one in listed], actor), fetch_summaries(self._bus, senders.union(others.values()))
        )
        chats = {chat.id: chat for chat in found.chats}
        states = [
            _to_resume(chats[one.chat], one, summaries, found, others.get(one.chat, NO_ACCOUNT))
            for one in listed
            if one.chat in chats
        ]
        before = (listed[-1].time, listed[-1].chat) if resumed.more else None
        epoch, gone, away = resumed.epoch or command.epoch, tuple(resumed.gone), tuple(resumed.away)
        return ChatsResumed(epoch, reset, tuple(states), gone, away, before, lists)

    async def _resumed(self, command: ResumeChats, actor: AccountId) -> tuple[Resumed, bool]:
        """Return the reply of the service. Also return whether the client must discard its messages."""
        window, timeline, revs, states = command.window, command.timeline, command.revs, command.states
        resumed = await self._request(
            Resume(actor, command.have, window, timeline, command.before, revs, states, command.among)
        )
        if not (is_restored(command.epoch, resumed.epoch) or resumed.rewound):
            return resumed, False
        return await self._request(Resume(actor, {}, window, timeline)), True

    async def _request(self, request: Resume) -> Resumed:
        return await self._bus.send(request, retry=True)

    async def _lists(self, command: ResumeChats, actor: AccountId) -> OwnLists:
        if not command.lists:
            return OwnLists()
        request = GetOwnLists(command.lists, actor)
        return await self._bus.send(request, retry=True)

    async def _chats(self, chats: list[ChatId], actor: AccountId) -> ChatsFound:
        """Fetch the chats in parts. Each part is so small that its reply fits into a NATS message even if the chats'
        names are long."""
        slices = [chats[first : first + _CHATS] for first in range(0, len(chats), _CHATS)]
        pages = await asyncio.gather(*(self._bus.send(GetChats(one, actor), retry=True) for one in slices))
        found = ChatsFound([], {}, {})
        for page in pages:
            found.chats.extend(page.chats)
            found.mutes.update(page.mutes)
            found.roles.update(page.roles)
        return found


def _to_resume(
    chat: Chat, state: ResumedChat, summaries: Mapping[AccountId, ProfileSummary], found: ChatsFound, other: AccountId
) -> ChatToResume:
    revision = state.revision or ChatRevision(0)
    messages = tuple(
        to_display(message, state.pair, summaries.get(message.sender), revision.reactions.get(message.index))
        for message in state.messages
    )
    changes = tuple(map(to_display_change, revision.changes))
    mute, role = found.mutes.get(chat.id), found.roles.get(chat.id)
    return ChatToResume(chat, state, messages, changes, mute, summaries.get(other), role)


def is_restored(known: str, current: str) -> bool:
    """Whether the database was restored since the client's last visit. If it was, the client's epoch is not the current
    one. See shared.contract.resume.Resumed."""
    return bool(known and current) and known != current


_ALL = 2**31
UnpushedTo = Callable[[Iterable[ChatId]], Mapping[ChatId, int]]


class MessageHistory:
    def __init__(
        self,
        bus: Bus,
        accounts: LocalAccounts,
        chats: LocalChats,
        read_state: ReadStateFlusher,
        quotes: QuoteReader,
        left_out: LeftOutMessages,
    ) -> None:
        self._bus = bus
        self._left_out = left_out
        self._quotes = quotes
        self._accounts = accounts
        self._chats = chats
        self._read_state = read_state
        self._missing = MissingMessages(bus, accounts, read_state)

    def handlers(self) -> Handlers:
        return {
            GetHistory: self._show,
            FetchUnread: self._show,
            ResumeChats: for_actor(self._missing.fetch),
            ReadHistory: for_actor(self.read_page),
            CountUnread: lambda session, _: self.count_unread(session.connection.account),
        }

    async def _show(self, session: LoginSession, command: GetHistory | FetchUnread) -> MessagePage:
        catch_up = session.catch_up
        page = await self.fetch(command, session.connection.account, catch_up.unpushed_to, catch_up.fetched)
        for shown in page.messages:
            chat, index = shown.message.chat, shown.message.index
            catch_up.mark_sent(chat, index)
            if isinstance(command, FetchUnread):
                add_span(catch_up.fetched, chat, index, index)
        return page

    async def fetch(
        self,
        command: GetHistory | FetchUnread,
        actor: AccountId,
        unpushed_to: UnpushedTo = lambda _: {},
        fetched: Mapping[ChatId, list[tuple[int, int]]] = MappingProxyType({}),
    ) -> MessagePage:
        """Fetch messages. `unpushed_to`: for each chat, the index up to which messages are not pushed to this client.
        `fetched`: ranges that are left out, because this client has fetched them before. Raises RequestError."""
        pairs: Mapping[ChatId, MemberPair] = {}
        if isinstance(command, GetHistory):
            command.actor = actor
            messages = await self._history(command)
        else:
            heads = self._heads(actor)
            unpushed = unpushed_to(heads)
            heads = {chat: max(head, unpushed.get(chat, 0)) for chat, head in heads.items()}
            count = _ALL if command.count is None else command.count
            messages, pairs = await self._unread(actor, count, heads, fetched)
        summaries = await fetch_summaries(self._bus, {message.sender for message in messages})
        quotes = await self._quotes.of(messages)
        return MessagePage(
            tuple(
                to_display(one, pairs.get(one.chat), summaries.get(one.sender), quote=quotes.get((one.chat, one.index)))
                for one in messages
            )
        )

    async def read_page(self, command: ReadHistory, actor: AccountId) -> HistoryPage:
        """Fetch a page of history, with as many messages as fit into one reply. Raises RequestError."""
        request = GetHistory(command.chat, command.start, command.count, command.older, actor, with_reactions=True)
        request.around, request.at = command.around, command.at
        page = await self._bus.send(request, retry=True)
        messages = page.messages
        summaries = await fetch_summaries(self._bus, {message.sender for message in messages})
        pair = self._chats.pair(command.chat)
        shown = tuple(
            to_display(message, pair, summaries.get(message.sender), page.reactions.get(message.index))
            for message in messages
        )
        sides = (page.older, page.newer) if command.around or command.at else None
        return HistoryPage(shown, page.head, _has_more(command, page), page.rev, sides, command.older)

    async def count_unread(self, actor: AccountId) -> Unread:
        """Raises RequestError."""
        await self._read_state.flush_account(actor, await self._accounts.other_nodes(actor))
        request = GetUnread(actor, 0, by_chat=True)
        return await self._bus.send(request, retry=True)

    async def _history(self, command: GetHistory) -> list[Message]:
        """Fetch the requested number of messages, from as many replies as needed."""
        messages: list[Message] = []
        while True:
            page = await self._bus.send(command, retry=True)
            messages += page.messages
            left = command.count - len(page.messages)
            if not page.more or not page.messages or left < 1:
                return messages
            following = messages[-1].index + (-1 if command.older else 1)
            command = msgspec.structs.replace(command, start=following, count=left)

    async def _unread(
        self, actor: AccountId, count: int, heads: Mapping[ChatId, int], fetched: Mapping[ChatId, list[tuple[int, int]]]
    ) -> tuple[list[Message], Mapping[ChatId, MemberPair]]:
        """Fetch at most `count` unread messages, from as many replies as needed. Each request names the messages that
        the client has or will get. A message service of an earlier version sends them again; then the loop ends.
        Messages after the `heads` are left out, because they are pushed."""
        messages: dict[tuple[ChatId, int], Message] = {}
        pairs: dict[ChatId, MemberPair] = {}
        sent: Ranges = {chat: [*ranges] for chat, ranges in fetched.items()}
        # this also commits the latest deliveries of all nodes, so that these messages do not count as unread
        await self._read_state.flush_account(actor, await self._accounts.other_nodes(actor))
        while count > 0:
            request = GetUnread(actor, count, sent=sent)
            unread = await self._bus.send(request, retry=True)
            for chat, (upto, number) in unread.left_out.items():
                self._left_out.skip(actor, chat, upto, number, unread.pairs.get(chat))
            older = [one for one in unread.messages if one.index <= heads.get(one.chat, one.index)]
            added = [message for message in older if (message.chat, message.index) not in messages]
            if not added:
                break
            messages |= {(message.chat, message.index): message for message in added}
            pairs |= unread.pairs
            for message in added:
                add_span(sent, message.chat, message.index, message.index)
            count = min(count, unread.total) - len(added)
        return list(messages.values()), pairs

    def _heads(self, account: AccountId) -> Mapping[ChatId, int]:
        """For each chat of the account, the index of the last message that was delivered to its connections on this
        node."""
        local = self._accounts.get(account)
        sequencers = {chat: self._chats.sequencer(chat) for chat in (local.chats if local else ())}
        return {
            chat: sequencer.head
            for chat, sequencer in sequencers.items()
            if sequencer is not None and sequencer.head is not None
        }


def _has_more(command: ReadHistory, page: History) -> bool:
    """Whether the chat may have more messages after this page, in the direction of the page."""
    if not page.messages:
        return False
    last = page.messages[-1].index
    return last > 1 if command.older else last < page.head


class ClientSearches:
    def __init__(self, bus: Bus, chats: LocalChats, enabled: bool) -> None:
        self._bus = bus
        self._chats = chats
        self._enabled = enabled

    def handlers(self) -> Handlers:
        return {SearchMessages: for_actor(self.search)}

    async def search(self, command: SearchMessages, actor: AccountId) -> MessagesFound:
        """Raises RequestError."""
        if not self._enabled:
            raise RequestError(
                ErrorCode.UNAVAILABLE, "search is switched off on this server", reason=Reason.SWITCHED_OFF
            )
        command.actor = actor
        try:
            page = await self._find(command)
        except NoResponders as error:
            raise RequestError(ErrorCode.UNAVAILABLE, "search is not available now, please try again later") from error
        summaries = await fetch_summaries(self._bus, {message.sender for message in page.around})
        return MessagesFound(
            page, tuple(to_display(one, self._chats.pair(one.chat), summaries.get(one.sender)) for one in page.around)
        )

    async def _find(self, command: SearchMessages) -> SearchPage:
        """Search an index with all messages. If no service has a complete index, search one that is still being built.
        Raises RequestError."""
        try:
            return await self._bus.send(command, retry=True, wait_for_service=False)
        except NoResponders:
            return await self._bus.request(on.SEARCH_INCOMPLETE, command, retry=True, wait_for_service=False)


@dataclass(frozen=True)
class ChatReads:
    """Marks chats as read. Most clients mark the last message of the chat. Then nothing is unread, and the message
    service is not queried. It is not queried either if the client does not want the number."""

    _bus: Bus
    _accounts: LocalAccounts
    _chats: LocalChats
    _read_state: ReadStateFlusher
    _reads: ReadEvents

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
