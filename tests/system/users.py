"""Users for tests from outside. They have the client library's codecs and connections, and can send any frame.

Every wait has a time limit, and no frame is lost between two calls.
"""

import hashlib
import json
import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from types import TracebackType
from typing import Any, Self

from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec, Destination
from dragoman_client.codec.events import ServerReply
from dragoman_client.codec.ourchat_v2 import OurChatV2Codec
from dragoman_client.codec.service import ServiceCodec
from dragoman_client.errors import ConnectionEnded
from tests.support.blocking_client import BlockingTcp, BlockingWebSocket, connect
from tests.support.waiting import WAIT_SECONDS

Frame = dict[str, Any]
V2 = OurChatV2Codec()
_CODECS: dict[str, Codec] = CODECS | {"service": ServiceCodec(push=False)}
"""The codecs as the documents describe the protocols. The dialect service has no pushes."""


def account_of(tag: str, number: int = 0) -> ClientAccount:
    """Returns the data of a v2 account. Its names and its password are made from `tag`."""
    secret = hashlib.sha256(tag.encode()).hexdigest()
    return ClientAccount(f"名{tag}", secret, number, email=f"u{tag}@dragoman.test")


def new_account() -> ClientAccount:
    return account_of(secrets.token_hex(6))


class _WebSocketUser:
    """One WebSocket connection of a user."""

    def __init__(self, address: str, dialect: str) -> None:
        self.codec = _CODECS[dialect]
        connection = connect(address, self.codec, seconds=WAIT_SECONDS)
        assert isinstance(connection, BlockingWebSocket)
        self.connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def read_text(self, seconds: float = WAIT_SECONDS) -> str:
        """Returns the next frame from the connection. Raises TimeoutError, ConnectionEnded."""
        frame = self.connection.receive(max(seconds, 0))
        assert isinstance(frame, str)
        return frame


