"""OurChat v1: frames with an integer `code`, a `time` and an object `data`. It also has requests about groups and
friends."""

from collections.abc import Sequence

import msgspec

from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec, Destination, Unsupported, echo_of, encode
from dragoman_client.codec.events import (
    ClientEvent,
    NotificationKind,
    OtherFrame,
    ReceivedMessage,
    ReceivedNotification,
    ReplyKind,
    ServerReply,
)

_REPLIES = {5: ReplyKind.REGISTRATION, 7: ReplyKind.LOGIN}
_OF_GROUPS = {
    9: NotificationKind.MEMBERSHIP_REQUESTED,
    10: NotificationKind.MEMBERSHIP_GRANTED,
    11: NotificationKind.MEMBERSHIP_REJECTED,
    12: NotificationKind.CHAT_RENAMED,
}
_OF_USERS = {
    9: NotificationKind.FRIENDSHIP_REQUESTED,
    10: NotificationKind.FRIENDSHIP_ACCEPTED,
    11: NotificationKind.FRIENDSHIP_REJECTED,
    12: NotificationKind.USER_RENAMED,
}
"""The kinds of notifications about users, by their code. These notifications have no `group_id`."""


class _V1Sender(msgspec.Struct):
    ocid: int
    group_id: int = 0
    private_id: int = 0


class _V1Data(msgspec.Struct):
    cid: int = 0
    sender: _V1Sender | None = None
    msg: str = ""
    state: int = 0
    details: str = ""
    token: str = ""
    ocid: int = 0
    ocId: int = 0
    group_id: int = 0
    group_name: str = ""
    name: str = ""
    text: str = ""


class _V1Frame(msgspec.Struct):
    code: int
    data: _V1Data
    time: int = 0


class _V1Time(msgspec.Struct):
    time: int = 0


_frame = msgspec.json.Decoder(_V1Frame).decode
_position = msgspec.json.Decoder(_V1Time).decode


def _encode(code: int, data: dict[str, object]) -> bytes:
    return encode({"code": code, "time": 0, "data": data})


class OurChatV1Codec(Codec):
    dialect = "ourchat-v1"

    # Requests

    def register(self, account: ClientAccount) -> ClientRequest:
        if not account.email:
            raise Unsupported(f"{self.dialect} registers an account by an e-mail address")
        data: dict[str, object] = {"email": account.email, "password": account.secret, "name": account.name}
        return ClientRequest(_encode(4, data), ReplyKind.REGISTRATION)

    def login(self, account: ClientAccount) -> ClientRequest:
        if not account.number and not account.email:
            raise Unsupported(f"{self.dialect} logs in by number or e-mail address")
        data: dict[str, object] = {"account": account.number or account.email, "password": account.secret}
        return ClientRequest(_encode(6, data), ReplyKind.LOGIN)

    def post(self, account: ClientAccount, to: Destination, text: str) -> ClientRequest:
        where = {"group_id": to.chat} if to.chat else {"private_id": to.user}
        frame = _encode(0, {"sender": {"ocid": account.number, **where}, "msg": text})
        return ClientRequest(frame, ReplyKind.MESSAGE, text, account.number)

    def message_parts(self, account: ClientAccount, chat: int) -> tuple[bytes, bytes]:
        sender = encode({"ocid": account.number, "group_id": chat})
        return b'{"code":0,"time":0,"data":{"sender":%b,"msg":"' % sender, b'"}}'

    def create_group(self, account: ClientAccount, name: str, members: Sequence[ClientAccount] = ()) -> ClientRequest:
        """Create a group. The reply is the notification that the account is a member of it."""
        if members:
            raise Unsupported(f"{self.dialect} makes groups without members: they ask to join")
        frame = _encode(8, {"group_name": name, "ocid": account.number})
        return ClientRequest(frame, ReplyKind.CHAT, name, account.number)

    def open_private(self, account: ClientAccount, user: ClientAccount) -> Destination:
        return Destination(user=user.number)

    def join(self, account: ClientAccount, chat: int) -> ClientRequest:
        return ClientRequest(_encode(9, {"group_id": chat, "ocid": account.number}), None)

    def accept(self, account: ClientAccount, chat: int, user: ClientAccount) -> ClientRequest:
        return ClientRequest(_encode(10, {"group_id": chat, "group_name": "", "ocid": user.number}), None)

    # Frames received

    def decode(self, frame: bytes) -> ClientEvent:
        read = _frame(frame)
        data = read.data
        match read.code:
            case 0:
                return _message(read)
            case 5 | 7:
                error = (data.details or f"state {data.state}") if data.state else ""
                return ServerReply(_REPLIES[read.code], error, data.state, data.ocId or data.ocid, data.token)
            case 9 | 10 | 11 | 12:
                kind = (_OF_GROUPS if data.group_id else _OF_USERS)[read.code]
                return ReceivedNotification(kind, data.group_id, data.ocid, data.name or data.group_name, data.text)
            case 18:
                return ServerReply(ReplyKind.ANY, error=data.details or "rejected")
        return OtherFrame()

    def position(self, frame: bytes) -> int | None:
        return _position(frame).time

    def match(self, request: ClientRequest, event: object) -> ServerReply | None:
        match event:
            case ReceivedMessage():
                return echo_of(request, event)
            case ReceivedNotification(NotificationKind.MEMBERSHIP_GRANTED) if request.reply is ReplyKind.CHAT:
                is_own = (event.user, event.name) == (request.account, request.echo)
                return ServerReply(ReplyKind.CHAT, chat=event.chat) if is_own else None
        return super().match(request, event)


def _message(read: _V1Frame) -> ReceivedMessage:
    sender = read.data.sender
    if sender is None:
        raise ValueError("a message has a sender")
    return ReceivedMessage(
        read.data.msg,
        position=read.time,
        chat=sender.group_id,
        sender=sender.ocid,
        recipient=sender.private_id,
        id=read.data.cid,
    )
