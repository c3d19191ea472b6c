"""The congestion window adapts to the time until messages get a reply."""

import pytest

from services.edge.upstream.publisher import CongestionWindow

MIN_MESSAGES = 1_536


def size(window: CongestionWindow) -> int:
    """Returns the size of a window that has nothing in flight."""
    messages = 0
    while window.has_room(1):
        window.sent(1)
        messages += 1
    window.acknowledged(messages, soon=True, limited=False)
    return messages


def passes(window: CongestionWindow, messages: int, *, soon: bool, limited: bool = True) -> None:
    window.sent(messages)
    window.acknowledged(messages, soon=soon, limited=limited)


def test_the_window_has_room_for_its_minimum() -> None:
    window = CongestionWindow()
    window.sent(MIN_MESSAGES - 10)
    assert window.has_room(10)
    assert not window.has_room(11)
    window.acknowledged(MIN_MESSAGES - 10, soon=True, limited=False)
    assert window.has_room(11)


def test_the_window_opens_while_it_limits_and_replies_are_quick() -> None:
    window = CongestionWindow()
    passes(window, 1_000, soon=True)
    assert size(window) == MIN_MESSAGES + 1_000
    passes(window, 1_000, soon=True, limited=False)
    assert size(window) == MIN_MESSAGES + 1_000


@pytest.mark.parametrize("limited", [True, False])
def test_the_window_closes_while_replies_take_long(limited: bool) -> None:
    window = CongestionWindow()
    passes(window, 10_000, soon=True)
    passes(window, 1_000, soon=False, limited=limited)
    assert size(window) == MIN_MESSAGES + 10_000 - 500


def test_the_window_has_a_minimum_and_a_maximum() -> None:
    window = CongestionWindow()
    passes(window, 10_000_000, soon=True)
    assert size(window) == 32_768
    passes(window, 10_000_000, soon=False)
    assert size(window) == MIN_MESSAGES
