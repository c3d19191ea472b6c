"""OurChat v0 (2022): JSON objects with `code` and `data`; OC numbers are padded strings, a `cid` is a chat's integer.

A message is one frame for each emoji and for each run of what is shown as text, in order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import groupby
from typing import Annotated, assert_never

import msgspec

from services.edge.dialects import credentials, texts
from services.edge.dialects.base import DecodeError, Dialect, Push, Request, Surroundings
from services.edge.dialects.json_frames import WireId, shaped
from services.edge.dialects.ourchat_envelope import UNVERIFIED, Members, Refusal, check_own, enveloped, login, ocid
from services.edge.dialects.rendering import rendered
from services.edge.requests import (
    Answer,
    Event,
    Frame,
    NothingToVerify,
    OwnMessage,
    Page,
    PostMessage,
    ServerStatus,
    Shown,
    VerificationMailed,
)
from shared.contract.auth import Authenticated, IdentifierKind, Login, Register, VerificationNeeded
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NOBODY, AccountId, ChatId
from shared.contract.model import Emoji, Segment, Text
from shared.contract.session import AccountView, ChatView, ChatViews, Done, MembershipRequested, Requests
from shared.settings import Limits

_QUOTED_CHARACTERS = 64

_encode = msgspec.json.Encoder().encode


class Code(IntEnum):
    """The frames by their `code`, under the headings of the document."""

    TEXT = 0
    """文本信息, both ways."""
    EMOJI = 1
    """表情信息, both ways."""
    IMAGE = 2
    """图像信息, both ways."""
    FILE = 3
    """文件信息, both ways."""
    REGISTER = 4
    REGISTERED = 5
    """注册信息 and its reply."""
    LOGIN = 6
    LOGGED_IN = 7
    """登录信息 and its reply."""
    ERROR = 18
    """Not in the document: what cannot be done, and has no state of its own."""


REFUSALS: Mapping[object, Refusal] = {
    # 1 服务器错误, for a taken e-mail too
    Register: Refusal(Code.REGISTERED, {
        ErrorCode.INVALID: None, ErrorCode.UNAUTHENTICATED: 1, ErrorCode.FORBIDDEN: 1, ErrorCode.NOT_FOUND: 1,
        ErrorCode.CONFLICT: 1, ErrorCode.LIMIT: 1, ErrorCode.TOO_LARGE: None, ErrorCode.RATE_LIMITED: 1,
        ErrorCode.UNAVAILABLE: 1, ErrorCode.INTERNAL: 1,
    }),
    # 1 账号或密码不正确: there is no other
    Login: Refusal(Code.LOGGED_IN, {
        ErrorCode.INVALID: None, ErrorCode.UNAUTHENTICATED: 1, ErrorCode.FORBIDDEN: 1, ErrorCode.NOT_FOUND: 1,
        ErrorCode.CONFLICT: None, ErrorCode.LIMIT: None, ErrorCode.TOO_LARGE: None, ErrorCode.RATE_LIMITED: None,
        ErrorCode.UNAVAILABLE: None, ErrorCode.INTERNAL: None,
    }),
}  # fmt: skip
"""How a failure is said, by the type of the command; all else is an 18."""


# Frames in


class _Text(msgspec.Struct):
    cid: WireId
    sender_id: WireId
    msg: str


class _Emoji(msgspec.Struct):
    cid: WireId
    sender_id: WireId
    emoji_id: Annotated[int, msgspec.Meta(ge=0, lt=2**53)] = msgspec.field(name="emojiId")


def _text(data: Members, account: AccountId, limits: Limits) -> Request:
    """0."""
    wire = shaped(data, _Text)
    check_own(wire.sender_id, "sender_id", account)
    return Request(PostMessage(ChatId(wire.cid.number), texts.said((Text(wire.msg),), limits)))


def _emoji(data: Members, account: AccountId, limits: Limits) -> Request:
    """1."""
    wire = shaped(data, _Emoji)
    check_own(wire.sender_id, "sender_id", account)
    return Request(PostMessage(ChatId(wire.cid.number), (Emoji(wire.emoji_id),)))


class _Register(msgspec.Struct):
    password: str
    mail: str | None = None
    nick: str | None = None


def _register(data: Members, account: AccountId, limits: Limits) -> Request:
    """4: with a mail, or (the clients of the time) with a nick instead. Without a nick, the mail's local part is the
    nickname. Who comes from here is in the lobby."""
    wire = shaped(data, _Register)
    if wire.mail is None and wire.nick is None:
        raise DecodeError("`mail` is needed, or `nick`")
    email = "" if wire.mail is None else credentials.email(wire.mail)
    nickname = email.partition("@")[0][: limits.nickname_characters] if wire.nick is None else wire.nick
    secret = credentials.password(wire.password)
    return Request(Register(secret=secret, nickname=texts.nickname(nickname, limits), email=email, lobby=True))


class _Login(msgspec.Struct):
    account: str | int = msgspec.field(name="ocId")
    password: str


def _login(data: Members, account: AccountId, limits: Limits) -> Request:
    """6: by OC number."""
    wire = shaped(data, _Login)
    return Request(login(IdentifierKind.ID, wire.account, wire.password))


_READERS: Mapping[int, Callable[[Members, AccountId, Limits], Request]] = {
    Code.TEXT: _text,
    Code.EMOJI: _emoji,
    Code.REGISTER: _register,
    Code.LOGIN: _login,
}


def request_of(frame: Frame, account: AccountId, limits: Limits) -> Request:
    """The request of a frame on a connection of this account. Raises DecodeError."""
    code, data = enveloped(frame, limits)
    reader = _READERS.get(code)
    if reader is None:
        raise DecodeError(f"code {code} is none that a client sends"[:_QUOTED_CHARACTERS])
    return reader(data, account, limits)


# Frames out


def _frame(code: int, data: dict[str, object]) -> bytes:
    return _encode({"code": code, "data": data})


def _entered(request: Request, answer: Authenticated) -> bytes:
    """The token opens the edge's other doors to the same client."""
    if isinstance(request.command, Register):
        return _frame(Code.REGISTERED, {"state": 0, "ocId": ocid(answer.account), "token": answer.token})
    return _frame(Code.LOGGED_IN, {"state": 0, "token": answer.token})


