"""The use cases beside posting: syncs, unread messages, pagination of the history, heads, read state."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from services.message.domain import (
    MAX_HISTORY_COUNT,
    NOT_A_MEMBER,
    UNREAD_OVERHEAD_BYTES,
    IndexRange,
    ReadState,
    chat_size,
    first_unread,
    history_range,
    message_size,
    reactions_size,
    read_below,
    take_fitting,
    unread_ranges,
)
from services.message.service.ports import LookUpVersions, RequestChatList, RosterPort
from services.message.service.readers import find_readers, possible_readers
from services.message.service.resuming import resume
from services.message.service.roster import Roster
from services.message.store import MessageStore, Snapshot
from services.message.store.snapshot import Activity
from shared.contract.errors import Failure, RequestError
from shared.contract.events import AccountDeleted
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import (
    ChatSync,
    ChatSynced,
    GetHeads,
    GetHistory,
    GetQuoted,
    GetUnread,
    Heads,
    History,
    Marked,
    MarkRead,
    Quoted,
    Reactions,
    Sync,
    SyncChat,
    Synced,
    SyncedPart,
    SyncPart,
    Unread,
    UnreadPart,
)
from shared.contract.model import MemberPair, Message
from shared.contract.receipts import MAX_READ_INDEXES, FindReaders, FindReadIndexes, Readers, ReadIndex, ReadIndexes
from shared.contract.resume import Resume, Resumed
from shared.contract.session import Ack, ChatEntry, EraseAccount, ListChats
from shared.settings import MessageSettings
from shared.telemetry import log

_log = log(__name__)
_OWN_RANGE = 20_000
"""Messages that one request for own ones reads: some hundredths of a second."""


class MessageQueries:
    """Each method is one use case. Raises RequestError."""

    def __init__(
        self,
        store: MessageStore,
        rosters: RosterPort,
        list_chats: RequestChatList,
        versions: LookUpVersions,
        settings: MessageSettings,
    ) -> None:
        self._store = store
        self._rosters = rosters
        self._list_chats = list_chats
        self._versions = versions
        self._max_unread = settings.unread_per_chat
        self._reply_bytes = settings.reply_bytes

    # Sync

    async def sync(self, request: Sync) -> Synced:
        """First the chat list of session, then the state of the chats: a message posted in a chat that is joined
        between the two arrives by fan-out."""
        page = await self._list_chats(ListChats(request.account, request.after, request.also))
        lists = {request.account: page, **page.also}
        part = SyncPart({account: listed.entries for account, listed in lists.items()}, request.known, request.bare)
        pages = {
            account: Synced(one.chats, more=one.more or lists[account].more)
            for account, one in (await self.sync_part(part)).accounts.items()
        }
        own = pages.pop(request.account)
        return Synced(own.chats, own.more, pages)

    async def sync_part(self, request: SyncPart) -> SyncedPart:
        return await self._store.read(lambda snapshot: self._synced(snapshot, request))

    def _synced(self, snapshot: Snapshot, request: SyncPart) -> SyncedPart:
        """The first account, and as many of the others as fit into the reply."""
        budget, synced = _ByteBudget(self._reply_bytes), dict[AccountId, Synced]()
        for account, states in self._chat_states(snapshot, request.lists, frozenset(request.known)).items():
            if synced and budget.left <= 0:
                break
            messages = iter(()) if request.bare else snapshot.messages(_unread_of(states), account)
            chats = self._chats(states, _MessagePage(messages, budget))
            synced[account] = Synced(chats, more=len(chats) < len(states))
        return SyncedPart(synced)

    def _chats(self, states: "Iterable[_ChatState]", page: "_MessagePage") -> list[ChatSync]:
        """As many of these chats as fit into the reply."""
        chats: list[ChatSync] = []
        for entry, head, state, unread, time in states:
            if page.full:
                break
            page.spend(chat_size(len(state.above)))
            first = first_unread(state, unread)
            messages = page.take(entry.chat)
            upto = page.upto(messages, head, first - 1)
            above = list(state.above)
            chats.append(ChatSync(entry.chat, head, state.read_index, first, upto, above, messages, entry.pair, time))
        return chats

    def _chat_states(
        self, snapshot: Snapshot, lists: Mapping[AccountId, Iterable[ChatEntry]], known: Container[ChatId] = ()
    ) -> dict[AccountId, list["_ChatState"]]:
        """The state of each chat for each account; without unread ranges for `known` chats."""
        activity = snapshot.activity(entry.chat for entries in lists.values() for entry in entries)
        cursors = snapshot.cursors([(account, entry.chat) for account, entries in lists.items() for entry in entries])

        def chat_state(account: AccountId, entry: ChatEntry) -> _ChatState:
            head, time, _ = activity.get(entry.chat, Activity())
            cursor = cursors.get((account, entry.chat), ReadState())
            state = read_below(cursor, max(entry.unread_from, entry.first_index))
            limit = 0 if entry.chat in known else self._max_unread
            return _ChatState(entry, head, state, unread_ranges(state, head, limit), time)

        return {account: [chat_state(account, entry) for entry in entries] for account, entries in lists.items()}

    # What a client lacks that comes back

    async def resume(self, request: Resume) -> Resumed:
        entries = await list_all_chats(self._list_chats, request.account, states=True)
        return await self._store.read(lambda snapshot: resume(snapshot, request, entries, self._max_unread))

    # Unread messages

    async def unread(self, request: GetUnread) -> Unread:
        """All chats are needed at once: the reply is in order of time over all of them."""
        entries = await list_all_chats(self._list_chats, request.account)
        return await self.unread_part(UnreadPart(request.account, entries, request.count, request.by_chat))

    async def unread_part(self, request: UnreadPart) -> Unread:
        return await self._store.read(lambda snapshot: self._unread(snapshot, request))

    def _unread(self, snapshot: Snapshot, request: UnreadPart) -> Unread:
        entries = request.entries
        ranges = list(_unread_of(self._chat_states(snapshot, {request.account: entries})[request.account]))
        if request.by_chat:
            counts = snapshot.unread(ranges, request.account)
            return Unread(sum(count for count, _ in counts.values()), [], chats=counts)
        total = snapshot.count(ranges, request.account)
        limit = min(request.count, total, self._reply_bytes // UNREAD_OVERHEAD_BYTES + 1)
        if limit <= 0:
            return Unread(total, [])
        oldest = take_fitting(snapshot.oldest(ranges, request.account, limit), self._reply_bytes)
        messages = sorted(snapshot.messages(oldest), key=lambda message: (message.time, message.id))
        chats = {message.chat for message in messages}
        pairs = {entry.chat: entry.pair for entry in entries if entry.pair is not None and entry.chat in chats}
        return Unread(total, messages, pairs)

    # One chat

    async def sync_chat(self, request: SyncChat) -> ChatSynced:
        roster = await self._roster(request.chat)
        members = {account: roster.members[account] for account in request.accounts if account in roster.members}
        changed = roster.changed_since(request.since) if request.since else None
        audience = _Audience(members, roster.version, roster.pair, changed)
        return await self._store.read(lambda snapshot: self._chat_synced(snapshot, request, audience))

    def _chat_synced(self, snapshot: Snapshot, request: SyncChat, audience: "_Audience") -> ChatSynced:
        chat, after = request.chat, max(request.after, 0)
        members, version, pair, changed = audience
        head = snapshot.heads([chat]).get(chat, 0)
        cursors = snapshot.cursors([(account, chat) for account in members])
        unread_from: dict[AccountId, int] = {}
        for account, (_, joined) in members.items():
            state = read_below(cursors.get((account, chat), ReadState()), joined)
            unread_from[account] = first_unread(state, unread_ranges(state, head, self._max_unread))
        last = min(head, after + request.limit) if request.limit > 0 else head
        rows = snapshot.messages([(chat, after + 1, last)] if members or changed is not None else [])
        page = _MessagePage(rows, _ByteBudget(self._reply_bytes))
        messages = page.take(chat)
        return ChatSynced(
            chat=chat,
            head=head,
            upto=page.upto(messages, last, after),
            messages=messages,
            first_index={account: first for account, (first, _) in members.items()},
            unread_from=unread_from,
            version=version,
            pair=pair,
            changed=changed,
        )

    async def history(self, request: GetHistory) -> History:
        place = (1, 1)
        if request.all:
            _log.info("operator acts", act="read history", by="admin", chat=request.chat, start=request.start)
        elif not (request.own and request.left):
            members = (await self._roster(request.chat)).members
            if request.actor not in members:
                raise RequestError.from_failure(NOT_A_MEMBER)
            place = members[request.actor]
        if request.own:
            return await self._store.read(lambda snapshot: self._own_history(snapshot, request), brief=False)
        return await self._store.read(
            lambda snapshot: self._history(snapshot, request, ChatEntry(request.chat, *place))
        )

    def _history(self, snapshot: Snapshot, request: GetHistory, entry: ChatEntry) -> History:
        chat, head = request.chat, snapshot.heads([request.chat]).get(request.chat, 0)
        span = (chat, *history_range(request, head, entry.first_index))
        messages = list(snapshot.messages([span]))
        rev = snapshot.activity([chat])[chat].rev if request.with_reactions and head else 0
        reactions = snapshot.reactions([span], request.actor) if rev else {}
        ordered = iter(messages[::-1] if request.older else messages)
        page = _MessagePage(ordered, _ByteBudget(self._reply_bytes), reactions)
        sent = page.take(chat)
        shown = {one.index: found for one in sent if (found := reactions.get((chat, one.index))) is not None}
        unread = (
            None if request.read_to is None else self._unread_after(snapshot, request.actor, entry, request.read_to)
        )
        return History(sent, head, page.full, rev, shown, unread)

    def _own_history(self, snapshot: Snapshot, request: GetHistory) -> History:
        """Of a range that is bounded: there may be few own messages among many."""
        chat, head = request.chat, snapshot.heads([request.chat]).get(request.chat, 0)
        start = max(1, request.start)
        last = min(head, start + _OWN_RANGE - 1)
        page = _MessagePage(snapshot.sent_by(request.actor, (chat, start, last)), _ByteBudget(self._reply_bytes))
        sent = page.take(chat)
        return History(sent, head, page.full, upto=sent[-1].index if page.full else last)

    def _unread_after(self, snapshot: Snapshot, account: AccountId, entry: ChatEntry, index: int) -> tuple[int, int]:
        """The unread messages, and those with mentions, once everything up to `index` is read."""
        (one,) = self._chat_states(snapshot, {account: [entry]})[account]
        left = unread_ranges(read_below(one.state, index + 1), one.head, self._max_unread)
        return snapshot.unread([(entry.chat, *unread) for unread in left], account).get(entry.chat, (0, 0))

    async def quoted(self, request: GetQuoted) -> Quoted:
        spans = [(request.chat, index, index) for index in sorted(set(request.indexes))[:MAX_HISTORY_COUNT]]

        def read(snapshot: Snapshot) -> Quoted:
            return Quoted(_MessagePage(snapshot.messages(spans), _ByteBudget(self._reply_bytes)).take(request.chat))

        return await self._store.read(read)

    async def _roster(self, chat: ChatId) -> Roster:
        roster = (await self._rosters.load([chat], await self._versions([chat])))[chat]
        if isinstance(roster, Failure):
            raise RequestError.from_failure(roster)
        return roster

    # Heads and read state

    async def heads(self, request: GetHeads) -> Heads:
        heads = await self._store.read(lambda snapshot: snapshot.heads(request.chats))
        return Heads({chat: heads.get(chat, 0) for chat in request.chats})

    async def mark_read(self, request: MarkRead) -> Marked:
        await self._store.mark_read(request.ranges, self._max_unread)
        return Marked()

    async def read_indexes(self, request: FindReadIndexes) -> ReadIndexes:
        """Of those that are members."""
        lists = await self._entries(request.members[:MAX_READ_INDEXES])
        return await self._store.read(lambda snapshot: self._read_indexes(snapshot, lists, counts=request.counts))

    async def readers(self, request: FindReaders) -> Readers:
        members = possible_readers(await self._roster(request.chat), request)
        return await self._store.read(lambda snapshot: find_readers(snapshot, request, members))

    async def _entries(self, members: Iterable[tuple[AccountId, ChatId]]) -> dict[AccountId, list[ChatEntry]]:
        chats = {chat for _, chat in members}
        rosters = await self._rosters.load(chats, await self._versions(chats))
        lists: dict[AccountId, list[ChatEntry]] = {}
        for account, chat in sorted(set(members)):
            roster = rosters[chat]
            if isinstance(roster, Roster) and (place := roster.members.get(account)) is not None:
                lists.setdefault(account, []).append(ChatEntry(chat, *place))
        return lists

    def _read_indexes(
        self, snapshot: Snapshot, lists: Mapping[AccountId, list[ChatEntry]], *, counts: bool
    ) -> ReadIndexes:
        uncounted = () if counts else {entry.chat for entries in lists.values() for entry in entries}
        found: list[ReadIndex] = []
        for account, states in self._chat_states(snapshot, lists, uncounted).items():
            unread = snapshot.unread(list(_unread_of(states)), account) if counts else {}
            found += [
                ReadIndex(account, one.entry.chat, one.state.read_index, *unread.get(one.entry.chat, (0, 0)))
                for one in states
            ]
        return ReadIndexes(found)

    async def erase_account(self, request: EraseAccount) -> Ack:
        """Erase the account's read state; its messages stay."""
        await self._store.erase(request.account)
        return Ack()

    async def account_deleted(self, event: AccountDeleted) -> None:
        await self._store.erase(event.account)


