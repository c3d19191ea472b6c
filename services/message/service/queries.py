"""The use cases that read data: syncs, unread messages, pagination of the history, last indexes. This module also
commits read state."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from services.message.domain import (
    MAX_HISTORY_COUNT,
    UNREAD_OVERHEAD_BYTES,
    Cursor,
    chat_size,
    first_undelivered,
    from_joining,
    history_range,
    message_size,
    reactions_size,
    read_up_to,
    reader,
    take_fitting,
    undelivered_ranges,
)
from services.message.service.chat_states import AccountChat, chat_states, find_readers, possible_readers, unread_spans
from services.message.service.load_members import load_members, require_member
from services.message.service.member_list import ChatMembers
from services.message.service.ports import LookUpVersions, MemberListPort, RequestChatList
from services.message.service.resuming import resume
from services.message.store import MessageStore, Snapshot
from services.message.store.snapshot import Activity
from shared.contract.audit import FindMessage, StoredMessage
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import AccountDeleted
from shared.contract.ids import NO_DEVICE, AccountId, ChatId, NodeId
from shared.contract.message import (
    ChatSync,
    ChatSynced,
    DeviceOpened,
    Devices,
    GetHeads,
    GetHistory,
    GetQuoted,
    GetUnread,
    Heads,
    History,
    ListDevices,
    Marked,
    MarkRead,
    OpenDevice,
    Quoted,
    Reactions,
    Sync,
    SyncChat,
    Synced,
    Unread,
)
from shared.contract.model import MemberPair, Message
from shared.contract.receipts import MAX_READ_INDEXES, FindReaders, FindReadIndexes, Readers, ReadIndex, ReadIndexes
from shared.contract.resume import Resume, Resumed
from shared.contract.routes import Ack
from shared.contract.session import ChatEntry, EraseAccount, ListChats
from shared.settings.messages import MessageSettings
from shared.telemetry import log

LISTED_MEMBERS = 2_000
"""The most members in one reply."""

LookUpNodes = Callable[[Collection[AccountId]], Awaitable[Mapping[AccountId, tuple[NodeId, ...]] | None]]
"""Looks up the nodes of accounts in presence; None if presence is unknown."""


@dataclass(frozen=True)
class MessageSearch:
    """Finds one stored message for an operator: its chat and index, its times, and the members that have received
    it."""

    _store: MessageStore
    _member_lists: MemberListPort
    _versions: LookUpVersions
    _nodes: LookUpNodes
    _settings: MessageSettings

    async def find(self, request: FindMessage) -> StoredMessage:
        """Raises RequestError."""
        _log.info("operator acts", act="find message", by="admin", chat=request.chat, index=request.index)
        message = await self._store.read(lambda snapshot: _find(snapshot, request))
        if message is None:
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such message", "message")
        member_list = await load_members(self._member_lists, self._versions, message.chat)
        entitled = _entitled(member_list, message)
        listed = dict(list(entitled.items())[:LISTED_MEMBERS])
        arrived, expired = await self._store.read(lambda snapshot: self._arrived(snapshot, message, listed))
        nodes = await self._nodes([message.sender, *listed])
        return StoredMessage(
            chat=message.chat,
            index=message.index,
            id=message.id,
            sender=message.sender,
            time=message.time,
            nonce=message.nonce,
            bytes=len(message.body),
            pair=member_list.pair,
            read=arrived,
            expired=expired,
            more=len(entitled) - len(listed),
            nodes=None if nodes is None else {account: list(names) for account, names in nodes.items()},
        )

    def _arrived(
        self, snapshot: Snapshot, message: Message, members: Mapping[AccountId, int]
    ) -> tuple[dict[AccountId, bool], list[AccountId]]:
        """Returns for each member whether the message has arrived, and the members for whom the message is too old to
        be pushed."""
        chat, index = message.chat, message.index
        head = snapshot.heads([chat]).get(chat, 0)
        cursors = snapshot.cursors([(account, chat) for account in members])
        arrived: dict[AccountId, bool] = {}
        expired: list[AccountId] = []
        for account, joined in members.items():
            cursor = from_joining(cursors.get((account, chat), Cursor()), joined)
            arrived[account] = cursor.covers(index)
            missed = undelivered_ranges(cursor, head, self._settings.pushed_per_chat)
            if not arrived[account] and index < first_undelivered(cursor, missed):
                expired.append(account)
        return arrived, expired


def _find(snapshot: Snapshot, request: FindMessage) -> Message | None:
    chat, index = request.chat, request.index
    if not chat:
        place = snapshot.place(request.id, request.nonce)
        if place is None:
            return None
        chat, index = place
    index = index or snapshot.heads([chat]).get(chat, 0)
    return next(snapshot.messages([(chat, index, index)]), None)


def _entitled(member_list: ChatMembers, message: Message) -> dict[AccountId, int]:
    """The members that may see the message, without the sender. Each member is returned with the first index that may
    be unread for it."""
    return {
        account: unread_from
        for account, (first, unread_from) in member_list.members.items()
        if first <= message.index and account != message.sender
    }


_log = log(__name__)
_OWN_RANGE = 20_000
"""The most messages that one request for an account's own messages examines. This takes some hundredths of a second."""