def _contents(segments: tuple[Segment, ...], base_url: str) -> Iterator[tuple[Code, dict[str, object]]]:
    """What of each frame is its own."""
    for emojis, run in groupby(segments, lambda segment: isinstance(segment, Emoji)):
        if emojis:
            for one in run:
                assert isinstance(one, Emoji)
                yield Code.EMOJI, {"emojiId": one.emoji_id}
        elif text := rendered(tuple(run), base_url):
            yield Code.TEXT, {"msg": text}


class OurChatV0(Dialect):
    """See services.edge.dialects.base."""

    name = "ourchat-v0"

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._account = NOBODY

    def entered(self, account: AccountId, now: float) -> None:
        self._account = account

    def decode(self, frame: Frame, now: float) -> Sequence[Request]:
        return (request_of(frame, self._account, self.limits),)

    def answer(self, request: Request, answer: Answer, now: float) -> tuple[Frame, ...]:
        match answer:
            case OwnMessage():
                return answer.frames
            case Authenticated():
                return (_entered(request, answer),)
            case VerificationNeeded():
                return self.refuse(request, UNVERIFIED)
            case NothingToVerify() | VerificationMailed() | ServerStatus() | AccountView() | ChatView() | Done():
                raise TypeError("no v0 client can ask for this")
            case Requests() | MembershipRequested() | ChatViews() | Page():
                raise TypeError("no v0 client can ask for this")
            case _:
                assert_never(answer)

    def refuse(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        refusal = None if request is None else REFUSALS.get(type(request.command))
        state = refusal.statuses[failure.code] if refusal else None
        if refusal is None or state is None:
            return (_frame(Code.ERROR, {"details": failure.text or failure.code}),)
        return (_frame(refusal.reply, {"state": state}),)

    def tell(self, event: Event, now: float) -> tuple[Push, ...]:
        """The document knows of messages only."""
        return ()

    def encode_message(self, shown: Shown) -> tuple[Frame, ...]:
        said = shown.message
        where = {"cid": said.chat, "sender_id": ocid(said.sender)}
        return tuple(_frame(code, where | what) for code, what in _contents(shown.segments, self.base_url))
