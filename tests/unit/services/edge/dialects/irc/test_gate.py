"""Tests which messages the gate admits without further checks."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from services.edge.canonical.events import ChatJoined, Event
from services.edge.canonical.frames import Outgoing
from shared.contract.edge import ChatRenamed
from shared.contract.ephemeral import ChatPlaced, TagsRelayed, Typing
from shared.contract.ids import NodeId
from shared.contract.message import ChangeKind
from shared.contract.model import ProfileSummary
from tests.unit.services.edge.dialects.driving import LONG_AFTER, UNIX_SECONDS, log_in
from tests.unit.services.edge.dialects.irc.test_reactions import changed
from tests.unit.services.edge.dialects.irc.test_session import CHAT, OTHER, OWN, IrcConnection, joined, shown

NOW = UNIX_SECONDS * 1000
SUMMARY = ProfileSummary("Bob", "")


def admitted(connection: IrcConnection, time: int = NOW) -> tuple[Outgoing, ...] | None:
    """Returns the frames of a message of this time, if it needs no further checks."""
    one, gate = shown(7, time=time), connection.dialect.gate
    assert gate is not None
    return gate.admit(one.message, connection.dialect.encode_message(one))


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
    (written,) = connection.hold(shown(7, time=NOW))
    assert admitted(connection) == written.frames
    change(connection)
    assert admitted(connection) is None


@pytest.mark.parametrize(
    "event", [Typing(CHAT, OTHER, 6000, SUMMARY), TagsRelayed(CHAT, OTHER, {}, SUMMARY, NodeId("a"))]
)
def test_what_users_do_meanwhile_changes_no_channel(event: Event) -> None:
    connection = joined("server-time message-tags")
    connection.hold(shown(7, time=NOW))
    assert connection.push(event)
    assert admitted(connection)


def test_a_message_from_before_the_login_is_checked() -> None:
    connection = joined("server-time batch")
    connection.hold(shown(7, time=NOW))
    assert admitted(connection, NOW - 1) is None
    assert admitted(connection)


def test_each_message_is_checked_for_a_client_without_times_because_it_may_be_old() -> None:
    connection = joined("message-tags")
    connection.hold(shown(7, time=NOW))
    assert admitted(connection) is None


def test_no_message_is_admitted_while_its_channel_is_not_shown() -> None:
    connection = IrcConnection(capabilities="server-time")
    for _ in range(2):
        assert connection.hold(shown(7, time=NOW)) == ()
        assert admitted(connection) is None


def test_no_text_is_held_after_its_recall() -> None:
    connection, recall = IrcConnection(capabilities="server-time"), changed(OTHER, kind=ChangeKind.RECALL)
    gate, index = connection.dialect.gate, recall.shown.change.index
    assert gate is not None
    for held in (index, index + 1):
        connection.hold(shown(held, time=NOW))
    connection.push(recall)
    assert [gate.holds(CHAT, held) for held in (index, index + 1)] == [False, True]
    connection.push(replace(recall, shown=replace(recall.shown, change=replace(recall.shown.change, index=index + 1))))
    assert gate.held_bytes == 0
