"""Under way is only what is soon answered."""

import pytest

from services.edge.upstream.congestion_window import CongestionWindow

LEAST = 1_536


def size(window: CongestionWindow) -> int:
    """Of a window with nothing under way."""
    messages = 0
    while window.has_room(1):
        window.sent(1)
        messages += 1
    window.acknowledged(messages, soon=True, limited=False)
    return messages


def passes(window: CongestionWindow, messages: int, *, soon: bool, limited: bool = True) -> None:
    window.sent(messages)
    window.acknowledged(messages, soon=soon, limited=limited)


def test_there_is_room_for_so_many() -> None:
    window = CongestionWindow()
    window.sent(LEAST - 10)
    assert window.has_room(10)
    assert not window.has_room(11)
    window.acknowledged(LEAST - 10, soon=True, limited=False)
    assert window.has_room(11)


def test_it_opens_while_it_limited_and_all_is_soon_answered() -> None:
    window = CongestionWindow()
    passes(window, 1_000, soon=True)
    assert size(window) == LEAST + 1_000
    passes(window, 1_000, soon=True, limited=False)
    assert size(window) == LEAST + 1_000


@pytest.mark.parametrize("limited", [True, False])
def test_it_closes_while_answers_take_long(limited: bool) -> None:
    window = CongestionWindow()
    passes(window, 10_000, soon=True)
    passes(window, 1_000, soon=False, limited=limited)
    assert size(window) == LEAST + 10_000 - 500


def test_it_is_never_closed_altogether_nor_wide_open() -> None:
    window = CongestionWindow()
    passes(window, 10_000_000, soon=True)
    assert size(window) == 32_768
    passes(window, 10_000_000, soon=False)
    assert size(window) == LEAST
