"""In native, a reaction is only a name in a JSON object."""

import json
from typing import Any

from hypothesis import example, given

from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.base import ConnectionInfo, DecodeError
from services.edge.dialects.native import Native
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.message import ChangeMessage, React, Reactions
from shared.contract.model import Message, Text
from shared.emoji import is_one_cluster
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.driving import log_in, requests_of
from tests.unit.services.edge.dialects.user_texts import HOSTILE

CHAT, BOB = ChatId(5), AccountId(34)


def connection() -> Native:
    dialect = Native(ConnectionInfo(LimitsSettings(rates=False), "http://chat.example"))
    log_in(dialect, AccountId(12))
    return dialect


def only_object(out: tuple[object, ...]) -> dict[str, Any]:
    (frame,) = out
    assert isinstance(frame, bytes)
    assert b"\n" not in frame
    members = json.loads(frame, object_pairs_hook=lambda pairs: (pairs, dict(pairs)))
    pairs, found = members
    assert len(pairs) == len(found), "no member twice"
    return json.loads(frame)  # type: ignore[no-any-return]


@given(word=HOSTILE)
def test_a_message(word: str) -> None:
    message = Message(CHAT, 8, MessageId(9), BOB, 7, b"", Nonce(1))
    shown = DisplayMessage(message, (Text("a"),), reactions=Reactions({word: 2}, [word]))
    event = only_object(connection().encode_message(shown))
    assert (event["reactions"], event["mine"]) == ({word: 2}, [word])
    assert event.keys() == {"ev", "chat", "index", "id", "sender", "time", "segments", "reactions", "mine"}


@given(word=HOSTILE)
@example(word="👨\u200d👩\u200d👧")
@example(word="a\u202eb")
def test_an_emoji_is_short_and_visible(word: str) -> None:
    frame = json.dumps({"op": "react", "chat": 5, "index": 8, "emoji": word}).encode()
    try:
        (request,) = requests_of(connection(), frame)
    except DecodeError:
        assert not (word.isalnum() and len(word.encode()) <= 32)
        return
    assert isinstance(request.command, ChangeMessage)
    assert request.command.change == React(word, True)
    assert len(word.encode()) <= 32 or is_one_cluster(word)
    assert word.replace("\u200d", "").isprintable()
    assert not any(map(str.isspace, word))
