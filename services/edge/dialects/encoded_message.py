"""A message to deliver: its segments are unpacked once, its frames encoded once for each variant of a dialect."""

from collections.abc import Hashable

from services.edge.canonical.frames import Outgoing
from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.base import Dialect
from shared.contract.model import MemberPair, Message, ProfileSummary, unpack


class EncodedMessage:
    """`pair`: both members of a private chat. `summary`: the sender's, if known."""

    __slots__ = ("_frames", "_pair", "_shown", "_summary", "message")

    def __init__(self, message: Message, pair: MemberPair | None = None, summary: ProfileSummary | None = None) -> None:
        self.message = message
        self._pair = pair
        self._summary = summary
        self._shown: DisplayMessage | None = None
        self._frames: dict[Hashable, tuple[Outgoing, ...]] = {}

    @property
    def variants(self) -> int:
        """The number of variants it was encoded for."""
        return len(self._frames)

    def frames(self, dialect: Dialect) -> tuple[Outgoing, ...]:
        frames = self._frames.get(variant := dialect.variant)
        if frames is None:
            if self._shown is None:
                self._shown = to_display(self.message, self._pair, self._summary)
            frames = self._frames[variant] = dialect.encode_message(self._shown)
        return frames


def to_display(message: Message, pair: MemberPair | None, summary: ProfileSummary | None) -> DisplayMessage:
    """A sender without a known summary is shown by its number."""
    sender, body = message.sender, unpack(message.body)
    other = None if pair is None else pair[1] if pair[0] == sender else pair[0]
    return DisplayMessage(message, body.segments, summary or ProfileSummary(str(sender), ""), other, body.dialect)
