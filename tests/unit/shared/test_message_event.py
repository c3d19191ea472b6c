"""Tests the event of a message that outgoing webhooks post."""

import json
from typing import Any

import msgspec

from shared.contract.body import RECALLED_BODY, pack_edited, pack_segments
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Emoji, File, Image, Media, Mention, Message, ProfileSummary, Text
from shared.message_event import group_message

MEDIA = Media("m1", "a.png", 12, "ab" * 32, "image/png")
SHOWN_MEDIA = {
    "id": "m1", "name": "a.png", "size": 12, "sha256": "ab" * 32, "mime": "image/png",
    "url": "https://chat.example/media/m1",
}  # fmt: skip


def shown(body: bytes) -> dict[str, Any]:
    message = Message(ChatId(5), 7, MessageId(9), AccountId(3), 1_000, body, Nonce(1))
    event = group_message(message, ProfileSummary("Ann", "u3"), "https://chat.example")
    found: dict[str, Any] = json.loads(msgspec.json.encode(event))
    place = {"ev": "message", "chat": 5, "index": 7, "id": 9, "sender": 3, "time": 1_000}
    assert {name: found.pop(name) for name in place} == place
    assert found.pop("face") == {"nickname": "Ann", "uuid": "u3"}
    return found


def test_each_kind_of_segment() -> None:
    segments = (Text("a"), Emoji(4), Image(MEDIA), File(MEDIA), Mention(AccountId(8), "@Bob"))
    assert shown(pack_segments(segments, "pipe")) == {
        "segments": [
            {"t": "text", "text": "a"},
            {"t": "emoji", "id": 4},
            {"t": "image", "media": SHOWN_MEDIA},
            {"t": "file", "media": SHOWN_MEDIA},
            {"t": "mention", "account": 8, "text": "@Bob"},
        ]
    }


def test_what_a_message_is_besides() -> None:
    for body, expected in (
        (pack_segments((Text("a"),), reply_to=3), {"segments": [{"t": "text", "text": "a"}], "reply_to": 3}),
        (pack_edited((Text("b"),)), {"segments": [{"t": "text", "text": "b"}], "edited": True}),
        (RECALLED_BODY, {"segments": [], "recalled": True}),
    ):
        assert shown(body) == expected
