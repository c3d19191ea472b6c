"""One v2 connection with its own clock.

It is called in the way in which an edge calls it, and records the frames that the client gets.
"""

import json
from dataclasses import dataclass
from typing import Any

from services.edge.canonical.events import ChatJoined, MaintenanceChanged, MessageChanged
from services.edge.canonical.frames import Outgoing
from services.edge.canonical.replies import DisplayChange, MessageAccepted, Reply
from services.edge.dialects.base import Dialect, DisplayMessage, LoadedChat, Push, Request
from services.edge.dialects.ourchat_v2 import V2PushGate
from shared.contract.auth import Authenticated
from shared.contract.body import pack_segments
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.message import ChangeKind, MessageChange
from shared.contract.model import Chat, ChatKind, JoinPolicy, Message, Profile, Text
from shared.contract.session import AccountView, ChatView
from tests.unit.services.edge.dialects.driving import ENTRIES, connect, only_request

ME, OTHER = AccountId(12), AccountId(34)


@dataclass(frozen=True)
class ClientFrame:
    """A frame that the client gets, with its code.

    A message also has its chat and index, and frames with the codes 9 and 2 have their chat.
    """

    at: float
    code: int
    chat: int = 0
    index: int = 0


class V2Scenario:
    def __init__(self) -> None:
        self.dialect: Dialect = connect(ENTRIES["ourchat-v2"])
        assert isinstance(self.dialect.gate, V2PushGate)
        self.gate = self.dialect.gate
        self.now = 100.0
        self.seen: list[ClientFrame] = []
        self.indexes: dict[int, int] = {}
        self.pushed: list[Message] = []
        self.statuses: list[int] = []
        self.texts: list[str] = []

    # Time

    def wait(self, seconds: float) -> None:
        """Lets time pass. Wakes the dialect when it wants to be woken."""
        end, wakes = self.now + seconds, 0
        while (wake_at := self.gate.wake_at) is not None and wake_at <= end:
            self.now = max(self.now, wake_at)
            self._push(self.gate.wake(self.now))
            assert (wakes := wakes + 1) < 1000, "it is due again and again"
        self.now = end

    # The methods below send a client's requests, which get a reply at once.

    def log_in(self, *chats: int, account: AccountId = ME, known: bool = True) -> None:
        request = {"code": 6, "login_type": 1, "account": account, "password": "x"}
        authenticated = Authenticated(account=account, sid="s", token="t", expires=0, uuid="u", nickname="n")
        self.dialect.logged_in(account, self.now)
        self._request(request, authenticated)
        if known:
            self.load_chats(*chats)

    def load_chats(self, *chats: int) -> None:
        """Loads the first page of the sync."""
        self.dialect.chats_loaded([LoadedChat(ChatId(chat)) for chat in chats], self.now)

    def request_account(self, *, pc_client: bool = False) -> None:
        values = ["nickname", "public_update_time"] if pc_client else ["nickname"]
        view = AccountView(Profile(id=ME, uuid="u", nickname="n"))
        self._request({"code": 10, "ocid": ME, "request_values": values}, view)

    def request_session(self, chat: int, failure: Failure | None = None) -> None:
        self._request({"code": 1, "session_id": chat, "request_values": ["session_id"]}, failure or view_of(chat))

    def create(self, chat: int, *before_the_reply: int, failure: Failure | None = None) -> None:
        """Creates a session. Meanwhile, the account joins these chats."""
        request = only_request(self.dialect, json.dumps({"code": 8, "members": [OTHER]}).encode(), self.now)
        for other in before_the_reply:
            self.join(other)
        self._reply(request, failure or view_of(chat))

    def send(self, chat: int) -> None:
        """Sends a message, and delivers its echo."""
        message = self._next(chat, ME)
        frames = self.dialect.encode_message(DisplayMessage(message, (Text("x"),)))
        frame = {"code": 0, "sender": {"session_id": chat}, "msg": [{"type": 0, "text": "x"}]}
        self._push(self.gate.release(message.chat, self.now))
        self._request(frame, MessageAccepted(message, lambda: frames))

    def _request(self, frame: dict[str, Any], reply: Reply | Failure) -> None:
        self._reply(only_request(self.dialect, json.dumps(frame).encode(), self.now), reply)

    def _reply(self, request: Request, reply: Reply | Failure) -> None:
        if isinstance(reply, Failure):
            self._write(self.dialect.encode_error(request, reply))
        else:
            self._write(self.dialect.encode_reply(request, reply, self.now))

    # Events of the server

    def receive(self, chat: int) -> None:
        """Delivers a message of another user in this chat."""
        message = self._next(chat, OTHER)
        frames = self.dialect.encode_message(DisplayMessage(message, (Text("x"),)))
        if (admitted := self.gate.admit(message, frames)) is None:
            self._push(self.gate.hold(message, frames, self.now))
        else:
            self._push((Push(admitted, message),))

    def join(self, chat: int) -> None:
        self._push(self.dialect.encode_event(ChatJoined(ChatId(chat)), self.now))

    def recall(self, chat: int, index: int) -> None:
        change = MessageChange(ChatId(chat), 1, index, ChangeKind.RECALL, OTHER, 0)
        self._push(self.dialect.encode_event(MessageChanged(DisplayChange(change)), self.now))

    def maintenance(self, on: bool) -> None:
        self._push(self.dialect.encode_event(MaintenanceChanged(on), self.now))

    def _next(self, chat: int, sender: AccountId) -> Message:
        index = self.indexes[chat] = self.indexes.get(chat, 0) + 1
        body = pack_segments((Text("x"),))
        return Message(ChatId(chat), index, MessageId(chat * 1000 + index), sender, index, body, Nonce(1))

    # Frames at the client

    def _push(self, pushes: tuple[Push, ...]) -> None:
        for push in pushes:
            self._write(push.frames)
            if push.message is not None:
                self.pushed.append(push.message)

    def _write(self, frames: tuple[Outgoing, ...]) -> None:
        for frame in frames:
            assert isinstance(frame, bytes)
            value = json.loads(frame)
            self.seen.append(client_frame(self.now, value))
            if value["code"] == 0:
                self.texts += [segment["text"] for segment in value["msg"]]
            if value["code"] == 12:
                self.statuses.append(value["status"])

    def messages(self, chat: int | None = None) -> list[tuple[float, int, int]]:
        """Returns the time, chat and index of each pushed message."""
        shown = [(seen.at, seen.chat, seen.index) for seen in self.seen if seen.code == 0]
        return [one for one in shown if chat in (None, one[1])]

    def codes(self) -> list[int]:
        return [seen.code for seen in self.seen]

    def announced(self) -> list[tuple[float, int]]:
        """Returns the chats of the frames with code 9, which announce sessions."""
        return [(seen.at, seen.chat) for seen in self.seen if seen.code == 9]


def client_frame(now: float, frame: dict[str, Any]) -> ClientFrame:
    match frame["code"]:
        case 0:
            return ClientFrame(now, 0, int(frame["sender"]["session_id"]), int(frame["msg_id"]) % 1000)
        case 9:
            return ClientFrame(now, 9, int(frame.get("session_id", 0)))
        case 2:
            return ClientFrame(now, 2, int(frame["data"].get("session_id", 0)))
        case code:
            return ClientFrame(now, code)


def view_of(chat: int) -> ChatView:
    made = Chat(id=ChatId(chat), kind=ChatKind.GROUP, name="n", owner=ME, join_policy=JoinPolicy.CLOSED)
    return ChatView(made, [ME, OTHER])
