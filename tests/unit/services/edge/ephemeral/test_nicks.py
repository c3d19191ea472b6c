"""Tests modes, operators and monitored nicks on one edge."""

from types import SimpleNamespace
from typing import Any

import pytest

from services.edge.canonical.irc_commands import ActAsOperator
from services.edge.ephemeral.nicks import NickEvents
from shared.contract.ephemeral import EphemeralEvent, NickSeen, OperatorActed
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import ProfileSummary
from shared.tasks import Tasks

ANN, BOB = AccountId(1), AccountId(2)
SUMMARY = ProfileSummary("Ann", "u1", 0, "ann", "~a")


class NickRecipient:
    """A connection of Ann or Bob, with the methods that these tests need."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen: list[EphemeralEvent] = []
        self.closed = ""

    def notify_ephemeral(self, event: EphemeralEvent) -> bool:
        self.seen.append(event)
        return True

    def close(self, code: int, reason: str) -> None:
        self.closed = reason


class Node:
    def __init__(self) -> None:
        self.ann, self.bob = NickRecipient(1), NickRecipient(2)
        self.accounts: dict[AccountId, Any] = {
            account: SimpleNamespace(recipients=(one,), notify_ephemeral=one.notify_ephemeral, chats=[ChatId(5)])
            for account, one in ((ANN, self.ann), (BOB, self.bob))
        }
        chats: Any = SimpleNamespace(sequencer=lambda chat: None)
        self.nicks = NickEvents(self._publish, NodeId("n"), self.accounts, chats, Tasks())  # type: ignore[arg-type]

    async def _publish(self, event: EphemeralEvent) -> None: ...


@pytest.fixture
async def node() -> Node:
    return Node()


async def test_nobody_becomes_an_operator_by_showing_the_mode(node: Node) -> None:
    node.nicks.show_modes(ANN, frozenset("ow"))
    assert node.nicks.modes_of(ANN) == {"w"}
    with pytest.raises(RequestError, match="only operators"):
        node.nicks.check_operator(ANN)
    with pytest.raises(RequestError, match="only operators"):
        node.nicks.act(ActAsOperator("lunch"), ANN, SUMMARY)


async def test_an_operator_ends_the_connections_of_others_and_is_heard(node: Node) -> None:
    node.nicks.make_operator(ANN)
    node.nicks.show_modes(BOB, frozenset("w"))
    node.nicks.act(ActAsOperator("lunch"), ANN, SUMMARY)
    assert node.bob.seen == [OperatorActed(ANN, SUMMARY, "lunch", AccountId(0), NodeId("n"))]
    node.nicks.act(ActAsOperator("enough", BOB), ANN, SUMMARY)
    assert node.bob.closed == "Killed (ann: enough)"
    assert node.ann.closed == ""


async def test_an_account_without_a_username_has_the_nick_that_irc_shows(node: Node) -> None:
    unnamed, recipient = ProfileSummary("Ann Lee", "u1"), node.bob
    node.nicks.monitor(recipient, frozenset({"ann_lee|1"}))  # type: ignore[arg-type]
    node.nicks.seen(ANN, unnamed, online=True)
    assert recipient.seen == [NickSeen(ANN, unnamed, True, NodeId("n"))]
    node.nicks.make_operator(ANN)
    node.nicks.act(ActAsOperator("enough", BOB), ANN, unnamed)
    assert recipient.closed == "Killed (Ann_Lee|1: enough)"


async def test_strangers_see_the_state_of_guests_alone(node: Node) -> None:
    """Bob and Ann have no chat in common."""
    recipient: Any = node.bob
    node.nicks.monitor(recipient, frozenset({"ann"}))
    node.nicks.away(ANN, ProfileSummary("Ann", "u1", 0, "ann"), "lunch")
    assert node.bob.seen == []
    node.nicks.away(ANN, SUMMARY, "lunch")
    assert len(node.bob.seen) == 1


async def test_modes_end_when_the_account_leaves(node: Node) -> None:
    node.nicks.make_operator(ANN)
    del node.accounts[ANN]
    assert node.nicks.modes_of(ANN) == frozenset()


async def test_what_a_closed_connection_monitored_is_forgotten(node: Node) -> None:
    recipient: Any = node.bob
    node.nicks.remember_guests(10)
    node.nicks.monitor(recipient, frozenset({"ann", "cem"}))
    node.nicks.seen(ANN, SUMMARY, online=True)
    assert node.bob.seen == [NickSeen(ANN, SUMMARY, True, NodeId("n"))]
    node.nicks.stop_monitoring(node.bob.number)
    node.nicks.seen(ANN, SUMMARY, online=False)
    assert len(node.bob.seen) == 1
    assert list(node.nicks.past_guests) == [(ANN, SUMMARY)]