class V2User(_WebSocketUser):
    """A user of OurChat v2. Frames that no call waited for are kept in `pending`, in order."""

    def __init__(self, edge: str, path: str = V2.path) -> None:
        super().__init__(edge + path, V2.dialect)
        self.pending: deque[Frame] = deque()
        self.account = new_account()

    def send(self, frame: Frame | ClientRequest | str | bytes | Iterable[str]) -> None:
        """Sends a frame: text, bytes or fragments unchanged, and an object as JSON."""
        if isinstance(frame, ClientRequest):
            self.connection.send(frame.frame.decode())
        else:
            self.connection.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    def read(self, seconds: float = WAIT_SECONDS) -> Frame:
        """Returns the next frame from the connection. Raises TimeoutError, ConnectionEnded."""
        frame: Frame = json.loads(self.connection.receive(max(seconds, 0)))
        return frame

    def receive_where(self, wanted: Callable[[Frame], bool], seconds: float = WAIT_SECONDS) -> Frame:
        """Returns the first frame that is wanted. Other frames stay pending."""
        for frame in self.pending:
            if wanted(frame):
                self.pending.remove(frame)
                return frame
        deadline = time.monotonic() + seconds
        while not wanted(frame := self.read(deadline - time.monotonic())):
            self.pending.append(frame)
        return frame

    def receive_code(self, *codes: int, seconds: float = WAIT_SECONDS) -> Frame:
        return self.receive_where(lambda frame: frame["code"] in codes, seconds)

    def request(self, frame: Frame | ClientRequest, *codes: int, seconds: float = WAIT_SECONDS) -> Frame:
        self.send(frame)
        return self.receive_code(*codes, seconds=seconds)

    def closed(self, seconds: float = WAIT_SECONDS) -> int:
        """Waits for the end of the connection, and returns the server's close code."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                self.pending.append(self.read(deadline - time.monotonic()))
        except ConnectionEnded as ended:
            return ended.code

    # Actions of users

    def register(self, account: ClientAccount | None = None) -> Self:
        self.account = account or new_account()
        self.account.number = int(self.request(self.registration(self.account), 5)["ocid"])
        return self

    @staticmethod
    def registration(account: ClientAccount) -> Frame:
        frame: Frame = json.loads(V2.register(account).frame)
        return frame

    def login(self, account: ClientAccount) -> Frame:
        self.account = account
        return self.request(V2.login(account), 7, 13)

    def session(self, *others: "V2User", name: str = "") -> int:
        """Creates a session of these users. All of them list the session, so that the edge holds back no message."""
        made = self.request(V2.create_group(self.account, name, [other.account for other in others]), 9)
        session = int(made["session_id"])
        for other in others:
            other.receive_where(lambda frame: frame["code"] == 9 and frame["session_id"] == str(session))
        for one in (self, *others):
            one.list_session(session)
        return session

    def list_session(self, session: int) -> None:
        self.request(V2.describe_chat(self.account, session, ["session_id"]), 2)

    def text_frame(self, session: int, text: str) -> Frame:
        frame: Frame = json.loads(V2.post(self.account, Destination(session), text).frame)
        return frame

    def post(self, session: int, text: str, seconds: float = WAIT_SECONDS) -> Frame:
        """Sends a message, and waits until it is acknowledged."""
        self.send(self.text_frame(session, text))
        return self.receive_text(text, seconds)

    def receive_text(self, text: str, seconds: float = WAIT_SECONDS) -> Frame:
        return self.receive_where(lambda frame: frame["code"] == 0 and frame["msg"][0]["text"] == text, seconds)

    def receive_nothing(self, seconds: float = 0.2) -> None:
        """Checks that no frame is pending, and that none arrives."""
        assert not self.pending
        try:
            raise AssertionError(f"unexpected: {self.read(seconds)}")
        except TimeoutError:
            return


class DialectUser(_WebSocketUser):
    """A user of any dialect. Frames that no call waited for are kept in `pending`, in order.

    `number` is the account's OC number. Its names are made from `tag`, which is also its password.
    """

    def __init__(self, edge: str, dialect: str) -> None:
        super().__init__(edge, dialect)
        self.pending: list[str] = []
        self.dialect = dialect
        self.tag = secrets.token_hex(6)
        self.account = _dialect_account(dialect, self.tag)

    @property
    def number(self) -> int:
        return self.account.number

    @property
    def token(self) -> str:
        return self.account.token

    @property
    def uuid(self) -> str:
        return self.account.uuid

    @property
    def mail(self) -> str:
        return self.account.email

    @property
    def md5(self) -> str:
        return _md5(self.tag)

    def send(self, frame: str | bytes | Frame) -> None:
        self.connection.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    def read(self, seconds: float = WAIT_SECONDS) -> str:
        """Returns the next frame from the connection. Raises TimeoutError, ConnectionEnded."""
        return self.read_text(seconds)

    def receive(self, *parts: str, seconds: float = WAIT_SECONDS) -> str:
        """Returns the first frame that contains all these parts. Other frames stay pending."""
        for frame in self.pending:
            if all(part in frame for part in parts):
                self.pending.remove(frame)
                return frame
        deadline = time.monotonic() + seconds
        while True:
            try:
                frame = self.read(deadline - time.monotonic())
            except TimeoutError:
                raise AssertionError(f"{parts} not received, but {self.pending}") from None
            if all(part in frame for part in parts):
                return frame
            self.pending.append(frame)

    def request(self, frame: str | bytes | Frame, *parts: str) -> str:
        self.send(frame)
        return self.receive(*parts)

    def register(self) -> Self:
        """Registers a new account and logs in."""
        self._request(self.codec.register(self.account))
        if not self.codec.registration_logs_in:
            self._request(self.codec.login(self.account))
        return self

    def login_v1(self, number: int, password: str) -> None:
        """Logs in to v1. The account may have been registered in another dialect."""
        self.account.number = number
        self._request(CODECS["ourchat-v1"].login(ClientAccount(number=number, secret=password)))

    def _request(self, request: ClientRequest) -> None:
        """Sends a request. Stores the number and the token of the reply in the account."""
        for sent in (*request.before, request.frame):
            self.connection.send(sent.decode())
        deadline = time.monotonic() + WAIT_SECONDS
        while (reply := self._match(request, frame := self.read(deadline - time.monotonic()))) is None:
            self.pending.append(frame)
        assert not reply.error, reply
        self.account.number = reply.number or self.account.number
        self.account.token = reply.token or self.account.token

    def _match(self, request: ClientRequest, frame: str) -> ServerReply | None:
        return self.codec.match(request, self.codec.decode(frame.encode()))


def posting(user: DialectUser, chat: int, text: str) -> str | Frame:
    """Returns the frame by which the user sends a text to a group."""
    number, token = user.number, user.token
    frames: dict[str, Frame] = {
        "ourchat-v0": {"code": 0, "data": {"cid": chat, "sender_id": f"{number:010d}", "msg": text}},
        "ourchat-v1": {"code": 0, "time": 0, "data": {"sender": {"ocid": number, "group_id": chat}, "msg": text}},
        "ourchat-v2": {"code": 0, "sender": {"session_id": str(chat)}, "msg": [{"type": 0, "text": text}]},
        "service": {"service_code": 5, "content": {"token": token, "chat": chat, "msg": text}},
        "native": {"op": "send", "id": 1, "chat": chat, "nonce": text, "text": text},
    }
    return frames.get(user.dialect) or f"send_message|1|{number}|{chat}|0|{text}|{token}"


class NativeUser(DialectUser):
    def __init__(self, edge: str) -> None:
        super().__init__(edge, "native")
        self._ids = count(1)

    def call(self, op: str, **members: object) -> dict[str, Any]:
        """Sends a command, and returns the reply, which may be an error."""
        number = next(self._ids)
        reply: dict[str, Any] = json.loads(self.request({"op": op, "id": number, **members}, f'{{"re":{number}'))
        assert reply["re"] == number
        return reply

    def do(self, op: str, **members: object) -> None:
        """Sends a command that must succeed, and ignores its reply."""
        reply = self.call(op, **members)
        assert "error" not in reply, reply

    def event(self, kind: str) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.receive(f'{{"ev":"{kind}"'))
        return event


def _dialect_account(dialect: str, tag: str) -> ClientAccount:
    if dialect == "pipe":
        return ClientAccount(tag, _md5(tag))
    return ClientAccount(f"{dialect[-2:]}-{tag}", tag, uuid=str(uuid.uuid4()), email=f"s{tag}@dragoman.test")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 (the protocol's choice)


class TcpUser:
    """A plain TCP connection to an address tcp://host:port. Bytes are sent unchanged, without a line end."""

    def __init__(self, address: str) -> None:
        connection = connect(address, V2, seconds=WAIT_SECONDS)
        assert isinstance(connection, BlockingTcp)
        self.connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def send(self, *frames: Frame | str | bytes) -> None:
        """Sends all frames in one call: text and bytes unchanged, objects as JSON."""
        self.connection.socket.sendall(b"".join(map(_bytes, frames)))

    def receive_line(self) -> str:
        """Returns the next line without its end. Returns an empty text at the end of the stream."""
        try:
            line = self.connection.receive()
        except ConnectionEnded:
            return ""
        assert isinstance(line, str)
        return line

    def receive(self) -> Frame:
        frame: Frame = json.loads(self.receive_line())
        return frame

    def receive_where(self, wanted: Callable[[Frame], bool]) -> Frame:
        """Returns the first frame that is wanted. Earlier frames are dropped."""
        while not wanted(frame := self.receive()):
            pass
        return frame

    def receive_code(self, code: int) -> Frame:
        return self.receive_where(lambda frame: frame["code"] == code)

    def request(self, request: Frame, code: int) -> Frame:
        self.send(request)
        return self.receive_code(code)

    def end_sending(self) -> None:
        """Closes the sending direction. The user can still receive frames."""
        self.connection.end()


