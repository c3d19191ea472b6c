"""The properties of a message that only IRC shows: whether it is a NOTICE, its formatting, and its client's tags."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

_BEGIN = "irc "
JOINED = "\r"
"""In the text of a mark: the line ends here, but the next line belongs to the same line of the text."""


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    unanswered: bool = False
    text: str = ""
    tags: dict[str, str] = {}


_decode = msgspec.json.Decoder(_Packed).decode


class Mark(NamedTuple):
    """See the module's description. `unanswered`: the message is a NOTICE. `text`: the text with its formatting. It is
    empty if the text has no formatting, no joined lines and no blank lines."""

    unanswered: bool = False
    text: str = ""
    tags: Mapping[str, str] = {}  # this mapping is never changed
    replies: bool = False
    """Whether the message is a reply that was sent from IRC. IRC users name the recipient in the text, so such a reply
    needs no quote. This value is not stored."""

    @property
    def packed(self) -> str:
        """The mark in the form of DisplayMessage.dialect. It is empty for an ordinary message."""
        if not any(self) and not self.replies:
            return ""
        return _BEGIN + msgspec.json.encode(_Packed(self.unanswered, self.text, dict(self.tags))).decode()


def is_marked(dialect: str) -> bool:
    return dialect.startswith(_BEGIN)


def read_mark(dialect: str) -> Mark:
    if not dialect.startswith(_BEGIN):
        return Mark()
    try:
        packed = _decode(dialect[len(_BEGIN) :])
    except msgspec.DecodeError:
        return Mark()
    return Mark(packed.unanswered, packed.text, packed.tags)
