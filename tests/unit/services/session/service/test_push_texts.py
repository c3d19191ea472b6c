"""Tests the text of a notification when there is little space."""

import json

from services.session.service.push_texts import MAX_BYTES, PushTexts, Shown
from services.session.store.push_turns import IrcPlace
from shared.contract.body import pack_segments
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message, Text
from shared.settings import Settings
from tests.unit.services.session.service.test_push_delivery import HELLO

_MESSAGE = Message(ChatId(5), 7, MessageId(7), AccountId(1), 0, pack_segments((Text("\U0001f600" * 2_000),)), Nonce(7))


def test_a_long_name_and_many_closed_chats_are_cut() -> None:
    texts = PushTexts(Settings(edge={"public_url": "https://chat.example"}))
    closed = [ChatId(2**60 + number) for number in range(90)]
    message = texts.of_message(Shown(_MESSAGE, "\U0001f600" * 4_000, "\1" * 4_000, 2, 3, True, closed), "en")
    assert len(message.text) <= MAX_BYTES
    content = json.loads(message.text)
    assert content["notification"]["title"].startswith("\U0001f600" * 50)
    assert content["notification"]["navigate"] == "https://chat.example/chat/5/7"
    assert content.get("close", []) == [str(one) for one in message.closed]


def test_a_closed_chat_that_fits_is_named() -> None:
    message = PushTexts(Settings()).of_message(Shown(_MESSAGE, "Ann", "", 1, 1, True, [ChatId(9)]), "en")
    assert (json.loads(message.text)["close"], message.closed) == (["9"], [ChatId(9)])


def test_a_client_of_irc_gets_one_line() -> None:
    for content, line in (
        ("full", ":ann!u1@1.irc.example PRIVMSG #Team~5 :hello"),
        ("sender", ":ann!u1@1.irc.example PRIVMSG #Team~5 :New message"),
        ("none", ":irc.dragoman.local PRIVMSG #Team~5 :New message"),
    ):
        texts, place = PushTexts(Settings(push={"content": content})), IrcPlace("ann!u1@1.irc.example", "#Team~5")
        message = Message(ChatId(5), 7, MessageId(7), AccountId(1), 1_700_000_000_456, HELLO, Nonce(7))
        sent = texts.of_line(Shown(message, "", "", 1, 1, True, [ChatId(9)]), place, "en")
        assert sent.closed == [ChatId(9)]
        assert sent.text.decode() == f"@time=2023-11-14T22:13:20.456Z;msgid=5-7 {line}"
        long = texts.of_line(Shown(_MESSAGE, "", "", 1, 1, True), place, "en").text.partition(b" ")[2]
        assert len(long) <= 510
