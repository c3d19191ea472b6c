"""The properties of a message that only IRC shows: whether it is a NOTICE, its formatting, and its client's tags."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

_BEGIN = "irc "
JOINED = "\r"
"""In the text of a mark: a line ends here, and the next one continues its text."""


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    unanswered: bool = False
    text: str = ""
    tags: dict[str, str] = {}


_decode = msgspec.json.Decoder(_Packed).decode


class Mark(NamedTuple):
    """See the module. `unanswered`: the message is a NOTICE. `text`: the text with its formatting; empty without
    formatting, unless its lines are joined or blank."""

    unanswered: bool = False
    text: str = ""
    tags: Mapping[str, str] = {}  # it is never changed
    replies: bool = False
    """The message is a reply from IRC, where texts name whom they answer: it needs no quote. Not stored."""

    @property
    def packed(self) -> str:
        """The mark as a message carries it in DisplayMessage.dialect; empty for an ordinary message."""
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
