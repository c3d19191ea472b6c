"""One v2 connection with a clock of its own, driven as the edge drives it; it notes what its client sees, and when."""

import json
from dataclasses import dataclass
from typing import Any

from services.edge.canonical.events import ChatJoined, MaintenanceChanged
from services.edge.canonical.frames import Outgoing
from services.edge.canonical.replies import MessageAccepted, Reply
from services.edge.dialects.base import Dialect, DisplayMessage, LoadedChat, Push
from services.edge.dialects.registry import DIALECTS, by_path
from shared.contract.auth import Authenticated
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Chat, ChatKind, JoinPolicy, Message, Profile, Text, pack_segments
from shared.contract.session import AccountView, ChatView
from tests.unit.services.edge.dialects.driving import connect, only_request

ME, OTHER = AccountId(12), AccountId(34)


@dataclass(frozen=True)
class Seen:
    """A frame at the client: its code and, of a message, the chat and index; of a 9 and a 2, the chat."""

    at: float
    code: int
    chat: int = 0
    index: int = 0


class Playbook:
    def __init__(self) -> None:
        entry = by_path("/ws/ourchat-v2", DIALECTS)
        assert entry is not None
        self.dialect: Dialect = connect(entry)
        self.now = 100.0
        self.seen: list[Seen] = []
        self.indexes: dict[int, int] = {}
        self.pushed: list[Message] = []
        self.statuses: list[int] = []

    # Time

    def wait(self, seconds: float) -> None:
        """Let time pass, waking the dialect whenever it wants to be."""
        end, wakes = self.now + seconds, 0
        while (wake_at := self.dialect.next_wakeup) is not None and wake_at <= end:
            self.now = max(self.now, wake_at)
            self._push(self.dialect.wake(self.now))
            assert (wakes := wakes + 1) < 1000, "it wants to be woken again and again"
        self.now = end

    # What the client asks; answered at once

    def log_in(self, *chats: int, account: AccountId = ME, known: bool = True) -> None:
        request = {"code": 6, "login_type": 1, "account": account, "password": "x"}
        authenticated = Authenticated(account=account, sid="s", token="t", expires=0, uuid="u", nickname="n")
        self.dialect.logged_in(account, self.now)
        self._ask(request, authenticated)
        if known:
            self.know(*chats)

    def know(self, *chats: int) -> None:
        """The first page of the sync has come."""
        self.dialect.chats_loaded([LoadedChat(ChatId(chat)) for chat in chats], self.now)

    def ask_account(self, *, family: bool = False) -> None:
        values = ["nickname", "public_update_time"] if family else ["nickname"]
        view = AccountView(Profile(id=ME, uuid="u", nickname="n"))
        self._ask({"code": 10, "ocid": ME, "request_values": values}, view)

    def ask_session(self, chat: int) -> None:
        self._ask({"code": 1, "session_id": chat, "request_values": ["session_id"]}, view_of(chat))

    def ask_session_in_vain(self, chat: int) -> None:
        self._ask({"code": 1, "session_id": chat, "request_values": ["name"]}, Failure(ErrorCode.UNAVAILABLE, "later"))

    def create(self, chat: int, *before_the_reply: int) -> None:
        """Make a session; meanwhile the account appears in these chats."""
        request = only_request(self.dialect, json.dumps({"code": 8, "members": [OTHER]}).encode(), self.now)
        for other in before_the_reply:
            self.appear(other)
        self._write(self.dialect.encode_reply(request, view_of(chat), self.now))

    def create_in_vain(self, *before_the_reply: int) -> None:
        request = only_request(self.dialect, json.dumps({"code": 8, "members": [OTHER]}).encode(), self.now)
        for other in before_the_reply:
            self.appear(other)
        self._write(self.dialect.encode_error(request, Failure(ErrorCode.NOT_FOUND, "nobody")))

    def say(self, chat: int) -> None:
        """One's own message, and its echo."""
        message = self._next(chat, ME)
        frames = self.dialect.encode_message(DisplayMessage(message, (Text("x"),)))
        frame = {"code": 0, "sender": {"session_id": chat}, "msg": [{"type": 0, "text": "x"}]}
        self._ask(frame, MessageAccepted(message, frames))

    def _ask(self, frame: dict[str, Any], answer: Reply | Failure) -> None:
        request = only_request(self.dialect, json.dumps(frame).encode(), self.now)
        if isinstance(answer, Failure):
            self._write(self.dialect.encode_error(request, answer))
        else:
            self._write(self.dialect.encode_reply(request, answer, self.now))

    # What the server has to tell

    def hear(self, chat: int) -> None:
        """Somebody says something in this chat."""
        message = self._next(chat, OTHER)
        frames = self.dialect.encode_message(DisplayMessage(message, (Text("x"),)))
        if self.dialect.must_hold(message.chat):
            self._push(self.dialect.hold(message, frames, self.now))
        else:
            self._push((Push(frames, message),))

    def appear(self, chat: int) -> None:
        self._push(self.dialect.encode_event(ChatJoined(ChatId(chat)), self.now))

    def maintenance(self, on: bool) -> None:
        self._push(self.dialect.encode_event(MaintenanceChanged(on), self.now))

    def _next(self, chat: int, sender: AccountId) -> Message:
        index = self.indexes[chat] = self.indexes.get(chat, 0) + 1
        body = pack_segments((Text("x"),))
        return Message(ChatId(chat), index, MessageId(chat * 1000 + index), sender, index, body, Nonce(1))

    # What the client sees

    def _push(self, pushes: tuple[Push, ...]) -> None:
        for push in pushes:
            self._write(push.frames)
            if push.message is not None:
                self.pushed.append(push.message)

    def _write(self, frames: tuple[Outgoing, ...]) -> None:
        for frame in frames:
            assert isinstance(frame, bytes)
            value = json.loads(frame)
            self.seen.append(seen_as(self.now, value))
            if value["code"] == 12:
                self.statuses.append(value["status"])

    def messages(self, chat: int | None = None) -> list[tuple[float, int, int]]:
        """When, which chat, which index."""
        shown = [(seen.at, seen.chat, seen.index) for seen in self.seen if seen.code == 0]
        return [one for one in shown if chat in (None, one[1])]

    def codes(self) -> list[int]:
        return [seen.code for seen in self.seen]

    def announced(self) -> list[tuple[float, int]]:
        """The 9s."""
        return [(seen.at, seen.chat) for seen in self.seen if seen.code == 9]


def seen_as(now: float, frame: dict[str, Any]) -> Seen:
    match frame["code"]:
        case 0:
            return Seen(now, 0, int(frame["sender"]["session_id"]), int(frame["msg_id"]) % 1000)
        case 9:
            return Seen(now, 9, int(frame.get("session_id", 0)))
        case 2:
            return Seen(now, 2, int(frame["data"].get("session_id", 0)))
        case code:
            return Seen(now, code)


def view_of(chat: int) -> ChatView:
    made = Chat(id=ChatId(chat), kind=ChatKind.GROUP, name="n", owner=ME, join_policy=JoinPolicy.CLOSED)
    return ChatView(made, [ME, OTHER])
