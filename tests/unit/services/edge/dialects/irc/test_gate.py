"""Tests which messages the gate admits without further checks."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from services.edge.canonical.events import ChatJoined
from services.edge.canonical.frames import Outgoing
from shared.contract.edge import ChatRenamed
from shared.contract.ephemeral import ChatPlaced
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NodeId
from shared.contract.model import Message
from tests.unit.services.edge.dialects.driving import LONG_AFTER, UNIX_SECONDS, log_in
from tests.unit.services.edge.dialects.irc.test_session import CHAT, OTHER, OWN, IrcConnection, joined, shown


def message_at(connection: IrcConnection, seconds: float) -> tuple[Message, tuple[Outgoing, ...]]:
    """Returns a message of this time, and its frames."""
    one = shown(7)
    message = replace(one.message, time=int(seconds * 1000))
    return message, connection.dialect.encode_message(replace(one, message=message))


def admitted(connection: IrcConnection, seconds: float = UNIX_SECONDS) -> tuple[Outgoing, ...] | None:
    gate = connection.dialect.gate
    assert gate is not None
    return gate.admit(*message_at(connection, seconds))


def checked(connection: IrcConnection) -> tuple[Outgoing, ...]:
    """Returns the frames of a new message that passes all checks."""
    gate = connection.dialect.gate
    assert gate is not None
    (push,) = gate.hold(*message_at(connection, UNIX_SECONDS), LONG_AFTER)
    return push.frames


CHANGES: dict[str, Callable[[IrcConnection], object]] = {
    "line": lambda one: one.send("PART #Fruit~5"),
    "capability": lambda one: one.send("CAP REQ :-server-time"),
    "renamed": lambda one: one.push(ChatRenamed(CHAT, "Vegetables", OTHER)),
    "hidden elsewhere": lambda one: one.push(ChatPlaced(CHAT, OWN, True, False, (NodeId("n"), 1), 7)),
    "joined": lambda one: one.push(ChatJoined(CHAT)),
    "chats loaded": lambda one: one.dialect.chats_loaded((), LONG_AFTER),
    "another account": lambda one: log_in(one.dialect, OTHER),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_new_messages_of_a_channel_are_admitted_until_the_channel_may_have_changed(
    change: Callable[[IrcConnection], object],
) -> None:
    connection = joined("server-time message-tags")
    assert admitted(connection) is None
    written = checked(connection)
    assert admitted(connection) == written
    change(connection)
    assert admitted(connection) is None


def test_a_message_from_before_the_login_is_checked() -> None:
    connection = joined("server-time batch")
    checked(connection)
    assert admitted(connection, UNIX_SECONDS - 1) is None
    assert admitted(connection)


def test_each_message_is_checked_for_a_client_without_times_because_it_may_be_old() -> None:
    connection = joined("message-tags")
    checked(connection)
    assert admitted(connection) is None


def test_no_message_is_admitted_while_its_channel_is_not_shown() -> None:
    connection = IrcConnection(lambda _: Failure(ErrorCode.UNAVAILABLE, "later"), "server-time")
    gate = connection.dialect.gate
    assert gate is not None
    for _ in range(2):
        assert gate.hold(*message_at(connection, UNIX_SECONDS), LONG_AFTER) == ()
        assert admitted(connection) is None
