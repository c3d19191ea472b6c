"""Tests which missed messages are pushed, and how a client recognises these."""

import pytest

from tests.unit.services.edge.dialects.driving import UNIX_SECONDS
from tests.unit.services.edge.dialects.irc.test_session import IrcConnection, _texts, joined, shown


@pytest.mark.parametrize(
    ("capability", "pushes"), [("server-time", True), ("draft/chathistory", False), ("znc.in/playback", False)]
)
def test_missed_messages_are_pushed_only_to_clients_that_cannot_request_them(capability: str, *, pushes: bool) -> None:
    connection = IrcConnection()
    assert connection.dialect.pushes_missed
    connection.send(f"CAP REQ :{capability}")
    assert connection.dialect.pushes_missed is pushes
    connection.send(f"CAP REQ :-{capability}")
    assert connection.dialect.pushes_missed


@pytest.mark.parametrize("capabilities", ["batch message-tags server-time", "batch", "server-time", ""])
@pytest.mark.parametrize("text", ["!quit", "two\nlines"])
def test_only_messages_from_before_the_login_are_in_batches_of_history(capabilities: str, text: str) -> None:
    """Bots obey no command in such a batch."""
    connection = joined(capabilities)
    entered = UNIX_SECONDS * 1000
    for time, is_missed in ((entered - 1, True), (entered, False)):
        (push,) = connection.hold(shown(7, text, time))
        lines = _texts(push.frames)
        if is_missed and "batch" in capabilities:
            name = lines[0].partition(" BATCH +")[2].partition(" ")[0]
            assert lines[0] == f":irc.dragoman.local BATCH +{name} chathistory #Fruit~5"
            assert lines[-1] == f":irc.dragoman.local BATCH -{name}"
            assert all(line.startswith(f"@batch={name}") for line in lines[1:-1])
        else:
            assert not any(" BATCH " in line for line in lines)