@dataclass(frozen=True)
class MessageQueries:
    """Each public method is one use case. Raises RequestError."""

    _store: MessageStore
    _member_lists: MemberListPort
    _list_chats: RequestChatList
    _versions: LookUpVersions
    _settings: MessageSettings

    # Sync

    async def sync(self, request: Sync) -> Synced:
        """Reads the chat list from the session service before it reads the state of the chats. If the account joins a
        chat between the two reads, the messages of this chat arrive by fan-out."""
        page = await self._list_chats(ListChats(request.account, request.after, request.also))
        lists = {request.account: page, **page.also}
        entries = {account: listed.entries for account, listed in lists.items()}
        synced = await self._store.read(lambda snapshot: self._synced(snapshot, request, entries))
        pages = {account: Synced(one.chats, more=one.more or lists[account].more) for account, one in synced.items()}
        own = pages.pop(request.account)
        return Synced(own.chats, own.more, pages)

    def _synced(
        self, snapshot: Snapshot, request: Sync, lists: Mapping[AccountId, Iterable[ChatEntry]]
    ) -> dict[AccountId, Synced]:
        """The state of the first account, and of as many other accounts as fit into the reply."""
        budget, synced, known = self._budget(), dict[AccountId, Synced](), frozenset(request.known)
        limit = request.newest or self._settings.pushed_per_chat
        for account, states in chat_states(snapshot, lists, request.devices).items():
            if synced and budget.left <= 0:
                break
            missed = [one.missed(0 if one.chat in known else limit) for one in states]
            spans = (span for one in missed for span in one.spans)
            page = _MessagePage(iter(()) if request.bare else snapshot.messages(spans, account), budget)
            chats: list[ChatSync] = []
            for state, one in zip(states, missed, strict=True):
                if page.full:
                    break
                counted = [] if request.bare or request.newest else one.too_old
                chats.append(_chat_sync(state, one.first, page, snapshot.count(counted, account)))
            synced[account] = Synced(chats, more=len(chats) < len(states))
        return synced

    # The methods below read the data that a reconnecting client lacks.

    async def resume(self, request: Resume) -> Resumed:
        entries = await list_all_chats(self._list_chats, request.account, states=True)
        return await self._store.read(
            lambda snapshot: resume(snapshot, request, entries, self._settings.unread_per_chat)
        )

    # Unread messages

    async def unread(self, request: GetUnread) -> Unread:
        """Needs all chats of the account at once, because the reply lists the messages of all chats in order of
        time."""
        entries = await list_all_chats(self._list_chats, request.account)
        return await self._store.read(lambda snapshot: self._unread(snapshot, request, entries))

    def _unread(self, snapshot: Snapshot, request: GetUnread, entries: list[ChatEntry]) -> Unread:
        account = request.account
        states = chat_states(snapshot, {account: entries})[account]
        if request.by_chat:
            counts = snapshot.unread(unread_spans(states, self._settings.unread_per_chat), account)
            return Unread(sum(count for count, _ in counts.values()), [], chats=counts)
        sent = request.sent
        missed = {one.chat: one.missed(self._settings.pushed_per_chat, sent.get(one.chat, [])) for one in states}
        spans = [span for one in missed.values() for span in one.spans]
        total = snapshot.count(spans, account)
        if request.count <= 0:
            return Unread(total, [])
        limit = min(request.count, total, self._settings.reply_bytes // UNREAD_OVERHEAD_BYTES + 1)
        oldest = take_fitting(snapshot.oldest(spans, account, limit), self._settings.reply_bytes)
        messages = sorted(snapshot.messages(oldest), key=lambda message: (message.time, message.id))
        left_out = {
            chat: (one.first - 1, snapshot.count(one.too_old, account)) for chat, one in missed.items() if one.too_old
        }
        chats = {message.chat for message in messages}.union(left_out)
        pairs = {entry.chat: entry.pair for entry in entries if entry.pair is not None and entry.chat in chats}
        return Unread(total, messages, pairs, left_out=left_out)

    # One chat

    async def sync_chat(self, request: SyncChat) -> ChatSynced:
        member_list = await self._member_list(request.chat)
        members = {
            account: member_list.members[account] for account in request.accounts if account in member_list.members
        }
        changed = member_list.changed_since(request.since) if request.since else None
        audience = _Audience(members, member_list.version, member_list.pair, changed)
        return await self._store.read(lambda snapshot: self._chat_synced(snapshot, request, audience))

    def _chat_synced(self, snapshot: Snapshot, request: SyncChat, audience: "_Audience") -> ChatSynced:
        chat, after = request.chat, max(request.after, 0)
        members, version, pair, changed = audience
        head = snapshot.heads([chat]).get(chat, 0)
        readers = {account: reader(account, request.devices.get(account, NO_DEVICE)) for account in members}
        cursors = snapshot.cursors([(number, chat) for number in readers.values()])
        unread_from: dict[AccountId, int] = {}
        for account, (_, joined) in members.items():
            cursor = from_joining(cursors.get((readers[account], chat), Cursor()), joined)
            missed = undelivered_ranges(cursor, head, self._settings.pushed_per_chat)
            unread_from[account] = first_undelivered(cursor, missed)
        last = min(head, after + request.limit) if request.limit > 0 else head
        rows = snapshot.messages([(chat, after + 1, last)] if members or changed is not None else [])
        page = _MessagePage(rows, self._budget())
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
            place = require_member(await self._member_list(request.chat), request.actor)
        if request.own:
            return await self._store.read(lambda snapshot: self._own_history(snapshot, request), brief=False)
        return await self._store.read(
            lambda snapshot: self._history(snapshot, request, ChatEntry(request.chat, *place))
        )

    def _history(self, snapshot: Snapshot, request: GetHistory, entry: ChatEntry) -> History:
        chat, head = request.chat, snapshot.heads([request.chat]).get(request.chat, 0)
        if request.at:
            request = msgspec.structs.replace(request, around=snapshot.index_at(chat, request.at, head))
        span = (chat, *history_range(request, head, entry.first_index))
        messages = list(snapshot.messages([span]))
        rev = snapshot.activity([chat])[chat].rev if request.with_reactions and head else 0
        reactions = snapshot.reactions([span], request.actor) if rev else {}
        if request.around:
            ordered = iter(sorted(messages, key=lambda message: abs(message.index - request.around)))
        else:
            ordered = iter(messages[::-1] if request.older else messages)
        page = _MessagePage(ordered, self._budget(), reactions)
        sent = page.take(chat)
        shown = {one.index: found for one in sent if (found := reactions.get((chat, one.index))) is not None}
        reply = History(sent, head, page.full, rev, shown)
        if request.around:
            return _on_both_sides(reply, entry.first_index)
        return (
            reply
            if request.read_to is None
            else self._with_unread(snapshot, request.actor, entry, reply, request.read_to)
        )

    def _own_history(self, snapshot: Snapshot, request: GetHistory) -> History:
        """The account's own messages. Only a bounded range is read, because an account may have few messages among very
        many."""
        chat, head = request.chat, snapshot.heads([request.chat]).get(request.chat, 0)
        start = max(1, request.start)
        last = min(head, start + _OWN_RANGE - 1)
        page = _MessagePage(snapshot.sent_by(request.actor, (chat, start, last)), self._budget())
        sent = page.take(chat)
        return History(sent, head, page.full, upto=sent[-1].index if page.full else last)

    def _with_unread(
        self, snapshot: Snapshot, account: AccountId, entry: ChatEntry, reply: History, index: int
    ) -> History:
        """Adds to the reply the numbers of unread messages and of mentions that remain when all messages up to `index`
        are read."""
        (one,) = chat_states(snapshot, {account: [entry]})[account]
        read = read_up_to(one.cursor, min(index, one.head))._replace(unread_from=None)
        then = one._replace(cursor=read)
        unread = snapshot.unread(unread_spans([then], self._settings.unread_per_chat), account).get(entry.chat, (0, 0))
        return msgspec.structs.replace(reply, unread=unread, read=then.cursor.read_index)

    async def quoted(self, request: GetQuoted) -> Quoted:
        spans = [(request.chat, index, index) for index in sorted(set(request.indexes))[:MAX_HISTORY_COUNT]]

        def read(snapshot: Snapshot) -> Quoted:
            return Quoted(_MessagePage(snapshot.messages(spans), self._budget()).take(request.chat))

        return await self._store.read(read)

    def _budget(self) -> "_ByteBudget":
        return _ByteBudget(self._settings.reply_bytes)

    async def _member_list(self, chat: ChatId) -> ChatMembers:
        return await load_members(self._member_lists, self._versions, chat)

    # The methods below read last indexes and read state.

    async def heads(self, request: GetHeads) -> Heads:
        found = await self._store.read(lambda snapshot: snapshot.activity(request.chats))
        states = {chat: found.get(chat, Activity()) for chat in request.chats}
        return Heads(
            {chat: one.last_index for chat, one in states.items()}, {chat: one.rev for chat, one in states.items()}
        )

    async def mark_read(self, request: MarkRead) -> Marked:
        await self._store.mark_read(request.ranges, self._settings.delivered_ranges, request.positions)
        return Marked()

    async def open_device(self, request: OpenDevice) -> DeviceOpened:
        return DeviceOpened(await self._store.open_device(request))

    async def devices(self, request: ListDevices) -> Devices:
        return Devices(await self._store.list_devices(request.account))

    async def read_indexes(self, request: FindReadIndexes) -> ReadIndexes:
        """The read indexes of the given accounts, as far as they are members."""
        lists = await self._entries(request.members[:MAX_READ_INDEXES])
        return await self._store.read(lambda snapshot: self._read_indexes(snapshot, lists, counts=request.counts))

    async def readers(self, request: FindReaders) -> Readers:
        members = possible_readers(await self._member_list(request.chat), request)
        return await self._store.read(lambda snapshot: find_readers(snapshot, request, members))

    async def _entries(self, members: Iterable[tuple[AccountId, ChatId]]) -> dict[AccountId, list[ChatEntry]]:
        chats = {chat for _, chat in members}
        member_lists = await self._member_lists.load(chats, await self._versions(chats))
        lists: dict[AccountId, list[ChatEntry]] = {}
        for account, chat in sorted(set(members)):
            member_list = member_lists[chat]
            if isinstance(member_list, ChatMembers) and (place := member_list.members.get(account)) is not None:
                lists.setdefault(account, []).append(ChatEntry(chat, *place))
        return lists

    def _read_indexes(
        self, snapshot: Snapshot, lists: Mapping[AccountId, list[ChatEntry]], *, counts: bool
    ) -> ReadIndexes:
        found: list[ReadIndex] = []
        for account, states in chat_states(snapshot, lists).items():
            spans = unread_spans(states, self._settings.unread_per_chat) if counts else []
            unread = snapshot.unread(spans, account)
            found += [
                ReadIndex(
                    account, one.chat, one.cursor.read_index, *unread.get(one.chat, (0, 0)), one.cursor.unread_from or 0
                )
                for one in states
            ]
        return ReadIndexes(found)

    async def erase_account(self, request: EraseAccount) -> Ack:
        """Erase the account's read state. Its messages stay."""
        await self._store.erase(request.account)
        return Ack()

    async def account_deleted(self, event: AccountDeleted) -> None:
        await self._store.erase(event.account)


def _on_both_sides(reply: History, first_index: int) -> History:
    """Completes a page around an index: sorts the messages, and notes whether there are older and newer ones. `reply`
    has the messages in the order of their distance from the index."""
    messages = sorted(reply.messages, key=lambda message: message.index)
    older, newer = (messages[0].index > first_index, messages[-1].index < reply.head) if messages else (False, False)
    return msgspec.structs.replace(reply, messages=messages, older=older, newer=newer)


async def list_all_chats(list_chats: RequestChatList, account: AccountId, *, states: bool = False) -> list[ChatEntry]:
    """All chats of the account, read page by page. Raises RequestError."""
    page = await list_chats(ListChats(account, states=states))
    entries = page.entries
    while page.more:
        page = await list_chats(ListChats(account, page.entries[-1].chat, states=states))
        entries = entries + page.entries
    return entries


def _chat_sync(state: AccountChat, first: int, page: "_MessagePage", left_out: int) -> ChatSync:
    entry, head, cursor, time, rev = state
    page.spend(chat_size(len(cursor.above)))
    messages = page.take(entry.chat)
    upto, delivered = page.upto(messages, head, first - 1), list(cursor.above)
    return ChatSync(
        entry.chat, head, cursor.delivered_index, first, upto, delivered, messages, entry.pair, time, left_out,
        entry.first_index, rev,
    )  # fmt: skip


class _Audience(NamedTuple):
    """The requested accounts that are members of the chat in this version of the member list."""

    members: dict[AccountId, tuple[int, int]]
    version: int
    pair: MemberPair | None
    changed: dict[AccountId, int] | None


@dataclass(slots=True)
class _ByteBudget:
    """The number of bytes that are left in a reply."""

    left: int


class _MessagePage:
    """Takes messages in order while the budget lasts. The first message is always taken. `reactions`: the reactions
    sent with the messages."""

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
        """True after a message was left out. Then no later message is taken either."""

    def spend(self, size: int) -> None:
        self._budget.left -= size

    def take(self, chat: ChatId) -> list[Message]:
        """The messages of the next chat that fit."""
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
        """The index up to which the reply is complete for a chat. `messages`: the last messages that were read.
        `before`: the index before the first message."""
        if not self.full:
            return head
        return messages[-1].index if messages else before
