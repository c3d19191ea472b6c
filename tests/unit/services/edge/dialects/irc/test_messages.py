"""The short path for ordinary texts encodes them as the general path does."""

from itertools import product

import pytest

from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.encoded_message import to_display
from services.edge.dialects.irc import messages
from services.edge.dialects.irc.messages import MessageStyle, addressed, encode_message
from shared.contract.body import pack_segments
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import MemberPair, Message, ProfileSummary, Text

ANN, BOB = AccountId(11), AccountId(12)
STYLES = [
    MessageStyle("irc.example", "http://chat.example", "en", *flags) for flags in product((False, True), repeat=4)
]
TEXTS = ["hi", " ", ":", "PRIVMSG #x :hi", "中文 😀", "é" * 120, "x" * 300, "x" * 500, "中" * 200]
SENDERS = [
    ProfileSummary("Ann", "u1", nick="ann"),
    ProfileSummary("Ann", "u1", nick="a\\b"),
    ProfileSummary("安", "u1"),
]


def shown(text: str, pair: MemberPair | None, sender: ProfileSummary | None) -> DisplayMessage:
    message = Message(ChatId(5), 7, MessageId(107), ANN, 1724400000009, pack_segments((Text(text),)), Nonce(1))
    return to_display(message, pair, sender)


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("text", TEXTS)
def test_both_paths_agree(text: str, style: MessageStyle) -> None:
    for pair, sender in product((None, (ANN, BOB)), (*SENDERS, None)):
        message = shown(text, pair, sender)
        assert encode_message(message, style) == tuple(messages._encode(message, style))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("pair", "name"), [(None, "#club"), ((ANN, BOB), "bob")])
def test_only_the_name_of_the_chat_is_replaced(text: str, pair: MemberPair | None, name: str) -> None:
    style = MessageStyle("irc.example", "http://chat.example", "en", times=True, accounts=True, ids=True)
    lines = addressed(encode_message(shown(text, pair, SENDERS[0]), style), name)
    parts = [line.decode().split(" ", 4) for line in lines]
    assert [(command, target) for _, _, command, target, _ in parts] == [("PRIVMSG", name)] * len(lines)
    assert "".join(last.removeprefix(":") for *_, last in parts) == text
