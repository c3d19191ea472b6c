"""Tracks the nodes that cannot reach Redis."""

import pytest

from shared.contract.edge import PresenceIncomplete
from shared.contract.ids import AccountId, NodeId
from shared.presence.store import IncompleteNodes

A, B = NodeId("a"), NodeId("b")
ANN, BOB, CEM = AccountId(1), AccountId(2), AccountId(3)


@pytest.fixture
def incomplete() -> IncompleteNodes:
    return IncompleteNodes()


def found(incomplete: IncompleteNodes, now: float, *registered: NodeId) -> dict[AccountId, tuple[NodeId, ...]]:
    """Returns lookups of all accounts. Each account is registered on these nodes."""
    nodes = dict.fromkeys((ANN, BOB, CEM), registered) if registered else {}
    incomplete.add_to(nodes, [ANN, BOB, CEM], now)
    return nodes


def test_nodes_are_added_to_the_accounts_that_they_name(incomplete: IncompleteNodes) -> None:
    incomplete.receive(PresenceIncomplete(A, 1000, [ANN]), 0.0)
    incomplete.receive(PresenceIncomplete(B, 1000, [ANN, BOB]), 0.0)
    assert found(incomplete, 0.5) == {ANN: (A, B), BOB: (B,)}
    assert found(incomplete, 0.5, A) == {ANN: (A, B), BOB: (A, B), CEM: (A,)}
    assert incomplete.any(0.5)


def test_each_account_is_valid_for_its_own_time(incomplete: IncompleteNodes) -> None:
    """A lost announcement does not end the validity of an account."""
    incomplete.receive(PresenceIncomplete(A, 1000, [ANN, BOB]), 0.0)
    incomplete.receive(PresenceIncomplete(A, 1000, [CEM]), 0.9)
    assert found(incomplete, 0.95) == {ANN: (A,), BOB: (A,), CEM: (A,)}
    assert found(incomplete, 1.5) == {CEM: (A,)}
    assert found(incomplete, 2.0) == {}
    assert not incomplete.any(2.0)


def test_a_complete_node_is_forgotten(incomplete: IncompleteNodes) -> None:
    incomplete.receive(PresenceIncomplete(A, 1000, [ANN]), 0.0)
    incomplete.receive(PresenceIncomplete(A, 0, []), 0.1)
    assert found(incomplete, 0.2) == {}
    assert not incomplete.any(0.2)


def test_expired_accounts_are_dropped_by_the_next_complete_list(incomplete: IncompleteNodes) -> None:
    for second in range(100):
        names = [AccountId(1000 + 6 * second + more) for more in range(6)]
        incomplete.receive(PresenceIncomplete(A, 900, names), float(second))
    assert len(incomplete._nodes[A]._named) < 20
