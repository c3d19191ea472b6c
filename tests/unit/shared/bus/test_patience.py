"""An attempt is brief, unless replies have been slow."""

import pytest

from shared.bus.patience import LEAST_SECONDS, MOST_SECONDS, Patience, longer


def test_a_service_that_is_quick_or_unknown_gets_the_least_time() -> None:
    patience = Patience()
    assert patience.first("auth.login") == LEAST_SECONDS
    patience.replied("auth.login", 0.01)
    assert patience.first("auth.login") == LEAST_SECONDS


@pytest.mark.parametrize(("slowest", "expected"), [(0.3, 0.9), (5.0, MOST_SECONDS)])
def test_a_slow_subject_gets_more_time_and_no_other_does(slowest: float, expected: float) -> None:
    patience = Patience()
    patience.replied("message.search", slowest)
    assert patience.first("message.search") == pytest.approx(expected)
    assert patience.first("message.sync") == LEAST_SECONDS


def test_a_slow_reply_is_forgotten_after_many_quick_ones() -> None:
    patience = Patience()
    patience.replied("message.sync", 1.0)
    patience.replied("message.sync", 0.01)
    assert LEAST_SECONDS < patience.first("message.sync") <= MOST_SECONDS
    for _ in range(40):
        patience.replied("message.sync", 0.01)
    assert patience.first("message.sync") == LEAST_SECONDS


def test_attempts_grow_up_to_the_most() -> None:
    assert longer(LEAST_SECONDS) > LEAST_SECONDS
    assert longer(longer(MOST_SECONDS)) == MOST_SECONDS
