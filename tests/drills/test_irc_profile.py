"""The IRC client of the drills sends each text in lines that fit, and reads a message of several lines as one."""

import pytest

from dragoman_client.codec.base import ClientAccount
from dragoman_client.codec.events import ClientEvent, OtherFrame, ReceivedMessage
from tests.drills.irc_profile import IrcLines, IrcProfile
from tests.drills.records import place_id

_SOURCE = b":n|34!u34@34.irc.test "
_FIRST = b"time=2024-08-23T08:00:00.456Z;msgid=5-8"


def echoed(frame: bytes, first: bytes) -> bytes:
    """Returns a sent line as the server sends it to clients. `first` are the tags of a message's first line."""
    tags, _, rest = frame.partition(b" ") if frame.startswith(b"@") else (first and b"@" + first, b"", frame)
    return b" ".join(filter(None, (tags, _SOURCE + rest)))


@pytest.mark.parametrize("text", ["汉字 ", 'quoted "\\\n" ', "long " * 400, "a\n\n:b\n"])
def test_a_text_arrives_as_it_was_sent(text: str) -> None:
    request = IrcProfile("", [], {}).message(ClientAccount(number=34), 5, text)
    frames, lines = [*request.before, request.frame], IrcLines()
    assert max(map(len, frames)) < 400
    events = [lines.decode(echoed(frame, b"" if at else _FIRST)) for at, frame in enumerate(frames)]
    message = ReceivedMessage(text, 1_724_400_000_456, 5, 34, id=place_id(5, 8), sender_name="n|34")
    before: list[ClientEvent] = [OtherFrame()] * len(request.before)
    assert events == [*before, message]
