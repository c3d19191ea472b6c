"""What message does beside posting: syncs, history, heads, read state."""

from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.message.adapters.roster_cache import Memberships, Roster
from services.message.domain import (
    NOT_A_MEMBER,
    WAITING_BYTES,
    ReadState,
    Span,
    fitting,
    history_span,
    since_joining,
    size_of,
    unread,
    unread_from,
)
from services.message.store import Snapshot, Store
from shared.contract.errors import Failure, RequestError
from shared.contract.events import AccountDeleted
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import (
    ChatSync,
    ChatSynced,
    GetHeads,
    GetHistory,
    GetUnread,
    Heads,
    History,
    MarkRead,
    Sync,
    SyncChat,
    Synced,
    Unread,
)
from shared.contract.model import MemberPair, Message
from shared.contract.session import Ack, ChatEntry, ChatList, EraseAccount, ListChats
from shared.settings import Message as Settings
from shared.telemetry import log

_log = log(__name__)

_CHAT_BYTES = 72
_SPAN_BYTES = 20

ListPage = Callable[[ListChats], Awaitable[ChatList]]
"""Asks session for a page. Raises Refused."""

Versions = Callable[[Iterable[ChatId]], Awaitable[Mapping[ChatId, int]]]
"""The versions of these chats' memberships, as far as Redis names them."""


