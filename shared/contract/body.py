"""The form in which the content of a message is stored and sent."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import (
    Body,
    DialectTag,
    MarkedTag,
    Mention,
    Message,
    PackedSegment,
    Recalled,
    RichSegment,
    Segment,
    Text,
    requested_message,
)

_EDITED: Final = "edited"
_RECALLED: Final = "recalled"
_EXPIRED: Final = "expired"
"""The names in the tags of recalled and expired messages. No client can send such a tag, because no dialect has this
name."""

_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(tuple[PackedSegment | MarkedTag, ...]).decode
_REPLY: Final = b"\xff\xfereply"
_MENTION: Final = b"\xff\xfemention"
"""The beginning of a mark. No text or number can contain these bytes, so a packed body can be searched for them."""
_NUMBER_BYTES = 8
_FILE_TAGS: Final = b"\xa1i", b"\xa1f"
"""The packed tags of Image and File."""
_FILE_FIELDS = 6
"""The fields of Media that the oldest supported version packs. It packs no field of Image and File but the Media."""

EXPIRED_BODY = _pack((Text("[消息已过期]"), DialectTag(_EXPIRED)))
"""Replaces the body of an expired message. The body is a text, which every dialect and version shows. Earlier versions
wrote no tag; the next daily removal replaces their bodies, too."""

RECALLED_BODY = _pack((Text("[撤回]"), DialectTag(_RECALLED)))
"""Replaces the body of a recalled message. The body is a text, which every version shows."""


def pack_segments(segments: tuple[RichSegment, ...], dialect: str = "", reply_to: int = 0) -> bytes:
    """Packs content into the form that is stored and sent. Services other than the edge pass it on without unpacking
    it. `reply_to`: the index of another message of the chat, or 0."""
    if reply_to or Mention in map(type, segments):
        return _pack_marked(segments, dialect, _REPLY + _number(reply_to) if reply_to else b"")
    return _pack((*segments, DialectTag(dialect)) if dialect else segments)


def _pack_marked(segments: tuple[RichSegment, ...], dialect: str, reply: bytes) -> bytes:
    texts = [Text(one.text) if isinstance(one, Mention) else one for one in segments]
    mentions = [(at, mention_mark(one.account)) for at, one in enumerate(segments) if isinstance(one, Mention)]
    return _pack((*texts, MarkedTag(dialect, reply, tuple(mentions))))


def mention_mark(account: AccountId) -> bytes:
    """Bytes that a body contains only if it mentions this account."""
    return _MENTION + _number(account)


def mentioned_accounts(body: bytes) -> set[AccountId]:
    """The accounts that a body mentions. The body need not be unpacked."""
    return {AccountId(int.from_bytes(part[:_NUMBER_BYTES], "big")) for part in body.split(_MENTION)[1:]}


def _number(value: int) -> bytes:
    return value.to_bytes(_NUMBER_BYTES, "big")


def reply_target(body: bytes) -> int:
    """The index of the message to which this message replies, or 0. The body need not be unpacked."""
    start = body.find(_REPLY)
    return int.from_bytes(body[start + len(_REPLY) :][:_NUMBER_BYTES], "big") if start >= 0 else 0


def pack_edited(segments: tuple[RichSegment, ...]) -> bytes:
    """The packed new text of a message."""
    return pack_segments(segments, _EDITED)


def with_reply_of(edited: bytes, previous: bytes) -> bytes:
    """The body of an edited message, which keeps the reply of the previous body."""
    if not (target := reply_target(previous)):
        return edited
    *parts, tag = _unpack(edited)
    assert isinstance(tag, MarkedTag)
    return _pack((*parts, MarkedTag(tag.dialect, _REPLY + _number(target), tag.mentions)))


def comparable(body: bytes) -> bytes:
    """The bytes by which a repeated message is recognized. The fields of pictures and files that an older version does
    not pack are left out, because the sender may repeat a message at an edge of another version."""
    if not any(tag in body for tag in _FILE_TAGS):
        return body
    parts: list[list[Any]] = msgspec.msgpack.decode(body)
    return _pack([[part[0], part[1][:_FILE_FIELDS]] if part[0] in ("i", "f") else part for part in parts])


def unpack(body: bytes) -> Body:
    parts: tuple[Any, ...] = _unpack(body)
    if not parts or type(mark := parts[-1]) is not MarkedTag:
        return Body(parts, "")
    if mark.dialect == _RECALLED:
        return Body((Recalled(),), "")
    edited, segments = mark.dialect == _EDITED, parts[:-1]
    dialect = "" if edited or mark.dialect == _EXPIRED else mark.dialect
    if not (mark.reply or mark.mentions):
        return Body(segments, dialect, edited)
    accounts = {at: AccountId(int.from_bytes(found[len(_MENTION) :], "big")) for at, found in mark.mentions}
    rich = tuple([
        Mention(accounts[at], one.text) if at in accounts and isinstance(one, Text) else one
        for at, one in enumerate(segments)
    ])  # fmt: skip
    reply_to = int.from_bytes(mark.reply[len(_REPLY) :], "big")
    return Body(_joined(rich), dialect, edited, rich if accounts else None, reply_to)


def _joined(rich: tuple[RichSegment, ...]) -> tuple[Segment, ...]:
    """The segments without mentions: each mention becomes text, joined with the texts around it."""
    plain: list[Segment] = []
    joins = False
    for one in rich:
        is_mention = isinstance(one, Mention)
        text = Text(one.text) if isinstance(one, Mention) else one
        last = plain[-1] if plain else None
        if isinstance(text, Text) and isinstance(last, Text) and (is_mention or joins):
            plain[-1] = Text(last.text + text.text)
        else:
            plain.append(text)
        joins = is_mention
    return tuple(plain)


def unpack_segments(body: bytes) -> tuple[Segment, ...]:
    return unpack(body).segments


def requested_content(found: Sequence[Message], index: int) -> Message:
    """Like `requested_message`, but also raises RequestError for a message that was recalled or has expired."""
    message = requested_message(found, index)
    if message.body in (RECALLED_BODY, EXPIRED_BODY):
        text = "this message was recalled" if message.body == RECALLED_BODY else "this message has expired"
        raise RequestError(ErrorCode.NOT_FOUND, text, "index")
    return message
