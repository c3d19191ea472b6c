"""OurChat v2: one JSON object with an integer `code` in each frame."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dragoman_client.codec.base import (
    ClientAccount,
    ClientRequest,
    Codec,
    Destination,
    Unsupported,
    echo_of,
    encode,
    padded,
)
from dragoman_client.codec.events import (
    ClientEvent,
    ListedChat,
    MaintenanceStatus,
    NotificationKind,
    OtherFrame,
    ReceivedMessage,
    ReceivedNotification,
    ReplyKind,
    ServerReply,
)

CHAT_VALUES = ("session_id", "name", "members")
ACCOUNT_VALUES = ("ocid", "nickname", "sessions", "friends")

_REPLIES = {5: ReplyKind.REGISTRATION, 7: ReplyKind.LOGIN}
_ERRORS = {
    (5, 1): "the server could not register the account",
    (5, 2): "the e-mail address is taken",
    (7, 1): "unknown account or wrong password",
    (7, 2): "the server could not log in, or there were too many failed logins",
}
"""The texts of errors, by the code and the status of a frame."""
_SESSION_LIMIT = 2
"""This status of a frame 9 is not followed by another frame."""
_VERIFICATIONS = {
    0: NotificationKind.VERIFICATION_PASSED,
    1: NotificationKind.VERIFICATION_FAILED,
    2: NotificationKind.VERIFICATION_EXPIRED,
}


class _V2Sender(msgspec.Struct):
    ocid: str
    session_id: str


class _V2Segment(msgspec.Struct):
    text: str = ""


class _V2Frame(msgspec.Struct):
    code: int
    status: int = 0
    ocid: str = ""
    session_id: str = ""
    token: str = ""
    details: str = ""
    time: int = 0
    msg_id: str = ""
    sender: _V2Sender | None = None
    msg: list[_V2Segment] = []
    data: Mapping[str, Any] = {}


class _V2Time(msgspec.Struct):
    time: int = 0


_frame = msgspec.json.Decoder(_V2Frame).decode
_position = msgspec.json.Decoder(_V2Time).decode


class OurChatV2Codec(Codec):
    dialect = "ourchat-v2"

    # Requests

    def register(self, account: ClientAccount) -> ClientRequest:
        if not account.email:
            raise Unsupported(f"{self.dialect} registers an account by an e-mail address")
        frame = {"code": 4, "email": account.email, "password": account.secret, "name": account.name}
        return ClientRequest(encode(frame), ReplyKind.REGISTRATION)

    def login(self, account: ClientAccount) -> ClientRequest:
        if not account.number and not account.email:
            raise Unsupported(f"{self.dialect} logs in by number or e-mail address")
        by_number = account.number != 0
        frame = {
            "code": 6, "login_type": int(by_number), "account": padded(account.number) if by_number else account.email,
            "password": account.secret,
        }  # fmt: skip
        return ClientRequest(encode(frame), ReplyKind.LOGIN)

    def after_login(self, account: ClientAccount) -> Sequence[ClientRequest]:
        """The requests to send after a login. The server pushes nothing before it gets the first request about an
        account."""
        return (self.list_chats(account),)

    def post(self, account: ClientAccount, to: Destination, text: str) -> ClientRequest:
        if not to.chat:
            raise Unsupported(f"{self.dialect} sends messages to chats only")
        sender = {"ocid": padded(account.number), "session_id": str(to.chat)}
        frame = {"code": 0, "time": 0, "sender": sender, "msg": [{"type": 0, "text": text}]}
        return ClientRequest(encode(frame), ReplyKind.MESSAGE, text, account.number)

    def message_parts(self, account: ClientAccount, chat: int) -> tuple[bytes, bytes]:
        sender = encode({"ocid": padded(account.number), "session_id": str(chat)})
        return b'{"code":0,"time":0,"sender":%b,"msg":[{"type":0,"text":"' % sender, b'"}]}'

    def create_group(self, account: ClientAccount, name: str, members: Sequence[ClientAccount] = ()) -> ClientRequest:
        frame: dict[str, object] = {"code": 8, "members": [padded(member.number) for member in members]}
        return ClientRequest(encode(frame | ({"name": name} if name else {})), ReplyKind.CHAT)

    def open_private(self, account: ClientAccount, user: ClientAccount) -> ClientRequest:
        """Open a private chat. In this dialect, it is a session with two members."""
        return self.create_group(account, "", [user])

    def list_chats(self, account: ClientAccount) -> ClientRequest:
        return self.describe_account(account.number, ACCOUNT_VALUES)

    def describe_account(self, number: int, values: Sequence[str]) -> ClientRequest:
        """The request for these values of an account. Some values are requested only by the PC client. If another
        client requested one of them, the server would treat it as a PC client."""
        frame = {"code": 10, "ocid": padded(number), "request_values": values}
        return ClientRequest(encode(frame), ReplyKind.ACCOUNT)

    def describe_chat(self, account: ClientAccount, chat: int, values: Sequence[str] = CHAT_VALUES) -> ClientRequest:
        frame = {"code": 1, "session_id": str(chat), "request_values": values}
        return ClientRequest(encode(frame), ReplyKind.CHAT_DETAILS)

    def request_verification(self) -> ClientRequest:
        return ClientRequest(encode({"code": 14}), None)

    # Frames received

    def decode(self, frame: bytes) -> ClientEvent:
        read = _frame(frame)
        match read.code:
            case 0:
                return _message(read)
            case 18:
                return ServerReply(ReplyKind.ANY, error=read.details or "rejected")
            case 5 | 7:
                error = _ERRORS.get((read.code, read.status), f"status {read.status}") if read.status else ""
                return ServerReply(_REPLIES[read.code], error, read.status, int(read.ocid or 0), read.token)
            case 9 if read.status == 0:
                return ReceivedNotification(NotificationKind.CHAT_ADDED, chat=int(read.session_id))
            case 9 if read.status == _SESSION_LIMIT:
                return ServerReply(ReplyKind.CHAT, "the account has as many sessions as it may have", read.status)
            case 11:
                return _account(read)
            case 2:
                return _chat(read)
            case 12:
                return MaintenanceStatus(read.status != 0)
            case 13:
                error = "the e-mail address must be verified first"
                return ServerReply(ReplyKind.ANY, error, needs_verification=True)
            case 17 | 20:
                return ServerReply(ReplyKind.ANY, f"status {read.status}" if read.status else "", read.status)
            case 15 if (kind := _VERIFICATIONS.get(read.status)) is not None:
                return ReceivedNotification(kind)
        return OtherFrame()  # a failed frame 9 too: the frame 18 that follows it says why

    def position(self, frame: bytes) -> int | None:
        return _position(frame).time

    def match(self, request: ClientRequest, event: object) -> ServerReply | None:
        match event:
            case ReceivedMessage():
                return echo_of(request, event)
            case ReceivedNotification(NotificationKind.CHAT_ADDED) if request.reply is ReplyKind.CHAT:
                return ServerReply(ReplyKind.CHAT, chat=event.chat)
            case MaintenanceStatus() if request.reply is ReplyKind.STATUS:
                return ServerReply(ReplyKind.STATUS, status=int(event.active))
        return super().match(request, event)


def _message(read: _V2Frame) -> ReceivedMessage:
    if read.sender is None:
        raise ValueError("a message has a sender")
    return ReceivedMessage(
        " ".join(segment.text for segment in read.msg),
        position=read.time,
        chat=int(read.sender.session_id),
        sender=int(read.sender.ocid),
        id=int(read.msg_id or 0),
    )


def _account(read: _V2Frame) -> ServerReply:
    """The values of an account. The PC client gets a list as a string that contains JSON, and the string `null` instead
    of null."""
    sessions = read.data.get("sessions")
    numbers = json.loads(sessions) if isinstance(sessions, str) else sessions
    chats = [ListedChat(int(number)) for number in numbers or ()]
    return ServerReply(ReplyKind.ACCOUNT, status=read.status, chats=chats, values=read.data)


def _chat(read: _V2Frame) -> ServerReply:
    data = read.data
    listed = ListedChat(int(data.get("session_id", 0)), data.get("name", ""), data.get("members", ()))
    return ServerReply(ReplyKind.CHAT_DETAILS, status=read.status, chat=listed.number, chats=[listed], values=data)
