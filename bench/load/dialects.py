"""The client codecs by the names of their dialects, and the decoding of tagged messages."""

from collections.abc import Callable, Mapping

import msgspec

from bench.load import message_tag
from bench.load.message_tag import Tag
from dragoman_client import codec as client
from dragoman_client.codec.base import ClientAccount, Codec
from dragoman_client.codec.events import ClientEvent, ReceivedMessage
from dragoman_client.codec.irc import IrcCodec


class LabelledIrc(IrcCodec):
    """IRC without echoes. A label in each message makes the server acknowledge the message by a short line, as native
    does."""

    capabilities = "batch labeled-response message-tags server-time"

    def message_parts(self, account: ClientAccount, chat: int) -> tuple[bytes, bytes]:
        head, tail = super().message_parts(account, chat)
        return b"@label=m " + head, tail


CODECS: Mapping[str, Codec] = {**client.CODECS, "irc-labels": LabelledIrc()}
SERVICE = CODECS["service"]
V2 = CODECS["ourchat-v2"]
NATIVE = CODECS["native"]


class TaggedMessage(msgspec.Struct, gc=False):
    """A received message with a tag. `position`: the place of the message in its chat, or 0 if the dialect does not
    send it."""

    tag: Tag
    position: int


def registering(dialect: str) -> Codec:
    """The codec with which accounts for a dialect are registered. Accounts of ourchat-v2 can log in over all dialects
    but service."""
    return SERVICE if dialect == "service" else V2


def decoder(codec: Codec) -> Callable[[bytes], TaggedMessage | ClientEvent]:
    """Make a function that decodes frames. Of a tagged message, it decodes only the tag and the position."""
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
    """The tag and position of a message from a page of history. None if the message has no tag."""
    tag = message_tag.find(message.text.encode())
    return None if tag is None else TaggedMessage(tag, message.position)
