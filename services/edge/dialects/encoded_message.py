"""A message to deliver. Its segments are unpacked once, and its frames are encoded once for each variant of a
dialect."""

from services.edge.canonical.frames import Outgoing
from services.edge.canonical.replies import DisplayChange, DisplayMessage
from services.edge.dialects.base import Dialect
from services.edge.dialects.text_fallback import quote_text, with_quote
from shared.contract.body import unpack, unpack_segments
from shared.contract.ids import AccountId
from shared.contract.message import MessageChange, Reactions
from shared.contract.model import MemberPair, Message, ProfileSummary, Quote
from shared.setting_types import Language


class EncodedMessage:
    """`pair`: both members of a private chat. `summary`: the sender's profile summary, if it is known. `quote`: the
    quote of a reply, if it is known."""

    __slots__ = ("_pair", "_quote", "_shown", "_summary", "encoded", "message")

    def __init__(
        self,
        message: Message,
        pair: MemberPair | None = None,
        summary: ProfileSummary | None = None,
        quote: Quote | None = None,
    ) -> None:
        self.message = message
        self._pair = pair
        self._summary = summary
        self._quote = quote
        self._shown: DisplayMessage | None = None
        self.encoded: dict[str, tuple[Outgoing, ...]] = {}
        """The encoded frames for each variant of a dialect."""

    def frames(self, dialect: Dialect) -> tuple[Outgoing, ...]:
        frames = self.encoded.get(variant := dialect.variant)
        if frames is None:
            if self._shown is None:
                self._shown = to_display(self.message, self._pair, self._summary, quote=self._quote)
            frames = self.encoded[variant] = dialect.encode_message(self._shown)
        return frames


def to_display(
    message: Message,
    pair: MemberPair | None,
    summary: ProfileSummary | None,
    reactions: Reactions | None = None,
    quote: Quote | None = None,
) -> DisplayMessage:
    """Return the message in the form that dialects encode. A sender without a known summary is shown by its number."""
    sender, body = message.sender, unpack(message.body)
    other = None if pair is None else other_member(pair, sender)
    face = summary or ProfileSummary(str(sender), "")
    if not (body.reply_to or body.rich):
        return DisplayMessage(message, body.segments, face, other, body.dialect, body.edited, reactions)
    plain = body.segments if quote is None else with_quote(quote, body.segments)
    rich, reply_to = body.rich or body.segments, body.reply_to
    return DisplayMessage(message, plain, face, other, body.dialect, body.edited, reactions, rich, reply_to)


def other_member(pair: MemberPair, account: AccountId) -> AccountId:
    """The other member of a private chat. `account`: one of its two members."""
    first, second = pair
    return second if first == account else first


def make_quote(message: Message, name: str, language: Language) -> Quote:
    """`name`: the name of the quoted message's sender."""
    return Quote(name, quote_text(unpack_segments(message.body), language))


def to_display_change(change: MessageChange, face: ProfileSummary | None = None) -> DisplayChange:
    if not change.body:
        return DisplayChange(change, summary=face)
    body = unpack(change.body)
    return DisplayChange(change, body.rich or body.segments, face)