async def list_all_chats(list_chats: RequestChatList, account: AccountId, *, states: bool = False) -> list[ChatEntry]:
    """Raises RequestError."""
    page = await list_chats(ListChats(account, states=states))
    entries = page.entries
    while page.more:
        page = await list_chats(ListChats(account, page.entries[-1].chat, states=states))
        entries = entries + page.entries
    return entries


class _ChatState(NamedTuple):
    """One chat for one account. `unread`: ranges of unread indexes, as far as they are requested."""

    entry: ChatEntry
    head: int
    state: ReadState
    unread: list[IndexRange]
    last_time: int


def _unread_of(states: Iterable[_ChatState]) -> Iterator[tuple[ChatId, int, int]]:
    return ((state.entry.chat, *unread) for state in states for unread in state.unread)


class _Audience(NamedTuple):
    """The requested accounts that are members of the chat, by the roster of this version."""

    members: dict[AccountId, tuple[int, int]]
    version: int
    pair: MemberPair | None
    changed: dict[AccountId, int] | None


@dataclass(slots=True)
class _ByteBudget:
    """Bytes that are left in a reply."""

    left: int


class _MessagePage:
    """Takes messages in order while the budget lasts; the first one always fits. `reactions`: sent with them."""

    def __init__(
        self,
        messages: Iterator[Message],
        budget: _ByteBudget,
        reactions: Mapping[tuple[ChatId, int], Reactions] = MappingProxyType({}),
    ) -> None:
        self._messages = messages
        self._next = next(messages, None)
        self._budget = budget
        self._reactions = reactions
        self._empty = True
        self.full = False
        """A message was left out: nothing after it is in the reply."""

    def spend(self, size: int) -> None:
        self._budget.left -= size

    def take(self, chat: ChatId) -> list[Message]:
        """The messages of the next chat."""
        messages: list[Message] = []
        while (message := self._next) is not None and message.chat == chat:
            self._budget.left -= message_size(message)
            if self._reactions:
                self._budget.left -= reactions_size(self._reactions.get((chat, message.index)))
            if self._budget.left < 0 and not self._empty:
                self.full = True
                break
            messages.append(message)
            self._empty = False
            self._next = next(self._messages, None)
        return messages

    def upto(self, messages: list[Message], head: int, before: int) -> int:
        """The index up to which `messages`, taken last, cover their chat; `before`: the one before the first."""
        if not self.full:
            return head
        return messages[-1].index if messages else before
