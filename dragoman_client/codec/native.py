"""The dialect native: JSON objects in three shapes. Commands have `op`, replies have `re`, and events have `ev`.

The id of a command is the number of the kind of its reply, so that the codec needs no state. This works because replies
of one kind are in the order of their commands. So a login does not permit `overtaking`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec, Destination, encode
from dragoman_client.codec.events import (
    ClientEvent,
    ListedChat,
    MaintenanceStatus,
    NotificationKind,
    OtherFrame,
    ReceivedChange,
    ReceivedMessage,
    ReceivedNotification,
    ReplyKind,
    ServerReply,
)

_IDS = {kind: number for number, kind in enumerate(ReplyKind, 1000)}
_KINDS = {number: kind for kind, number in _IDS.items()}
_CALL = _IDS[ReplyKind.OPERATION]
_PAGE = 200
_CHATS = 100
_MESSAGE_START = b'{"ev":"message",'
_SENT_START = b'{"re":%d,' % _IDS[ReplyKind.MESSAGE]
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RECALLED = "[撤回]"
_VERIFY = "the e-mail address must be verified first"
_VERIFICATIONS = {
    "passed": NotificationKind.VERIFICATION_PASSED,
    "wrong": NotificationKind.VERIFICATION_FAILED,
    "expired": NotificationKind.VERIFICATION_EXPIRED,
}


class _NativeMedia(msgspec.Struct):
    name: str
    url: str


class _NativeSegment(msgspec.Struct):
    t: str
    text: str = ""
    id: int = 0
    media: _NativeMedia | None = None


class _NativeSender(msgspec.Struct):
    nickname: str
    uuid: str


class _NativeError(msgspec.Struct):
    text: str


class _NativeChat(msgspec.Struct):
    """`face`: the profile of the other member, in a private chat whose two `members` are known."""

    chat: int
    members: list[int] = []
    face: _NativeSender = msgspec.field(default_factory=lambda: _NativeSender("", ""))


class _NativeMessage(msgspec.Struct):
    chat: int
    index: int
    id: int
    sender: int
    segments: list[_NativeSegment]
    face: _NativeSender = msgspec.field(default_factory=lambda: _NativeSender("", ""))
    recalled: bool = False


class _NativeHit(msgspec.Struct):
    chat: int
    index: int
    id: int
    sender: int
    snippet: str


class _NativeMember(msgspec.Struct):
    account: int


class _NativeReply(msgspec.Struct):
    re: int | str | None
    error: _NativeError | None = None
    account: int = 0
    token: str = ""
    verify: object = None
    chat: int = 0
    index: int = 0
    name: str = ""
    members: list[int | _NativeMember] = []
    chats: list[int | _NativeChat] = []
    messages: list[_NativeMessage] = []
    hits: list[_NativeHit] = []


class _NativeSent(msgspec.Struct):
    chat: int = 0
    index: int = 0
    error: _NativeError | None = None


class _NativeEvent(msgspec.Struct):
    ev: str
    account: int = 0
    chat: int = 0
    name: str = ""
    nickname: str = ""
    text: str = ""
    why: str = ""
    role: str = ""
    by: int = 0
    accepted: bool = False
    on: bool = False
    result: str = ""
    ttl_ms: int = 0
    upto: list[tuple[int, int]] = []
    state: str = ""
    topic: str = ""
    pinned: bool = False
    archived: bool = False
    unread_from: int | None = None


class _NativeChange(msgspec.Struct):
    chat: int
    rev: int
    index: int
    kind: str
    by: int
    segments: list[_NativeSegment] = []
    emoji: str = ""
    on: bool = True


class _NativePosition(msgspec.Struct):
    index: int


_reply = msgspec.json.Decoder(_NativeReply).decode
_sent = msgspec.json.Decoder(_NativeSent).decode
_event = msgspec.json.Decoder(_NativeEvent).decode
_message = msgspec.json.Decoder(_NativeMessage).decode
_change = msgspec.json.Decoder(_NativeChange).decode
_position = msgspec.json.Decoder(_NativePosition).decode
_values = msgspec.json.Decoder(dict[str, Any]).decode


def _request(reply: ReplyKind, op: str, **members: object) -> ClientRequest:
    return ClientRequest(encode({"op": op, "id": _IDS[reply], **members}), reply)


class NativeCodec(Codec):
    """`new_nonce` returns a text that is different at each call."""

    dialect = "native"
    pushes_missed = False
    marks_read = True

    def __init__(self, new_nonce: Callable[[], str]) -> None:
        self._new_nonce = new_nonce

    # Requests

    def register(self, account: ClientAccount) -> ClientRequest:
        names = {"nickname": account.name, "username": account.name}
        return _request(ReplyKind.REGISTRATION, "register", **names, email=account.email, secret=_secret(account))

    def login(self, account: ClientAccount) -> ClientRequest:
        """Log in with the token, if there is no secret."""
        if account.token and not account.secret:
            return _request(ReplyKind.LOGIN, "token", token=account.token)
        kind, identifier = "any", account.name
        if account.email:
            kind, identifier = "email", account.email
        elif account.number:
            kind, identifier = "id", str(account.number)
        return _request(ReplyKind.LOGIN, "login", kind=kind, identifier=identifier, secret=_secret(account))

    def post(self, account: ClientAccount, to: Destination, text: str) -> ClientRequest:
        place = {"chat": to.chat} if to.chat else {"to": to.user}
        return _request(ReplyKind.MESSAGE, "send", **place, text=text, nonce=self._new_nonce())

    def reply(self, chat: int, index: int, text: str) -> ClientRequest:
        return _request(ReplyKind.MESSAGE, "send", chat=chat, reply_to=index, text=text, nonce=self._new_nonce())

    def edit(self, chat: int, index: int, text: str) -> ClientRequest:
        return _request(ReplyKind.ANY, "edit", chat=chat, index=index, text=text, nonce=self._new_nonce())

    def recall(self, chat: int, index: int) -> ClientRequest:
        return _request(ReplyKind.ANY, "recall", chat=chat, index=index)

    def react(self, chat: int, index: int, emoji: str, *, on: bool = True) -> ClientRequest:
        return _request(ReplyKind.ANY, "react" if on else "unreact", chat=chat, index=index, emoji=emoji)

    def read(self, chat: int, index: int, *, counts: bool = True) -> ClientRequest:
        if counts:
            return _request(ReplyKind.ANY, "read", chat=chat, index=index)
        return ClientRequest(encode({"op": "read", "chat": chat, "index": index}), ReplyKind.ANY)

    def call(self, operation: str, members: Mapping[str, Any]) -> ClientRequest:
        return ClientRequest(encode({**members, "op": operation, "id": _CALL}), ReplyKind.OPERATION)

    def message_parts(self, account: ClientAccount, chat: int) -> tuple[bytes, bytes]:
        """The parts of the frame for one message. To send several messages, use `message_writer`, which gives each
        message its own nonce."""
        start = b'{"op":"send","id":%d,"chat":%d,"text":"' % (_IDS[ReplyKind.MESSAGE], chat)
        return start, b'","nonce":"%b"}' % self._new_nonce().encode()

    def message_writer(self, account: ClientAccount, chat: int) -> Callable[[bytes], bytes]:
        start, _ = self.message_parts(account, chat)
        return lambda text: b'%b%b","nonce":"%b"}' % (start, text, self._new_nonce().encode())

    def create_group(self, account: ClientAccount, name: str, members: Sequence[ClientAccount] = ()) -> ClientRequest:
        return _request(ReplyKind.CHAT, "create", name=name, members=[member.number for member in members])

    def open_private(self, account: ClientAccount, user: ClientAccount) -> ClientRequest:
        return _request(ReplyKind.CHAT, "open", account=user.number)

    def join(self, account: ClientAccount, chat: int) -> ClientRequest:
        return _request(ReplyKind.ANY, "join", chat=chat)

    def accept(self, account: ClientAccount, chat: int, user: ClientAccount) -> ClientRequest:
        return _request(ReplyKind.ANY, "invite", chat=chat, account=user.number)

    def block(self, user: ClientAccount, *, on: bool = True) -> ClientRequest:
        return _request(ReplyKind.ANY, "block" if on else "unblock", account=user.number)

    def list_chats(self, account: ClientAccount) -> ClientRequest:
        """The request for the most recently active chats."""
        return _request(ReplyKind.CHATS, "sync", window=_CHATS, timeline=0)

    def describe_chat(self, account: ClientAccount, chat: int) -> ClientRequest:
        return _request(ReplyKind.CHAT_DETAILS, "chat", chat=chat)

    def history(self, account: ClientAccount, chat: int, count: int, start: int = -1) -> ClientRequest:
        page = {"chat": chat, "count": count, "from": start}
        return _request(ReplyKind.HISTORY, "history", **page)

    def search(self, query: str, count: int, zone: int = 0) -> ClientRequest:
        return _request(ReplyKind.SEARCH, "search", query=query, count=count, zone=zone)

    def missed(self, account: ClientAccount, chat: int, after: int) -> Sequence[ClientRequest]:
        page = {"chat": chat, "count": _PAGE, "from": after + 1, "dir": "newer"}
        return (_request(ReplyKind.HISTORY, "history", **page),)

    def request_verification(self) -> ClientRequest:
        return ClientRequest(encode({"op": "verify_mail"}), None)

    # Frames received

    def decode(self, frame: bytes) -> ClientEvent:
        if frame.startswith(_MESSAGE_START):
            return _received(_message(frame))
        if frame.startswith(_SENT_START):
            return _answer_to_message(_sent(frame))
        if b'"re"' in frame[:5]:
            return _answer(_reply(frame), frame)
        event = _event(frame)
        if event.ev == "changed":
            return _changed(_change(frame))
        return _received(_message(frame)) if event.ev == "message" else _notification(event)

    def position(self, frame: bytes) -> int | None:
        return _position(frame).index if frame.startswith(_MESSAGE_START) else None


def _secret(account: ClientAccount) -> dict[str, str]:
    scheme = "sha256" if _SHA256.fullmatch(account.secret) else "plain"
    return {"scheme": scheme, "value": account.secret}


def _answer_to_message(read: _NativeSent) -> ServerReply:
    error = "" if read.error is None else read.error.text
    return ServerReply(ReplyKind.MESSAGE, error, chat=read.chat, position=read.index)


def _answer(read: _NativeReply, frame: bytes) -> ServerReply:
    kind = _KINDS.get(read.re, ReplyKind.ANY) if isinstance(read.re, int) else ReplyKind.ANY
    if read.error is not None:
        return ServerReply(kind, read.error.text)
    if kind is ReplyKind.OPERATION:
        return ServerReply(kind, values={name: value for name, value in _values(frame).items() if name != "re"})
    if read.verify is not None:
        return ServerReply(kind, _VERIFY, needs_verification=True)
    reply = ServerReply(kind, number=read.account, token=read.token, chat=read.chat, position=read.index)
    reply.chats = [ListedChat(chat) if isinstance(chat, int) else _listed(chat) for chat in read.chats]
    if kind is ReplyKind.CHAT_DETAILS:
        reply.chats = [ListedChat(read.chat, read.name, [str(member) for member in read.members])]
    reply.messages = [_received(message) for message in read.messages] + [_found(hit) for hit in read.hits]
    return reply


def _listed(chat: _NativeChat) -> ListedChat:
    """A chat of the account. A group has no name here, because its members must be requested anyway."""
    return ListedChat(chat.chat, chat.face.nickname, [str(member) for member in chat.members])


def _changed(change: _NativeChange) -> ReceivedChange:
    text = _whole(change.segments) or change.emoji
    return ReceivedChange(change.kind, change.chat, change.index, change.rev, change.by, text, change.on)


def _received(message: _NativeMessage) -> ReceivedMessage:
    return ReceivedMessage(
        _RECALLED if message.recalled else _whole(message.segments),
        position=message.index,
        chat=message.chat,
        sender=message.sender,
        id=message.id,
        sender_uuid=message.face.uuid,
        sender_name=message.face.nickname,
    )


def _found(hit: _NativeHit) -> ReceivedMessage:
    return ReceivedMessage(hit.snippet, position=hit.index, chat=hit.chat, sender=hit.sender, id=hit.id)


def _whole(segments: list[_NativeSegment]) -> str:
    """The text of a message. No space is added before or after a mention."""
    whole, before = "", "mention"
    for segment in segments:
        whole += ("" if "mention" in (segment.t, before) else " ") + _text(segment)
        before = segment.t
    return whole


def _text(segment: _NativeSegment) -> str:
    if segment.media is not None:
        return f"[{'图片' if segment.t == 'image' else '文件'}] {segment.media.name} {segment.media.url}"
    return f"[emoji:{segment.id}]" if segment.t == "emoji" else segment.text


def _notification(event: _NativeEvent) -> ClientEvent:
    kinds = NotificationKind
    match event.ev:
        case "chat":
            return ReceivedNotification(kinds.CHAT_ADDED, event.chat, name=event.name)
        case "renamed":
            return ReceivedNotification(kinds.CHAT_RENAMED, event.chat, event.by, event.name)
        case "mute":
            return ReceivedNotification(kinds.CHAT_MUTED, event.chat)
        case "settings":
            return ReceivedNotification(kinds.CHAT_SETTINGS_CHANGED, event.chat, event.by, text=event.topic)
        case "gone":
            return ReceivedNotification(kinds.CHAT_LEFT, event.chat, text=event.why)
        case "role":
            return ReceivedNotification(kinds.ROLE_CHANGED, event.chat, event.account, text=event.role)
        case "profile":
            return ReceivedNotification(kinds.USER_RENAMED, user=event.account, name=event.nickname)
        case "request":
            kind = kinds.MEMBERSHIP_REQUESTED if event.chat else kinds.FRIENDSHIP_REQUESTED
            return ReceivedNotification(kind, event.chat, event.account, text=event.text)
        case "member":
            kind = kinds.MEMBERSHIP_GRANTED if event.accepted else kinds.MEMBERSHIP_REJECTED
            return ReceivedNotification(kind, event.chat, event.account, event.name)
        case "friend":
            kind = kinds.FRIENDSHIP_ACCEPTED if event.accepted else kinds.FRIENDSHIP_REJECTED
            return ReceivedNotification(kind, user=event.account)
        case "typing":
            kind = kinds.TYPING if event.ttl_ms else kinds.TYPING_ENDED
            return ReceivedNotification(kind, event.chat, event.account)
        case "presence":
            shown = f"{event.state}: {event.text}" if event.text else event.state
            return ReceivedNotification(kinds.PRESENCE_CHANGED, user=event.account, text=shown)
        case "read":
            kind = kinds.CHAT_READ if event.unread_from is None else kinds.CHAT_MARKED_UNREAD
            return ReceivedNotification(kind, event.chat)
        case "place":
            places = [place for place, on in (("pinned", event.pinned), ("archived", event.archived)) if on]
            return ReceivedNotification(kinds.CHAT_MOVED, event.chat, text=" and ".join(places))
        case "draft":
            return ReceivedNotification(kinds.DRAFT_CHANGED, event.chat, text=event.text)
        case "own_settings":
            return ReceivedNotification(kinds.OWN_SETTINGS_CHANGED)
        case "receipts":
            users = ", ".join(f"user {account} up to message {index}" for account, index in event.upto)
            return ReceivedNotification(kinds.READ_BY_OTHERS, event.chat, text=users)
        case "notice":
            return MaintenanceStatus(event.on)
        case "verified":
            return ReceivedNotification(_VERIFICATIONS[event.result])
    return OtherFrame()
