"""The chats of the scripted server, and its replies to requests about them. This module does no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.edge.canonical.commands import MarkChatRead, PostMessage, ReadHistory, ResumeChats
from services.edge.canonical.replies import (
    ChangesPage,
    ChatMarkedRead,
    ChatsResumed,
    ChatToResume,
    DisplayChange,
    DisplayMessage,
    HistoryPage,
    MessageAccepted,
)
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.message import ChangeKind, GetChanges, MessageChange
from shared.contract.model import Chat, ChatKind, JoinPolicy, Message, ProfileSummary, RichSegment, Role, Text
from shared.contract.resume import ChatRevision, ResumedChat

ACCOUNT = AccountId(12)
"""The account of the client."""
OTHER = AccountId(34)
_SENDERS = {ACCOUNT: ProfileSummary("Ann", "u12"), OTHER: ProfileSummary("Bob", "u34")}
_START_MS = 1795262400000
_STATE = 1
_NO_CHAT = Failure(ErrorCode.FORBIDDEN, "you are in no such chat", "chat")


@dataclass
class ServedChat:
    """A chat of the scripted server.

    `kept_from` is the first message that has not expired. `nonces` maps the nonces of the client's messages to their
    indexes.
    """

    id: ChatId
    kept_from: int = 1
    messages: list[DisplayMessage] = field(default_factory=list)
    changes: list[DisplayChange] = field(default_factory=list)
    nonces: dict[str, int] = field(default_factory=dict)

    @property
    def head(self) -> int:
        return len(self.messages)

    @property
    def rev(self) -> int:
        return len(self.changes)

    @property
    def time(self) -> int:
        return self.messages[-1].message.time if self.messages else 0

    @property
    def shown(self) -> Chat:
        return Chat(id=self.id, kind=ChatKind.GROUP, name=f"group {self.id}", owner=OTHER, join_policy=JoinPolicy.OPEN)

    def add(self, segments: tuple[RichSegment, ...], sender: AccountId = OTHER) -> DisplayMessage:
        index = self.head + 1
        message = Message(
            self.id, index, MessageId(self.id * 1000 + index), sender, _START_MS + index, b"", Nonce(index)
        )
        plain = tuple(segment for segment in segments if isinstance(segment, Text))
        shown = DisplayMessage(message, plain, _SENDERS[sender])
        self.messages.append(shown)
        return shown

    def react(self, index: int) -> DisplayChange:
        """Makes the other account react to a message, and returns this change."""
        change = MessageChange(
            self.id,
            self.rev + 1,
            index,
            ChangeKind.REACTION,
            OTHER,
            _START_MS + self.rev,
            reactions={"👍": 1},
            emoji="👍",
        )
        shown = DisplayChange(change)
        self.changes.append(shown)
        return shown

    def page(self, start: int, count: int, *, older: bool) -> Sequence[DisplayMessage]:
        if start < 0:
            start += self.head + 1
        indexes = range(start, start - count, -1) if older else range(start, start + count)
        return [self.messages[index - 1] for index in indexes if self.kept_from <= index <= self.head]


class ServedChats:
    """All chats of the server. `epoch` identifies the database; a restored backup has another epoch."""

    def __init__(self) -> None:
        self.epoch = "e1"
        self._chats: dict[ChatId, ServedChat] = {}

    def __getitem__(self, chat: ChatId) -> ServedChat:
        return self._chats.setdefault(chat, ServedChat(chat))

    def fill(self, chat: ChatId, count: int, word: str = "message") -> list[DisplayMessage]:
        served = self[chat]
        return [served.add((Text(f"{word} {served.head + 1}"),)) for _ in range(count)]

    def restore(self, epoch: str) -> None:
        """Simulates a restored backup: a new database, in which no chat exists any more."""
        self.epoch = epoch
        self._chats.clear()

    def text(self, chat: int, index: int) -> str | None:
        """Returns the text of a message, or None if there is no such message."""
        served = self._chats.get(ChatId(chat))
        if served is None or not 1 <= index <= served.head:
            return None
        return "".join(segment.text for segment in served.messages[index - 1].segments if isinstance(segment, Text))

    def head(self, chat: int) -> int:
        served = self._chats.get(ChatId(chat))
        return 0 if served is None else served.head

    def post(self, command: PostMessage) -> MessageAccepted | Failure:
        """Stores a message. A second message with the same nonce is not stored."""
        served = self._chats.get(command.chat)
        if served is None:
            return _NO_CHAT
        if index := served.nonces.get(command.nonce):
            if served.messages[index - 1].segments != command.segments:
                return Failure(ErrorCode.CONFLICT, "another message has this nonce", "nonce")
            return MessageAccepted(served.messages[index - 1].message, tuple, again=True)
        shown = served.add(command.segments, ACCOUNT)
        served.nonces[command.nonce] = shown.message.index
        return MessageAccepted(shown.message, tuple)

    def history(self, command: ReadHistory) -> HistoryPage | Failure:
        served = self._chats.get(command.chat)
        if served is None:
            return _NO_CHAT
        page = served.page(command.start, command.count, older=command.older)
        edge = served.kept_from if command.older else served.head
        more = bool(page) and page[-1].message.index != edge
        return HistoryPage(tuple(page), served.head, more, served.rev)

    def changes(self, command: GetChanges) -> ChangesPage | Failure:
        served = self._chats.get(command.chat)
        if served is None:
            return _NO_CHAT
        return ChangesPage(tuple(served.changes[command.after :]), served.rev, more=False)

    def read(self, command: MarkChatRead) -> ChatMarkedRead | Failure:
        return ChatMarkedRead((0, 0)) if command.chat in self._chats else _NO_CHAT

    def resume(self, command: ResumeChats) -> ChatsResumed:
        is_reset = bool(command.epoch) and command.epoch != self.epoch
        have = {} if is_reset else command.have
        lacking = [one for one in self._chats.values() if self._lacks(command, one, have)]
        lacking.sort(key=lambda one: (one.time, one.id), reverse=True)
        if command.before is not None:
            lacking = [one for one in lacking if (one.time, one.id) < command.before]
        page = lacking[: command.window]
        gone = tuple(chat for chat in have if chat not in self._chats)
        before = (page[-1].time, page[-1].id) if len(lacking) > len(page) else None
        resumed = tuple(self._resumed(command, one, have) for one in page)
        return ChatsResumed(self.epoch, is_reset, resumed, gone, (), before)

    def _lacks(self, command: ResumeChats, served: ServedChat, have: dict[ChatId, int]) -> bool:
        if have.get(served.id, -1) < served.head or command.revs.get(served.id, served.rev) < served.rev:
            return True
        return command.states.get(served.id, _STATE) != _STATE

    def _resumed(self, command: ResumeChats, served: ServedChat, have: dict[ChatId, int]) -> ChatToResume:
        had = have.get(served.id, 0)
        newest = max(had, served.kept_from - 1, served.head - command.timeline)
        messages = tuple(served.messages[newest:])
        rev = command.revs.get(served.id, 0)
        changes = tuple(one for one in served.changes[rev:] if served.id in have and one.change.index <= had)
        state = ResumedChat(
            served.id, served.head, served.time, 1, had + 1, 0, 0,
            [shown.message for shown in messages],
            revision=ChatRevision(served.rev, [shown.change for shown in changes]),
            state=_STATE,
        )  # fmt: skip
        return ChatToResume(served.shown, state, messages, changes, role=Role.MEMBER)