class Messages:
    """The use cases. What cannot be done raises Refused."""

    def __init__(
        self, store: Store, memberships: Memberships, list_chats: ListPage, versions: Versions, settings: Settings
    ) -> None:
        self._store = store
        self._memberships = memberships
        self._list_chats = list_chats
        self._versions = versions
        self._most = settings.unread_per_chat
        self._reply_bytes = settings.reply_bytes

    # SyncRequests

    async def sync(self, request: Sync) -> Synced:
        """First the chats, as session lists them, then their state: what is posted in a chat that is joined between
        the two comes by fan-out."""
        page = await self._list_chats(ListChats(request.account, request.after, request.also))
        return await self._store.read(lambda now: self._synced(now, request, page))

    def _synced(self, now: Snapshot, request: Sync, page: ChatList) -> Synced:
        """The account that is asked for, and as many others as the reply has room for."""
        lists = {request.account: page, **page.also}
        entries = {account: listed.entries for account, listed in lists.items()}
        room, told = _Room(self._reply_bytes), dict[AccountId, Synced]()
        for account, standings in self._standings(now, entries, frozenset(request.known)).items():
            if told and room.left <= 0:
                break
            missed = iter(()) if request.bare else now.messages(_missed(standings), account)
            chats = self._chats(standings, _Page(missed, room))
            told[account] = Synced(chats, more=lists[account].more or len(chats) < len(standings))
        own = told.pop(request.account)
        return Synced(own.chats, own.more, told)

    def _chats(self, standings: "Iterable[_Standing]", page: "_Page") -> list[ChatSync]:
        """As many of these chats as the reply has room for."""
        chats: list[ChatSync] = []
        for entry, head, state, holes in standings:
            if page.full:
                break
            page.spend(_CHAT_BYTES + _SPAN_BYTES * len(state.above))
            first = unread_from(state, holes)
            messages = page.take(entry.chat)
            upto = page.upto(messages, head, first - 1)
            above = list(state.above)
            chats.append(ChatSync(entry.chat, head, state.read_index, first, upto, above, messages, entry.pair))
        return chats

    def _standings(
        self, now: Snapshot, lists: Mapping[AccountId, Iterable[ChatEntry]], known: Container[ChatId] = ()
    ) -> dict[AccountId, list["_Standing"]]:
        """How each account stands in each of its chats; in `known` ones nothing is looked for."""
        heads = now.heads(entry.chat for entries in lists.values() for entry in entries)
        cursors = now.cursors([(account, entry.chat) for account, entries in lists.items() for entry in entries])

        def standing(account: AccountId, entry: ChatEntry) -> _Standing:
            head = heads.get(entry.chat, 0)
            cursor = cursors.get((account, entry.chat), ReadState())
            state = since_joining(cursor, max(entry.unread_from, entry.first_index))
            return _Standing(entry, head, state, unread(state, head, 0 if entry.chat in known else self._most))

        return {account: [standing(account, entry) for entry in entries] for account, entries in lists.items()}

    # What waits

    async def unread(self, request: GetUnread) -> Unread:
        """Of all chats together, so that they can be told in the order of their time."""
        page = await self._list_chats(ListChats(request.account))
        entries = page.entries
        while page.more:
            page = await self._list_chats(ListChats(request.account, page.entries[-1].chat))
            entries = entries + page.entries
        return await self._store.read(lambda now: self._unread(now, request, entries))

    def _unread(self, now: Snapshot, request: GetUnread, entries: list[ChatEntry]) -> Unread:
        missed = list(_missed(self._standings(now, {request.account: entries})[request.account]))
        total = now.count(missed, request.account)
        most = min(request.count, total, self._reply_bytes // WAITING_BYTES + 1)
        if most <= 0:
            return Unread(total, [])
        oldest = fitting(now.oldest(missed, request.account, most), self._reply_bytes)
        messages = sorted(now.messages(oldest), key=lambda message: (message.time, message.id))
        chats = {message.chat for message in messages}
        pairs = {entry.chat: entry.pair for entry in entries if entry.pair is not None and entry.chat in chats}
        return Unread(total, messages, pairs)

    # One chat

    async def sync_chat(self, request: SyncChat) -> ChatSynced:
        roster = await self._roster(request.chat)
        members = {account: roster.members[account] for account in request.accounts if account in roster.members}
        audience = _Audience(members, roster.version, roster.pair)
        return await self._store.read(lambda now: self._chat(now, request, audience))

    def _chat(self, now: Snapshot, request: SyncChat, audience: "_Audience") -> ChatSynced:
        chat, after = request.chat, max(request.after, 0)
        members, version, pair = audience
        head = now.heads([chat]).get(chat, 0)
        cursors = now.cursors([(account, chat) for account in members])
        news: dict[AccountId, int] = {}
        for account, (_, joined) in members.items():
            state = since_joining(cursors.get((account, chat), ReadState()), joined)
            news[account] = unread_from(state, unread(state, head, self._most))
        page = _Page(now.messages([(chat, after + 1, head)] if members else []), _Room(self._reply_bytes))
        messages = page.take(chat)
        return ChatSynced(
            chat=chat,
            head=head,
            upto=page.upto(messages, head, after),
            messages=messages,
            first_index={account: first for account, (first, _) in members.items()},
            unread_from=news,
            version=version,
            pair=pair,
        )

    async def history(self, request: GetHistory) -> History:
        first_index = 1
        if not request.all:
            members = (await self._roster(request.chat)).members
            if request.actor not in members:
                raise RequestError.from_failure(NOT_A_MEMBER)
            first_index = members[request.actor][0]
        else:
            _log.info("operator acts", act="read history", by="admin", chat=request.chat, start=request.start)
        return await self._store.read(lambda now: self._history(now, request, first_index))

    def _history(self, now: Snapshot, request: GetHistory, first_index: int) -> History:
        head = now.heads([request.chat]).get(request.chat, 0)
        messages = list(now.messages([(request.chat, *history_span(request, head, first_index))]))
        page = _Page(iter(messages[::-1] if request.older else messages), _Room(self._reply_bytes))
        return History(page.take(request.chat), head, more=page.full)

    async def _roster(self, chat: ChatId) -> Roster:
        roster = (await self._memberships.rosters([chat], await self._versions([chat])))[chat]
        if isinstance(roster, Failure):
            raise RequestError.from_failure(roster)
        return roster

    # The rest

    async def heads(self, request: GetHeads) -> Heads:
        heads = await self._store.read(lambda now: now.heads(request.chats))
        return Heads({chat: heads.get(chat, 0) for chat in request.chats})

    async def mark_read(self, request: MarkRead) -> Ack:
        await self._store.mark_read(request.ranges, self._most)
        return Ack()

    async def erase_account(self, request: EraseAccount) -> Ack:
        """Its messages stay."""
        await self._store.erase(request.account)
        return Ack()

    async def account_deleted(self, event: AccountDeleted) -> None:
        await self._store.erase(event.account)


class _Standing(NamedTuple):
    """`holes`: the spans of indexes that are unread, as far as they are looked for."""

    entry: ChatEntry
    head: int
    state: ReadState
    holes: list[Span]


def _missed(standings: Iterable[_Standing]) -> Iterator[tuple[ChatId, int, int]]:
    return ((standing.entry.chat, *span) for standing in standings for span in standing.holes)


class _Audience(NamedTuple):
    """The members of a chat that are asked about, by the roster of this version."""

    members: dict[AccountId, tuple[int, int]]
    version: int
    pair: MemberPair | None


@dataclass(slots=True)
class _Room:
    """What a reply still has, bytes."""

    left: int


class _Page:
    """Messages as they come, as long as the reply has room; the first one has room always."""

    def __init__(self, messages: Iterator[Message], room: _Room) -> None:
        self._messages = messages
        self._next = next(messages, None)
        self._room = room
        self._empty = True
        self.full = False
        """A message was left out: nothing after it is in the reply."""

    def spend(self, size: int) -> None:
        self._room.left -= size

    def take(self, chat: ChatId) -> list[Message]:
        """Those of the next chat."""
        taken: list[Message] = []
        while (message := self._next) is not None and message.chat == chat:
            self._room.left -= size_of(message)
            if self._room.left < 0 and not self._empty:
                self.full = True
                break
            taken.append(message)
            self._empty = False
            self._next = next(self._messages, None)
        return taken

    def upto(self, taken: list[Message], head: int, before: int) -> int:
        """Up to which index the chat just taken is told."""
        if not self.full:
            return head
        return taken[-1].index if taken else before
