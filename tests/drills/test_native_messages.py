"""Tests which messages a native client has after frames that arrive in any order."""

from typing import Any

from tests.drills.native_messages import MessageState, NativeMessages

ANN, BOB = 1, 2


def message(index: int, text: str = "", **more: object) -> dict[str, Any]:
    return {"chat": 5, "index": index, "segments": [{"text": text}], **more}


def change(rev: int, index: int, kind: str, **more: object) -> dict[str, Any]:
    return {"chat": 5, "rev": rev, "index": index, "kind": kind, "by": ANN, **more}


def test_messages_are_in_index_order_and_come_once() -> None:
    held = NativeMessages(ANN)
    arriving = [3, 2, 3, 1, 2, 5, 4, 5]
    ready = [[one["index"] for one in held.add(message(index))] for index in arriving]
    assert ready == [[], [], [], [1, 2, 3], [], [], [4, 5], []]
    assert held.positions == {"5": (5, 0)}


def test_changes_give_the_last_state() -> None:
    held = NativeMessages(ANN)
    for index in (1, 2, 3):
        held.add(message(index, "old"))
    held.change(change(1, 1, "edit", segments=[{"text": "new"}]))
    held.change(change(2, 2, "recall"))
    held.change(change(3, 3, "reaction", emoji="+", on=True))
    held.change(change(4, 3, "reaction", emoji="-", on=True, by=BOB))
    assert [held.states[5, index] for index in (1, 2, 3)] == [
        MessageState("new"),
        MessageState(None),
        MessageState("old", frozenset("+")),
    ]
    held.change(change(5, 3, "reaction", emoji="+", on=False))
    held.change(change(6, 1, "reaction", mine=["!"]))
    assert (held.states[5, 3].mine, held.states[5, 1].mine, held.rev[5]) == (frozenset(), frozenset("!"), 6)


def test_a_change_waits_for_its_message_and_a_late_one_has_no_effect() -> None:
    held = NativeMessages(ANN)
    held.change(change(2, 1, "edit", segments=[{"text": "newest"}]))
    held.add(message(1, "old"))
    held.change(change(1, 1, "edit", segments=[{"text": "new"}]))
    assert held.states[5, 1] == MessageState("newest")


def test_a_change_that_is_missing_leaves_a_gap() -> None:
    held = NativeMessages(ANN)
    held.change(change(1, 1, "recall"))
    held.change(change(3, 1, "recall"))
    assert held.rev[5] == 1
    held.has_changes_up_to(5, 3)
    assert held.rev[5] == 3


def test_a_history_shows_states() -> None:
    held = NativeMessages(ANN)
    held.add(message(1, recalled=True))
    held.add(message(2, "two", mine=["+"]))
    assert held.states == {(5, 1): MessageState(None), (5, 2): MessageState("two", frozenset("+"))}
