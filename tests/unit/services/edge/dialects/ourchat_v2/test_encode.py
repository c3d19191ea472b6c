"""The fast path of encoding a single text gives the same bytes as the general one."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from services.edge.dialects.ourchat_v2 import encode
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message, Text

numbers = st.integers(1, 2**53)


@given(st.text(st.characters(codec="utf-8")), numbers, numbers, numbers, numbers)
def test_both_paths_write_the_same_bytes(text: str, chat: int, number: int, sender: int, time: int) -> None:
    message = Message(ChatId(chat), 1, MessageId(number), AccountId(sender), time, b"", Nonce(1))
    fast = encode.message(message, (Text(text),), "http://edge")
    with patch.object(encode, "only_text", return_value=None):
        assert encode.message(message, (Text(text),), "http://edge") == fast
