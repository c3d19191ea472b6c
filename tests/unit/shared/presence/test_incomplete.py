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
    assert not incomplete.any_unnamed(0.5)


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


def test_a_node_without_names_counts_for_every_account(incomplete: IncompleteNodes) -> None:
    """Edges of the previous version announce that presence lacks accounts, without naming them."""
    incomplete.receive(PresenceIncomplete(A, 1000), 0.0)
    incomplete.receive(PresenceIncomplete(A, 2000, [BOB]), 0.1)
    assert found(incomplete, 0.5) == {ANN: (A,), BOB: (A,), CEM: (A,)}
    assert incomplete.any_unnamed(0.5)
    assert found(incomplete, 1.5) == {BOB: (A,)}
    assert not incomplete.any_unnamed(1.5)


def test_a_node_that_names_too_many_counts_for_every_account(
    incomplete: IncompleteNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.presence.store._MAX_NAMED", 10)
    for first in range(100, 130, 3):
        incomplete.receive(PresenceIncomplete(A, 1000, [AccountId(first + more) for more in range(3)]), 0.0)
    assert found(incomplete, 0.5) == {ANN: (A,), BOB: (A,), CEM: (A,)}


def test_expired_accounts_are_dropped_by_the_next_complete_list(
    incomplete: IncompleteNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.presence.store._MAX_NAMED", 10)
    for second in range(100):
        names = [AccountId(1000 + 6 * second + more) for more in range(6)]
        incomplete.receive(PresenceIncomplete(A, 900, names), float(second))
    assert not incomplete.any_unnamed(99.5)


def numbered(number: int, *accounts: AccountId, starts: bool = False, ends: bool = False) -> PresenceIncomplete:
    return PresenceIncomplete(A, 1000, [*accounts], number, starts, ends, registered=True)


def test_a_node_is_known_from_a_complete_list_on(incomplete: IncompleteNodes) -> None:
    incomplete.receive(numbered(5, ANN, starts=True), 0.0)
    incomplete.receive(numbered(6, CEM), 0.1)
    assert incomplete.known(0.1) == {}
    incomplete.receive(numbered(7, BOB, ends=True), 0.2)
    assert incomplete.known(0.2) == {A: (5, 7)}
    assert incomplete.accounts_at(A, [ANN, BOB, CEM], 0.2) == [ANN, BOB, CEM]
    assert incomplete.accounts_at(B, [ANN], 0.2) == []
    incomplete.receive(numbered(8), 0.3)
    assert incomplete.known(0.3) == {A: (5, 8)}
    assert incomplete.known(0.51) == {}, "the list is older than half of its life"
    assert incomplete.accounts_at(A, [ANN, BOB], 0.51) == [ANN, BOB]


def test_later_lists_keep_a_node_known(incomplete: IncompleteNodes) -> None:
    incomplete.receive(numbered(1, ANN, starts=True, ends=True), 0.0)
    incomplete.receive(numbered(2, BOB, starts=True, ends=True), 0.4)
    assert incomplete.known(0.8) == {A: (1, 2)}
    incomplete.receive(numbered(3, starts=True, ends=True), 1.0)
    assert incomplete.known(1.0) == {A: (3, 3)}, "it was not known for a moment"


@pytest.mark.parametrize("missing", [5, 6, 7])
def test_a_node_is_not_known_after_a_missing_announcement(incomplete: IncompleteNodes, missing: int) -> None:
    """The lost announcement may have named an account. So the node counts as unknown until its next complete list."""
    announcements = [
        numbered(4, starts=True, ends=True), numbered(5, ANN), numbered(6, starts=True), numbered(7, CEM, ends=True),
        numbered(8),
    ]  # fmt: skip
    for one in announcements:
        if one.number != missing:
            incomplete.receive(one, 0.0)
    assert incomplete.known(0.0) == ({A: (6, 8)} if missing == 5 else {})
    incomplete.receive(numbered(9, starts=True, ends=True), 0.1)
    assert incomplete.known(0.1) == {A: (6 if missing == 5 else 9, 9)}


def test_a_node_of_the_version_before_is_never_known(incomplete: IncompleteNodes) -> None:
    incomplete.receive(PresenceIncomplete(A, 1000, [ANN]), 0.0)
    assert incomplete.known(0.0) == {}


def test_a_node_that_withdraws_is_not_known(incomplete: IncompleteNodes) -> None:
    incomplete.receive(numbered(1, ANN, starts=True, ends=True), 0.0)
    incomplete.receive(PresenceIncomplete(A, 1000, []), 0.1)
    assert incomplete.known(0.1) == {}
    incomplete.receive(numbered(2, starts=True, ends=True), 0.2)
    incomplete.receive(PresenceIncomplete(A, 0, []), 0.3)
    assert incomplete.known(0.3) == {}


def test_registered_accounts_do_not_make_presence_incomplete(incomplete: IncompleteNodes) -> None:
    incomplete.receive(numbered(1, ANN, starts=True, ends=True), 0.0)
    assert not incomplete.any(0.1)
    incomplete.receive(PresenceIncomplete(A, 1000, [ANN], 2), 0.1)
    assert incomplete.any(0.2)
    incomplete.receive(PresenceIncomplete(A, 0, [], 3), 0.3)
    assert not incomplete.any(0.3)
    assert incomplete.known(0.3) == {A: (1, 3)}