class IrcUser(TcpUser):
    """An IRC client over plain TCP, which is logged in with an account of another dialect.

    Lines that no call waited for are kept in `pending`, in order.
    """

    def __init__(
        self,
        address: str,
        account: ClientAccount,
        capabilities: str = "message-tags echo-message",
        device: str = "n",
    ) -> None:
        super().__init__(address)
        self.pending: list[str] = []
        names = f"PASS {account.number}:{account.secret}", "NICK n", f"USER {device} 0 * :n"
        self.write(f"CAP REQ :{capabilities}", *names, "CAP END")
        self.nick = self.await_line(" 001 ").split()[2]
        self.await_line(" 422 ")

    def write(self, *lines: str) -> None:
        self.send("".join(f"{line}\r\n" for line in lines))

    def await_line(self, *parts: str) -> str:
        """Returns the first line that contains all these parts."""
        for line in self.pending:
            if all(part in line for part in parts):
                self.pending.remove(line)
                return line
        while line := self.receive_line():
            if all(part in line for part in parts):
                return line
            self.pending.append(line)
        raise AssertionError(f"{parts} not received, but {self.pending[-20:]}")


def _bytes(frame: Frame | str | bytes) -> bytes:
    if isinstance(frame, bytes):
        return frame
    return (json.dumps(frame, ensure_ascii=False) if isinstance(frame, dict) else frame).encode()
