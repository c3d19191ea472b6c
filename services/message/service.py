"""What message does beside posting: syncs, history, heads, read state."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

from services.message.domain import (
    NOT_A_MEMBER,
    ReadState,
    history_span,
    since_joining,
    size_of,
    unread,
    unread_from,
)
from services.message.membership import Memberships, Roster
from services.message.store import Snapshot, Store
from shared.contract.errors import Failure, Refused
from shared.contract.events import AccountDeleted
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import (
    ChatSync,
    ChatSynced,
    GetHeads,
    GetHistory,
    Heads,
    History,
    MarkRead,
    Sync,
    SyncChat,
    Synced,
)
from shared.contract.model import Message
from shared.contract.session import ChatEntry, ChatList, Done, EraseAccount, ListChats
from shared.settings import Message as Settings

_CHAT_BYTES = 48
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

    # Syncs

    async def sync(self, request: Sync) -> Synced:
        """First the chats, as session lists them, then their state: what is posted in a chat that is joined between
        the two comes by fan-out."""
        page = await self._list_chats(ListChats(request.account, request.after))
        known = frozenset(request.known)
        chats = await self._store.read(lambda now: self._chats(now, request.account, page.entries, known))
        return Synced(chats, more=page.more or len(chats) < len(page.entries))

    def _chats(
        self, now: Snapshot, account: AccountId, entries: list[ChatEntry], known: frozenset[ChatId]
    ) -> list[ChatSync]:
        """As many of these chats as the reply has room for."""
        heads = now.heads(entry.chat for entry in entries)
        cursors = now.cursors([(account, entry.chat) for entry in entries])
        states = [
            since_joining(cursors.get((account, entry.chat), ReadState()), max(entry.unread_from, entry.first_index))
            for entry in entries
        ]
        spans = [
            unread(state, heads.get(entry.chat, 0), 0 if entry.chat in known else self._most)
            for entry, state in zip(entries, states, strict=True)
        ]
        missed = ((entry.chat, *span) for entry, holes in zip(entries, spans, strict=True) for span in holes)
        page = _Page(now.messages(missed, account), self._reply_bytes)
        chats: list[ChatSync] = []
        for entry, state, holes in zip(entries, states, spans, strict=True):
            if page.full:
                break
            page.spend(_CHAT_BYTES + _SPAN_BYTES * len(state.above))
            head, first = heads.get(entry.chat, 0), unread_from(state, holes)
            messages = page.take(entry.chat)
            upto = page.upto(messages, head, first - 1)
            chats.append(ChatSync(entry.chat, head, state.read_index, first, upto, list(state.above), messages))
        return chats

    # One chat

    async def sync_chat(self, request: SyncChat) -> ChatSynced:
        roster = await self._roster(request.chat)
        members = {account: roster.members[account] for account in request.accounts if account in roster.members}
        return await self._store.read(lambda now: self._chat(now, request, members, roster.version))

    def _chat(
        self, now: Snapshot, request: SyncChat, members: dict[AccountId, tuple[int, int]], version: int
    ) -> ChatSynced:
        chat, after = request.chat, max(request.after, 0)
        head = now.heads([chat]).get(chat, 0)
        cursors = now.cursors([(account, chat) for account in members])
        news: dict[AccountId, int] = {}
        for account, (_, joined) in members.items():
            state = since_joining(cursors.get((account, chat), ReadState()), joined)
            news[account] = unread_from(state, unread(state, head, self._most))
        page = _Page(now.messages([(chat, after + 1, head)] if members else []), self._reply_bytes)
        messages = page.take(chat)
        return ChatSynced(
            chat=chat,
            head=head,
            upto=page.upto(messages, head, after),
            messages=messages,
            first_index={account: first for account, (first, _) in members.items()},
            unread_from=news,
            version=version,
        )

    async def history(self, request: GetHistory) -> History:
        first_index = 1
        if not request.all:
            members = (await self._roster(request.chat)).members
            if request.actor not in members:
                raise Refused.of(NOT_A_MEMBER)
            first_index = members[request.actor][0]
        return await self._store.read(lambda now: self._history(now, request, first_index))

    def _history(self, now: Snapshot, request: GetHistory, first_index: int) -> History:
        head = now.heads([request.chat]).get(request.chat, 0)
        messages = list(now.messages([(request.chat, *history_span(request, head, first_index))]))
        page = _Page(iter(messages[::-1] if request.older else messages), self._reply_bytes)
        return History(page.take(request.chat), head, more=page.full)

    async def _roster(self, chat: ChatId) -> Roster:
        roster = (await self._memberships.rosters([chat], await self._versions([chat])))[chat]
        if isinstance(roster, Failure):
            raise Refused.of(roster)
        return roster

    # The rest

    async def heads(self, request: GetHeads) -> Heads:
        heads = await self._store.read(lambda now: now.heads(request.chats))
        return Heads({chat: heads.get(chat, 0) for chat in request.chats})

    async def mark_read(self, request: MarkRead) -> Done:
        await self._store.mark_read(request.ranges, self._most)
        return Done()

    async def erase_account(self, request: EraseAccount) -> Done:
        """Its messages stay."""
        await self._store.erase(request.account)
        return Done()

    async def account_deleted(self, event: AccountDeleted) -> None:
        await self._store.erase(event.account)


class _Page:
    """Messages as they come, as long as the reply has room; the first one has room always."""

    def __init__(self, messages: Iterator[Message], room: int) -> None:
        self._messages = messages
        self._next = next(messages, None)
        self._room = room
        self._empty = True
        self.full = False
        """A message was left out: nothing after it is in the reply."""

    def spend(self, size: int) -> None:
        self._room -= size

    def take(self, chat: ChatId) -> list[Message]:
        """Those of the next chat."""
        taken: list[Message] = []
        while (message := self._next) is not None and message.chat == chat:
            self._room -= size_of(message)
            if self._room < 0 and not self._empty:
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
