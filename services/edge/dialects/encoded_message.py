"""A message on its way out: its segments are unpacked once, its frames made once per variant of dialect."""

from collections.abc import Hashable

from services.edge.canonical.frames import Outgoing
from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.base import Dialect
from shared.contract.model import MemberPair, Message, ProfileSummary, unpack


class EncodedMessage:
    """`pair`: of a private chat. `face`: the sender's, as far as it is known."""

    __slots__ = ("_face", "_frames", "_pair", "_shown", "message")

    def __init__(self, message: Message, pair: MemberPair | None = None, face: ProfileSummary | None = None) -> None:
        self.message = message
        self._pair = pair
        self._face = face
        self._shown: DisplayMessage | None = None
        self._frames: dict[Hashable, tuple[Outgoing, ...]] = {}

    @property
    def variants(self) -> int:
        """How many it was made for."""
        return len(self._frames)

    def frames(self, dialect: Dialect) -> tuple[Outgoing, ...]:
        frames = self._frames.get(variant := dialect.variant)
        if frames is None:
            if self._shown is None:
                self._shown = to_display(self.message, self._pair, self._face)
            frames = self._frames[variant] = dialect.encode_message(self._shown)
        return frames


def to_display(message: Message, pair: MemberPair | None, face: ProfileSummary | None) -> DisplayMessage:
    """A sender whose face is not known is called by its number."""
    sender, body = message.sender, unpack(message.body)
    other = None if pair is None else pair[1] if pair[0] == sender else pair[0]
    return DisplayMessage(message, body.segments, face or ProfileSummary(str(sender), ""), other, body.dialect)
