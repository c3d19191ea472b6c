"""Tests the numbers of delivery batches, and of the empty batches that follow them."""

import pytest

from services.message.adapters import fanout
from services.message.adapters.fanout import ALL_NODES, EdgeNodes
from shared.contract.ids import NodeId

NORTH, SOUTH = NodeId("north-1"), NodeId("south-1")


def empty_batches(counters: EdgeNodes, since: float, seconds: int) -> list[tuple[float, int]]:
    """Returns when empty batches are sent to the node NORTH, in seconds after `since`, and their numbers.

    There are two beats a second.
    """
    found = []
    for beat in range(1, 2 * seconds + 1):
        for node in counters.quiet(since + beat / 2):
            assert node == NORTH
            number = counters.next_empty(node)
            assert number is not None
            found.append((beat / 2, number))
    return found


def test_empty_batches_follow_the_last_one_ever_more_seldom() -> None:
    counters = EdgeNodes()
    counters.next(NORTH, 100.0)
    assert empty_batches(counters, 100.0, 3600) == [
        (0.5, 2), (1, 3), (2, 4), (4, 5), (8, 6), (16, 7), (32, 8), (64, 9), (128, 10), (256, 11),
    ]  # fmt: skip
    assert counters.next(NORTH, 5000.0) == 12
    assert empty_batches(counters, 5000.0, 1) == [(0.5, 13), (1, 14)]


def test_a_busy_node_gets_none() -> None:
    counters = EdgeNodes()
    for number in range(100):
        counters.next(NORTH, number / 4)
        assert counters.quiet(number / 4 + 0.2) == []


def test_broadcasts_are_reported_for_ten_minutes() -> None:
    counters = EdgeNodes()
    assert counters.reported(0.0) == {}
    counters.next(ALL_NODES, 0.0)
    counters.next(NORTH, 0.0)
    assert (counters.reported(599.0), counters.reported(601.0)) == ({"all": 1}, {})


def test_counters_of_the_longest_idle_nodes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "_MAX_NODES", 3)
    counters = EdgeNodes()
    for number, node in enumerate((ALL_NODES, "a-1", "b-1", "c-1")):
        counters.next(NodeId(node), float(number))
    assert counters.quiet(100.0) == ["b-1", "c-1"]
    assert counters.next_empty(NodeId("a-1")) is None
    assert [counters.next(NodeId(node), 100.0) for node in ("c-1", "a-1", ALL_NODES)] == [2, 1, 2]


def test_a_node_is_present_for_a_minute_after_it_was_heard_or_sent_to() -> None:
    nodes = EdgeNodes()
    nodes.heard(NORTH, 0.0)
    nodes.next(SOUTH, 30.0)
    nodes.next(ALL_NODES, 30.0)
    for now, present in ((59.0, {NORTH, SOUTH}), (61.0, {SOUTH}), (91.0, set())):
        nodes.update(now)
        assert nodes.present == present
