"""The dialects of a load by the names that options and plans use, and the tags in their messages."""

from collections.abc import Callable

import msgspec

from bench.load import message_tag
from bench.load.message_tag import Tag
from clients.codec import CODECS
from clients.codec.base import Codec
from clients.codec.events import ClientEvent, ReceivedMessage

SERVICE = CODECS["service"]
V2 = CODECS["ourchat-v2"]
BY_NAME: dict[str, Codec] = {
    "v2": V2,
    "service": SERVICE,
    "pipe": CODECS["pipe"],
    "v1": CODECS["ourchat-v1"],
    "v0": CODECS["ourchat-v0"],
}


class TaggedMessage(msgspec.Struct, gc=False):
    """A message of the run; `position` is its place in the chat, as far as the dialect knows it."""

    tag: Tag
    position: int


def registering(dialect: str) -> Codec:
    """The codec that registers accounts of a dialect: an account of v2 can log in everywhere but in service."""
    return SERVICE if dialect == "service" else V2


def decoder(codec: Codec) -> Callable[[bytes], TaggedMessage | ClientEvent]:
    """Decodes frames; of a message with a tag, nothing but the tag and the position."""
    find, position, decode = message_tag.find, codec.position, codec.decode

    def decode_tagged(frame: bytes) -> TaggedMessage | ClientEvent:
        if (tag := find(frame)) is None:
            return decode(frame)
        if (place := position(frame)) is not None:
            return TaggedMessage(tag, place)
        event = decode(frame)
        return TaggedMessage(tag, event.position) if type(event) is ReceivedMessage else event

    return decode_tagged


def tagged(message: ReceivedMessage) -> TaggedMessage | None:
    """A message of a page."""
    tag = message_tag.find(message.text.encode())
    return None if tag is None else TaggedMessage(tag, message.position)
