"""The short path for ordinary texts encodes them as the general path does, and names lead to chats."""

from itertools import product

import pytest
from msgspec.structs import replace

from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.base import ConnectionInfo
from services.edge.dialects.encoded_message import to_display
from services.edge.dialects.irc import messages
from services.edge.dialects.irc.gate import MessageGate
from services.edge.dialects.irc.marks import Mark
from services.edge.dialects.irc.messages import MessageStyle, addressed, encode_message
from services.edge.dialects.irc.names import user_of
from services.edge.dialects.irc.session import Channel, IrcSession
from shared.contract.body import pack_segments
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import MemberPair, Message, ProfileSummary, Text
from shared.settings.limits import LimitsSettings

ANN, BOB = AccountId(11), AccountId(12)
STYLES = [
    MessageStyle("irc.example", "http://chat.example", "en", *flags) for flags in product((False, True), repeat=4)
]
SHORT = ["hi", " ", ":", "PRIVMSG #x :hi", "hi NOTICE #y :hi", "中文 😀", "é" * 120, "x" * 300]
SENDERS = [
    ProfileSummary("Ann", "u1", nick="ann"),
    ProfileSummary("Ann", "u1", nick="a\\b"),
    ProfileSummary("安", "u1"),
]


def shown(text: str, pair: MemberPair | None, sender: ProfileSummary | None) -> DisplayMessage:
    message = Message(ChatId(5), 7, MessageId(107), ANN, 1724400000009, pack_segments((Text(text),)), Nonce(1))
    return to_display(message, pair, sender)


@pytest.mark.parametrize("text", SHORT)
def test_both_paths_agree(text: str) -> None:
    for style, pair, sender in product(STYLES, (None, (ANN, BOB)), (*SENDERS, None)):
        message = shown(text, pair, sender)
        assert encode_message(message, style) == tuple(messages._encode(message, style))


@pytest.mark.parametrize("text", [*SHORT, "x" * 500, "中" * 200])
@pytest.mark.parametrize(("pair", "name"), [(None, "#club"), ((ANN, BOB), "bob")])
def test_only_the_name_of_the_chat_is_replaced(text: str, pair: MemberPair | None, name: str) -> None:
    style = MessageStyle("irc.example", "http://chat.example", "en", times=True, accounts=True, ids=True)
    lines = addressed(encode_message(shown(text, pair, SENDERS[0]), style), name)
    parts = [line.decode().split(" ", 4) for line in lines]
    assert [(command, target) for _, _, command, target, _ in parts] == [("PRIVMSG", name)] * len(lines)
    assert "".join(last.removeprefix(":") for *_, last in parts) == text


@pytest.mark.parametrize("text", ["/me waves PRIVMSG #x :hi", "two\nlines", "/me " + "x" * 500])
@pytest.mark.parametrize("mark", [Mark(), Mark(unanswered=True)])
@pytest.mark.parametrize("batches", [False, True])
def test_lines_of_other_kinds_name_the_chat(text: str, mark: Mark, *, batches: bool) -> None:
    style = MessageStyle("irc.example", "http://chat.example", "en", times=True, ids=True, batches=batches)
    message = replace(shown(text, None, SENDERS[0]), dialect=mark.packed)
    lines = [line.decode() for line in addressed(encode_message(message, style), "#club")]
    assert any(" #club" in line for line in lines)
    assert not any("#~5" in line for line in lines)


def test_a_private_chat_is_no_channel_even_if_the_edge_does_not_know_its_members() -> None:
    session = IrcSession(ConnectionInfo(LimitsSettings(), "http://chat.example", unix_ms=lambda: 1724400000010))
    session.enter(BOB)
    session.welcomed = True
    session.rename(user_of(BOB, ProfileSummary("Bob", "u2", nick="bob"), session.server))
    session.partners[ChatId(5)] = ANN
    frames = encode_message(
        unknown := shown("hi", None, SENDERS[0]), MessageStyle(session.server, "http://chat.example", "en")
    )
    (push,) = MessageGate(session).hold(unknown.message, frames, 0.0)
    assert [line.decode().split(" ", 1)[1] for line in push.frames if isinstance(line, bytes)] == ["PRIVMSG bob :hi"]


def test_a_name_means_the_channel_that_has_it_now() -> None:
    session = IrcSession(ConnectionInfo(LimitsSettings(), "http://chat.example"))
    pears, plums = Channel("#pears"), Channel("#plums")
    session.channels = {ChatId(5): pears, ChatId(6): plums}
    found = [session.find_channel(name) for name in ("#Pears", "#plums", "#kiwis")]
    pears.name, plums.name = "#plums", "#pears"
    found += [session.find_channel(name) for name in ("#pears", "#PLUMS", "#plums")]
    del session.channels[ChatId(5)]
    assert [*found, session.find_channel("#plums")] == [5, 6, None, 6, 5, 5, None]
