"""Fast paths encode the most frequent frames. They give the same bytes as the general code."""

from unittest.mock import patch

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.replies import DisplayMessage, MessageAccepted
from services.edge.dialects.base import ConnectionInfo, Request
from services.edge.dialects.native import Native, encode
from services.edge.dialects.native.decode import CommandId
from services.edge.dialects.native.messages import SendResult
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.message import Reactions
from shared.contract.model import Emoji, Mention, Message, ProfileSummary, Recalled, Text
from shared.settings.limits import LimitsSettings

BASE_URL = "http://edge"
_numbers = st.integers(0, 2**63 - 1)
_messages = st.builds(
    Message,
    chat=_numbers.map(ChatId), index=_numbers, id=_numbers.map(MessageId), sender=_numbers.map(AccountId),
    time=_numbers, body=st.just(b""), nonce=_numbers.map(Nonce),
)  # fmt: skip
_segments = st.builds(Text, st.text()) | st.builds(Emoji, st.integers(0, 9)) | st.just(Recalled())
_mentions = st.builds(Mention, _numbers.map(AccountId), st.text())
_shown = st.builds(
    DisplayMessage,
    _messages,
    st.lists(_segments, max_size=2).map(tuple),
    summary=st.none() | st.builds(ProfileSummary, st.text(), st.text()),
    to=st.none() | _numbers.map(AccountId),
    edited=st.booleans(),
    reactions=st.none() | st.just(Reactions({"👍": 2}, [])),
    rich=st.none() | st.lists(_mentions, min_size=1, max_size=2).map(tuple),
    reply_to=st.integers(0, 3),
)
_texts = st.builds(
    DisplayMessage,
    _messages,
    st.builds(Text, st.text()).map(lambda text: (text,)),
    summary=st.none() | st.builds(ProfileSummary, st.text(), st.text()),
    to=st.none() | _numbers.map(AccountId),
)
_encode = msgspec.json.Encoder().encode


def _can_be_shown(shown: DisplayMessage) -> bool:
    """Returns whether the message is possible: a recalled message has no other segment."""
    return shown.segments == (Recalled(),) or Recalled() not in shown.segments


@given((_texts | _shown).filter(_can_be_shown))
def test_a_message(shown: DisplayMessage) -> None:
    """The fast path expects a message with a single text. It gives the same frame as the general code."""
    quick = _encode(encode.event(shown, BASE_URL))
    with patch.object(encode, "only_text", return_value=None):
        assert _encode(encode.event(shown, BASE_URL)) == quick


@given(_messages, st.integers(0, 2**53 - 1) | st.text(max_size=64), st.booleans())
def test_the_reply_to_a_message(message: Message, number: int | str, again: bool) -> None:
    native = Native(ConnectionInfo(LimitsSettings(), BASE_URL))
    request = Request(PostMessage(message.chat, (Text("x"),)), CommandId(number))
    (frame,) = native.encode_reply(request, MessageAccepted(message, tuple, again), 0.0)
    members = _encode(SendResult(message.chat, message.index, message.id, message.time, again or UNSET))
    assert frame == b'{"re":%b,' % _encode(number) + members[1:]
