"""The state of the services behind the edges, in memory: chats, members, messages and read states."""

import time
from dataclasses import dataclass, field

from services.message.domain import (
    Cursor,
    check_repeated,
    first_undelivered,
    from_joining,
    merge_delivered,
    read_up_to,
    undelivered_ranges,
    unread_range,
)
from shared.clock import now_ms, steady_ms
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.message import ChatSync, ChatSynced, Draft, Sync, SyncChat, Synced
from shared.contract.model import Message, Segment, Text

LIMIT = 1_000


@dataclass
class FakeChat:
    chat: ChatId
    version: int = 1
    members: dict[AccountId, tuple[int, int]] = field(default_factory=dict)
    """For each account, the first index that it can see, and the first index that may be unread."""
    messages: list[Message] = field(default_factory=list)
    posted: dict[tuple[AccountId, Nonce], Message] = field(default_factory=dict)
    rev: int = 5
    changes: dict[AccountId, int] = field(default_factory=dict)
    """For each account, the version of its last join or departure."""

    @property
    def head(self) -> int:
        return len(self.messages)

    def join(self, account: int, *, everything: bool = False) -> None:
        """A join has two versions, as in the session service: first the account becomes a member, and then its join is
        finished.
        """
        self.version += 2
        self.members[AccountId(account)] = (1 if everything else self.head + 1, self.head + 1)
        self.changes[AccountId(account)] = self.version

    def leave(self, account: int) -> None:
        self.version += 1
        del self.members[AccountId(account)]
        self.changes[AccountId(account)] = self.version

    def changed_since(self, version: int) -> dict[AccountId, int]:
        """Returns changes as shared.contract.message.ChatSynced describes them."""
        later = [account for account, changed in self.changes.items() if changed > version]
        return {account: self.members.get(account, (0, 0))[0] for account in later}


class FakeBackend:
    """All chats. `messages_per_page` and `chats_per_page` limit a reply."""

    def __init__(self) -> None:
        self.chats: dict[ChatId, FakeChat] = {}
        self.cursors: dict[tuple[AccountId, ChatId], Cursor] = {}
        self.messages_per_page = 200
        self.chats_per_page = 50
        self.knows_changes = True
        """Whether the message service has the changes of memberships. After a restart, it does not have them."""

    def add_chat(self, chat: int, *members: int) -> FakeChat:
        room = self.chats[ChatId(chat)] = FakeChat(ChatId(chat))
        room.members = {AccountId(member): (1, 1) for member in members}
        return room

    def commit_texts(self, chat: int, sender: int, *texts: str | Segment) -> list[Message]:
        """Commits messages of a sender without delivering them."""
        bodies = [pack_segments((Text(one) if isinstance(one, str) else one,)) for one in texts]
        drafts = [Draft(AccountId(sender), ChatId(chat), self._nonce(), 2**62, body) for body in bodies]
        return [message for draft in drafts if isinstance(message := self.commit(draft), Message)]

    def commit(self, draft: Draft) -> Message | Failure:
        """Commits a draft once for each nonce."""
        room = self.chats[draft.chat]
        if (draft.sender, draft.nonce) in room.posted:
            return check_repeated(room.posted[draft.sender, draft.nonce], draft, was_sent=False)
        if (draft.by or draft.sender) not in room.members:
            return Failure(ErrorCode.FORBIDDEN, "not a member")
        now = now_ms()
        if draft.deadline <= steady_ms():
            return Failure(ErrorCode.UNAVAILABLE, "too late")
        time_ms = max(now, room.messages[-1].time + 1 if room.messages else 0)
        number = MessageId(sum(other.head for other in self.chats.values()) + 1)
        message = Message(draft.chat, room.head + 1, number, draft.sender, time_ms, draft.body, draft.nonce)
        room.messages.append(message)
        room.posted[draft.sender, draft.nonce] = message
        return message

    def mark_delivered(self, account: int, chat: int, low: int, high: int, read: int = 0) -> None:
        key = AccountId(account), ChatId(chat)
        cursor = merge_delivered(read_up_to(self.cursor(*key), read), [(low, high)], LIMIT)
        self.cursors[key] = cursor._replace(unread_from=None) if read else cursor

    def mark_unread(self, account: int, chat: int, index: int) -> None:
        key = AccountId(account), ChatId(chat)
        self.cursors[key] = self.cursor(*key)._replace(unread_from=index)

    def cursor(self, account: AccountId, chat: ChatId) -> Cursor:
        joined = self.chats[chat].members.get(account, (1, 1))[1]
        return from_joining(self.cursors.get((account, chat), Cursor()), joined)

    def unread(self, account: int, chat: int) -> list[int]:
        """Returns the indexes of the unread messages of other senders."""
        room, key = self.chats[ChatId(chat)], (AccountId(account), ChatId(chat))
        low, high = unread_range(self.cursor(*key), room.head, LIMIT)
        return [index for index in range(low, high + 1) if room.messages[index - 1].sender != account]

    def undelivered(self, account: int, chat: int, limit: int | None = None) -> list[int]:
        """Returns the indexes of the undelivered messages of other senders."""
        room, key = self.chats[ChatId(chat)], (AccountId(account), ChatId(chat))
        return [
            index
            for low, high in undelivered_ranges(self.cursor(*key), room.head, limit or LIMIT)
            for index in range(low, high + 1)
            if room.messages[index - 1].sender != account
        ]

    # The methods below make the replies of the message service.

    def sync(self, request: Sync) -> Synced:
        account = request.account
        chats = [chat for chat in sorted(self.chats) if chat > request.after]
        chats = [chat for chat in chats if account in self.chats[chat].members]
        page = chats[: self.chats_per_page]
        entries = [self._chat_sync(account, chat, known=chat in request.known) for chat in page]
        return Synced(entries, more=len(chats) > len(page))

    def _chat_sync(self, account: AccountId, chat: ChatId, *, known: bool) -> ChatSync:
        room, state = self.chats[chat], self.cursor(account, chat)
        holes = undelivered_ranges(state, room.head, 0 if known else LIMIT)
        first = first_undelivered(state, holes)
        news = [room.messages[index - 1] for low, high in holes for index in range(low, high + 1)]
        news = [message for message in news if message.sender != account]
        shown = news[: self.messages_per_page]
        upto = room.head if len(shown) == len(news) else shown[-1].index
        time = room.messages[-1].time if room.messages else 0
        missed = [one for one in self.undelivered(account, chat, room.head) if one < first]
        left_out = 0 if known else len(missed)
        above = list(state.above)
        return ChatSync(
            chat, room.head, state.delivered_index, first, upto, above, shown, last_time=time, left_out=left_out,
            first_index=room.members[account][0], rev=room.rev,
        )  # fmt: skip

    def sync_chat(self, request: SyncChat) -> ChatSynced:
        room = self.chats[request.chat]
        members = {account: room.members[account] for account in request.accounts if account in room.members}
        after = min(request.after, room.head)
        shown = room.messages[after : after + self.messages_per_page] if members or request.since else []
        news: dict[AccountId, int] = {}
        for account in members:
            state = self.cursor(account, request.chat)
            news[account] = first_undelivered(state, undelivered_ranges(state, room.head, LIMIT))
        return ChatSynced(
            request.chat,
            head=room.head,
            upto=shown[-1].index if shown else room.head,
            messages=shown,
            first_index={account: first for account, (first, _) in members.items()},
            unread_from=news,
            version=room.version,
            changed=room.changed_since(request.since) if request.since and self.knows_changes else None,
        )

    def _nonce(self) -> Nonce:
        return Nonce(time.monotonic_ns())
