"""The terminal client shows events as lines, and understands the lines that a user types."""

import pytest

from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount, Destination
from dragoman_client.codec.events import (
    ListedChat,
    MaintenanceStatus,
    NotificationKind,
    PendingRequests,
    ReceivedChange,
    ReceivedMedia,
    ReceivedMessage,
    ReceivedNotification,
    ReceivedPart,
)
from services.cli.client import wording
from services.cli.client.conversation import Transcript
from services.cli.client.terminal import printable

ANN = ClientAccount("ann", number=1, uuid="a-1")


@pytest.mark.parametrize(
    ("received", "line"),
    [
        (ReceivedMessage("hi", chat=4, sender=2), "[chat 4] user 2: hi"),
        (ReceivedMessage("hi", chat=4, sender=1), "[chat 4] you: hi"),
        (ReceivedMessage("hi", sender=2, recipient=1), "[user 2] hi"),
        (ReceivedMessage("hi", sender=1, recipient=2), "[user 2] you: hi"),
        (ReceivedMessage("ann: hi", chat=4), "[chat 4] ann: hi"),
        (ReceivedMessage("hi", chat=4, sender_uuid="b-2", sender_name="b"), "[chat 4] bob: hi"),
        (ReceivedMessage("hi", chat=4, sender_uuid="c-3", sender_name="c"), "[chat 4] c: hi"),
        (ReceivedMessage("hi", sender_uuid="a-1"), "[chat 9] you: hi"),
    ],
)
def test_a_message_shows_its_place_and_its_sender(received: ReceivedMessage, line: str) -> None:
    page_of = 9 if line.startswith("[chat 9]") else 0
    assert wording.message(received, ANN, {"b-2": "bob"}, page_of) == line


@pytest.mark.parametrize("kind", NotificationKind)
def test_every_notification_is_a_sentence(kind: NotificationKind) -> None:
    news = ReceivedNotification(kind, 4, 2, "Tea", "please")
    assert wording.news(news)
    assert wording.news(PendingRequests([news, news])).count("\n") == 1


def test_the_own_places_and_drafts() -> None:
    codec = CODECS["native"]
    frames = (
        b'{"ev":"place","chat":4,"pinned":true,"archived":true}',
        b'{"ev":"place","chat":4,"pinned":false,"archived":false}',
        b'{"ev":"draft","chat":4,"rev":9,"text":"See you"}',
        b'{"ev":"draft","chat":4,"rev":9,"text":""}',
        b'{"ev":"read","chat":4,"index":9,"unread":3,"mentions":0,"unread_from":7}',
    )
    events = [event for event in map(codec.decode, frames) if isinstance(event, ReceivedNotification)]
    assert [wording.news(event) for event in events] == [
        "chat 4 is pinned and archived now",
        "chat 4 is neither pinned nor archived now",
        "your draft in chat 4 is now: See you",
        "your draft in chat 4 is sent or removed",
        "you have marked chat 4 as unread on another connection",
    ]


def test_changes_of_messages() -> None:
    shown = [wording.news(ReceivedChange(kind, 4, 7, 1, 2, "x")) for kind in ("edit", "recall", "reaction", "pin")]
    assert shown == [
        "[chat 4] message 7 is now: x (by user 2)",
        "[chat 4] message 7 is recalled (by user 2)",
        "[chat 4] user 2 reacts to message 7: x",
        "[chat 4] message 7 is pinned (by user 2)",
    ]
    withdrawn = [wording.news(ReceivedChange(kind, 4, 7, 1, 2, "x", on=False)) for kind in ("reaction", "pin")]
    assert withdrawn == ["[chat 4] user 2 takes x back from message 7", "[chat 4] message 7 is unpinned (by user 2)"]
    assert wording.news(ReceivedChange("reaction", 4, 7, 1, 2)) == "[chat 4] message 7 has other reactions (by user 2)"
    assert wording.news(ReceivedChange("of a later version", 4, 7, 1, 2)) == ""


def test_other_events() -> None:
    assert wording.news(MaintenanceStatus(active=True)) == "the server is in maintenance"
    assert wording.news(ReceivedMedia(2, 7, is_picture=True, url="http://a/b")) == (
        "[user 2] user 2: a picture of 7 bytes http://a/b"
    )
    assert wording.news(ReceivedPart(b"x")) == ""
    assert wording.chat(ListedChat(4, "Tea", ["0000000002", "b-2"]), {"b-2": "bob"}) == "chat 4: Tea (members: 2, bob)"


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert printable("a\x1b[2J\r\u202eb\n你好 👩\u200d🔬") == "a\\x1b[2J\\r\\u202eb\n你好 👩\u200d🔬"


def test_a_transcript_keeps_the_chats_and_their_last_lines() -> None:
    transcript, tea, bob = Transcript(), Destination(4), Destination(user=2)
    transcript.add_chat(tea)
    for number in range(3):
        transcript.add(bob, f"line {number}")
    assert transcript.chats == [tea, bob]
    assert transcript.lines(bob, 2) == ["line 1", "line 2"]
    assert transcript.lines(bob, 0) == transcript.lines(tea, 5) == []
    transcript.clear()
    assert transcript.chats == transcript.lines(bob, 2) == []
