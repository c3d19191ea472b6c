"""Tests the most common line, an ordinary text to a channel, which the server decodes and acknowledges faster."""

from collections.abc import Callable
from functools import partial
from itertools import product

import pytest

from services.edge.canonical.commands import Command, PostMessage
from services.edge.canonical.replies import MessageAccepted, Reply
from shared.contract.errors import Failure
from shared.contract.model import Text
from tests.unit.services.edge.dialects.irc.test_session import IrcConnection, joined, shown


@pytest.mark.parametrize(
    "text",
    [
        "hi", "你好 👋", " two  spaces ", ":colon", "/me waves", "x" * 380, "x" * 500, "\x02bold\x02",
        "\x01ACTION waves\x01", "http://127.0.0.1:8080/media/" + "0" * 32,
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("capabilities", "label"),
    [
        ("", ""),
        ("", "@label=7 "),
        ("echo-message", ""),
        ("batch labeled-response", "@label=7 "),
        ("batch labeled-response echo-message message-tags", "@label=7 "),
        ("batch labeled-response", "@label=a\\sb;+x "),
    ],
)
def test_an_ordinary_text_is_posted_like_any_other(text: str, capabilities: str, label: str) -> None:
    channels = ["#Fruit~5", "#FRUIT~5", "#x~5", "#a\0~5", "#fruit~5,#fruit~5", "#other", "OTHER|34"]
    for channel, mode, is_stored in product(channels, ["", "MODE n|12 +B"], [True, False]):
        connections = joined(capabilities), joined(capabilities)
        for connection in connections:
            if is_stored:
                connection.answer = partial(stored, connection, connection.answer)
            connection.send(mode)
        # only lines without a source are recognised as ordinary texts
        plain, general = (
            one.send(f"{label}{source}PRIVMSG {channel} :{text}")
            for one, source in zip(connections, ("", ":me "), strict=True)
        )
        assert connections[0].commands == connections[1].commands
        assert plain == general


def stored(
    connection: IrcConnection, otherwise: Callable[[Command], Reply | Failure], command: Command
) -> Reply | Failure:
    if not isinstance(command, PostMessage):
        return otherwise(command)
    (segment,) = command.segments
    own = shown(9, segment.text if isinstance(segment, Text) else "a file")
    return MessageAccepted(own.message, partial(connection.dialect.encode_message, own))
