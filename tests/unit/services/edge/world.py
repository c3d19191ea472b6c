"""What the services behind the edges remember, in memory: accounts, chats, messages, who has read what."""

import time
from dataclasses import dataclass, field

from services.message.domain import ReadState, first_unread, merge_read, read_below, unread_ranges
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.message import ChatSync, ChatSynced, Draft, Sync, SyncChat, Synced
from shared.contract.model import Message, Segment, Text, pack_segments

MOST_UNREAD = 1_000


@dataclass
class Room:
    chat: ChatId
    version: int = 1
    members: dict[AccountId, tuple[int, int]] = field(default_factory=dict)
    """First index each may see, and the first that may be unread."""
    messages: list[Message] = field(default_factory=list)
    posted: dict[tuple[AccountId, Nonce], Message] = field(default_factory=dict)

    @property
    def head(self) -> int:
        return len(self.messages)

    def join(self, account: int, *, everything: bool = False) -> None:
        self.version += 1
        self.members[AccountId(account)] = (1 if everything else self.head + 1, self.head + 1)

    def leave(self, account: int) -> None:
        self.version += 1
        del self.members[AccountId(account)]


class World:
    """`messages_per_page` and `chats_per_page` stand for the size of a reply."""

    def __init__(self) -> None:
        self.rooms: dict[ChatId, Room] = {}
        self.read: dict[tuple[AccountId, ChatId], ReadState] = {}
        self.messages_per_page = 200
        self.chats_per_page = 50

    def room(self, chat: int, *members: int) -> Room:
        room = self.rooms[ChatId(chat)] = Room(ChatId(chat))
        room.members = {AccountId(member): (1, 1) for member in members}
        return room

    def say(self, chat: int, sender: int, *said: str | Segment) -> list[Message]:
        """Committed by somebody, and told to nobody."""
        bodies = [pack_segments((Text(one) if isinstance(one, str) else one,)) for one in said]
        drafts = [Draft(AccountId(sender), ChatId(chat), self._nonce(), 2**62, body) for body in bodies]
        return [message for draft in drafts if isinstance(message := self.commit(draft), Message)]

    def commit(self, draft: Draft) -> Message | Failure:
        """Once for each nonce."""
        room = self.rooms[draft.chat]
        if (draft.sender, draft.nonce) in room.posted:
            return room.posted[draft.sender, draft.nonce]
        if draft.sender not in room.members:
            return Failure(ErrorCode.FORBIDDEN, "not a member")
        now = time.time_ns() // 1_000_000
        if draft.deadline <= now:
            return Failure(ErrorCode.UNAVAILABLE, "too late")
        time_ms = max(now, room.messages[-1].time + 1 if room.messages else 0)
        number = MessageId(sum(other.head for other in self.rooms.values()) + 1)
        message = Message(draft.chat, room.head + 1, number, draft.sender, time_ms, draft.body, draft.nonce)
        room.messages.append(message)
        room.posted[draft.sender, draft.nonce] = message
        return message

    def mark_read(self, account: int, chat: int, low: int, high: int) -> None:
        key = AccountId(account), ChatId(chat)
        self.read[key] = merge_read(self.state(*key), [(low, high)], MOST_UNREAD)

    def state(self, account: AccountId, chat: ChatId) -> ReadState:
        joined = self.rooms[chat].members.get(account, (1, 1))[1]
        return read_below(self.read.get((account, chat), ReadState()), joined)

    def unread(self, account: int, chat: int) -> list[int]:
        """Indexes, the account's own left out."""
        room, key = self.rooms[ChatId(chat)], (AccountId(account), ChatId(chat))
        return [
            index
            for low, high in unread_ranges(self.state(*key), room.head, MOST_UNREAD)
            for index in range(low, high + 1)
            if room.messages[index - 1].sender != account
        ]

    # SyncRequests, as message answers them

    def sync(self, request: Sync) -> Synced:
        account = request.account
        chats = [chat for chat in sorted(self.rooms) if chat > request.after]
        chats = [chat for chat in chats if account in self.rooms[chat].members]
        page = chats[: self.chats_per_page]
        entries = [self._chat_sync(account, chat, known=chat in request.known) for chat in page]
        return Synced(entries, more=len(chats) > len(page))

    def _chat_sync(self, account: AccountId, chat: ChatId, *, known: bool) -> ChatSync:
        room, state = self.rooms[chat], self.state(account, chat)
        holes = unread_ranges(state, room.head, 0 if known else MOST_UNREAD)
        first = first_unread(state, holes)
        news = [room.messages[index - 1] for low, high in holes for index in range(low, high + 1)]
        news = [message for message in news if message.sender != account]
        shown = news[: self.messages_per_page]
        upto = room.head if len(shown) == len(news) else shown[-1].index
        return ChatSync(chat, room.head, state.read_index, first, upto, list(state.above), shown)

    def sync_chat(self, request: SyncChat) -> ChatSynced:
        room = self.rooms[request.chat]
        members = {account: room.members[account] for account in request.accounts if account in room.members}
        after = min(request.after, room.head)
        shown = room.messages[after : after + self.messages_per_page] if members else []
        news: dict[AccountId, int] = {}
        for account in members:
            state = self.state(account, request.chat)
            news[account] = first_unread(state, unread_ranges(state, room.head, MOST_UNREAD))
        return ChatSynced(
            request.chat,
            head=room.head,
            upto=shown[-1].index if shown else room.head,
            messages=shown,
            first_index={account: first for account, (first, _) in members.items()},
            unread_from=news,
            version=room.version,
        )

    def _nonce(self) -> Nonce:
        return Nonce(time.monotonic_ns())
