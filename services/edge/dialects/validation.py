"""Checks the limits of texts in frames, for every dialect. An empty or too long text raises DecodeError."""

from services.edge.dialects.base import DecodeError
from shared.contract.errors import ErrorCode, Reason
from shared.contract.model import Mention, RichSegment, Text
from shared.emoji import is_one_cluster
from shared.settings.limits import FrameLimits

EMOJI_BYTES = 32
_JOINER = "\u200d"
_TAGS = frozenset(map(chr, range(0xE0020, 0xE0080)))


def nickname(text: str, limits: FrameLimits) -> str:
    return _name(text, "nickname", limits.nickname_characters)


def group_name(text: str, limits: FrameLimits) -> str:
    return _name(text, "name", limits.group_name_characters)


def topic(text: str, limits: FrameLimits) -> str:
    if len(text) > limits.topic_characters:
        most = f"a topic has at most {limits.topic_characters} characters"
        raise DecodeError(most, ErrorCode.TOO_LARGE, field="topic")
    return text


def _name(text: str, what: str, characters: int) -> str:
    if not text:
        raise DecodeError(f"the {what} is empty", field=what, reason=Reason.LENGTH)
    if len(text) > characters:
        raise DecodeError(f"a {what} has at most {characters} characters", ErrorCode.TOO_LARGE, field=what)
    return text


def message_text(segments: tuple[RichSegment, ...], limits: FrameLimits, field: str = "") -> tuple[RichSegment, ...]:
    """Check the segments of a message to send, and return them. Raises DecodeError."""
    if len(segments) > limits.segments_per_message:
        most = f"a message has at most {limits.segments_per_message} segments"
        raise DecodeError(most, ErrorCode.TOO_LARGE, field=field)
    texts = [segment.text for segment in segments if isinstance(segment, Text | Mention)]
    if len(texts) == len(segments) and not any(texts):
        raise DecodeError("the message is empty", field=field, reason=Reason.LENGTH)
    if sum(len(text.encode()) for text in texts) > limits.message_text_bytes:
        most = f"a message has at most {limits.message_text_bytes} bytes of text"
        raise DecodeError(most, ErrorCode.TOO_LARGE, field=field)
    return segments


def reaction(emoji: str) -> str:
    """Check the text of a reaction, and return it unchanged. Raises DecodeError."""
    if len(emoji) > EMOJI_BYTES or (len(emoji.encode()) > EMOJI_BYTES and not is_one_cluster(emoji)):
        text = f"a reaction is one emoji, or has at most {EMOJI_BYTES} bytes"
        raise DecodeError(text, ErrorCode.TOO_LARGE, field="emoji")
    if not all(map(_is_shown, emoji)):
        raise DecodeError("an emoji has no white space and no control characters", field="emoji")
    return emoji


def _is_shown(character: str) -> bool:
    """Whether a character may be in a reaction. It must be printable, or a character that joins emoji or tags the flags
    of regions."""
    return (character.isprintable() and character != " ") or character == _JOINER or character in _TAGS
