"""OurChat v0, client to server. For each code, one reader makes a command from the frame's `data`, or the announcement
of a picture or file."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.frames import Frame
from services.edge.dialects import credentials, validation
from services.edge.dialects.base import DecodeError, Request
from services.edge.dialects.fast_reader import FastReader
from services.edge.dialects.json_frames import WireId, count_quotes, decode_as
from services.edge.dialects.ourchat_envelope import Members, check_own_account, login_command, read_envelope, reader_of
from services.edge.dialects.ourchat_v0.codes import V0Code
from services.edge.dialects.ourchat_v0.transfers import Announcement
from services.edge.dialects.wire_ids import parse_id
from shared.contract.auth import IdentifierKind, Register
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Emoji, Text
from shared.settings.limits import FrameLimits


def read(frame: Frame, account: AccountId, limits: FrameLimits) -> Request | Announcement:
    """Read a text frame on a connection of this account. Raises DecodeError."""
    return _fast_request(frame, account, limits) or _read_any(frame, account, limits)


def _read_any(frame: Frame, account: AccountId, limits: FrameLimits) -> Request | Announcement:
    code, data = read_envelope(frame, limits)
    return reader_of(_READERS, code)(data, account, limits)


class _TextBody(msgspec.Struct):
    cid: WireId
    sender_id: WireId
    msg: str


class _EmojiBody(msgspec.Struct):
    cid: WireId
    sender_id: WireId
    emoji_id: Annotated[int, msgspec.Meta(ge=0, lt=2**53)] = msgspec.field(name="emojiId")


def _text(data: Members, account: AccountId, limits: FrameLimits) -> Request:
    """0."""
    wire = decode_as(data, _TextBody)
    check_own_account(wire.sender_id, "sender_id", account)
    return Request(PostMessage(ChatId(wire.cid.number), validation.message_text((Text(wire.msg),), limits)))


class _V0FastText(msgspec.Struct, frozen=True, gc=False):
    cid: int | str
    sender_id: int | str
    msg: str


class _V0FastMessage(msgspec.Struct, frozen=True, gc=False):
    code: Literal[0]
    data: _V0FastText


_FAST_READER = FastReader(
    _V0FastMessage, lambda wire: 12 + count_quotes(wire.data.cid) + count_quotes(wire.data.sender_id)
)


def _fast_request(frame: Frame, account: AccountId, limits: FrameLimits) -> Request | None:
    """Read a frame 0 by the fast path."""
    wire = _FAST_READER.read(frame, limits)
    if wire is None:
        return None
    data = wire.data
    chat = parse_id(data.cid)
    if chat is None or not data.msg or account == NO_ACCOUNT or parse_id(data.sender_id) != account:
        return None
    return Request(PostMessage(ChatId(chat), (Text(data.msg),)))


def _emoji(data: Members, account: AccountId, limits: FrameLimits) -> Request:
    """1."""
    wire = decode_as(data, _EmojiBody)
    check_own_account(wire.sender_id, "sender_id", account)
    return Request(PostMessage(ChatId(wire.cid.number), (Emoji(wire.emoji_id),)))


class _AnnouncementBody(msgspec.Struct):
    cid: WireId
    sender_id: WireId
    packages_num: int
    size: int


def _image(data: Members, account: AccountId, limits: FrameLimits) -> Announcement:
    """2."""
    return _announcement("image", data)


def _file(data: Members, account: AccountId, limits: FrameLimits) -> Announcement:
    """3."""
    return _announcement("file", data)


def _announcement(kind: Literal["image", "file"], data: Members) -> Announcement:
    wire = decode_as(data, _AnnouncementBody)
    return Announcement(kind, ChatId(wire.cid.number), wire.sender_id, wire.packages_num, wire.size)


class _V0RegisterBody(msgspec.Struct):
    password: str
    mail: str | None = None
    nick: str | None = None


def _register(data: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 4, which has an e-mail address or, from clients of 2022, a nickname. Without a nickname, the
    part of the address before the `@` is used. The account joins the lobby."""
    wire = decode_as(data, _V0RegisterBody)
    if wire.mail is None and wire.nick is None:
        raise DecodeError("`mail` is needed, or `nick`")
    email = "" if wire.mail is None else credentials.email(wire.mail)
    nickname = email.partition("@")[0][: limits.nickname_characters] if wire.nick is None else wire.nick
    secret = credentials.password(wire.password)
    return Request(Register(secret=secret, nickname=validation.nickname(nickname, limits), email=email, lobby=True))


class _V0LoginBody(msgspec.Struct):
    account: str | int = msgspec.field(name="ocId")
    password: str


def _login(data: Members, account: AccountId, limits: FrameLimits) -> Request:
    """Read a frame 6, a login by OC number."""
    wire = decode_as(data, _V0LoginBody)
    return Request(login_command(IdentifierKind.ID, wire.account, wire.password))


_READERS: Mapping[int, Callable[[Members, AccountId, FrameLimits], Request | Announcement]] = {
    V0Code.TEXT: _text,
    V0Code.EMOJI: _emoji,
    V0Code.IMAGE: _image,
    V0Code.FILE: _file,
    V0Code.REGISTER: _register,
    V0Code.LOGIN: _login,
}
