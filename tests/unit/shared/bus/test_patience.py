"""An attempt takes only a short time, unless replies have been slow."""

import pytest

from shared.bus.request_sender import LEAST_SECONDS, MOST_SECONDS, Patience, longer


def test_a_service_that_is_quick_or_unknown_gets_the_least_time() -> None:
    patience = Patience()
    assert patience.first("auth.login") == LEAST_SECONDS
    patience.replied("auth.login", 0.01)
    assert patience.first("auth.login") == LEAST_SECONDS


@pytest.mark.parametrize(("seconds", "expected"), [(0.3, 0.9), (5.0, MOST_SECONDS)])
def test_a_slow_subject_gets_more_time_and_no_other_does(seconds: float, expected: float) -> None:
    patience = Patience()
    for _ in range(40):
        patience.replied("message.search", seconds)
    assert patience.first("message.search") == pytest.approx(expected, rel=0.01)
    assert patience.first("message.sync") == LEAST_SECONDS
    for _ in range(40):
        patience.replied("message.search", 0.01)
    assert patience.first("message.search") == LEAST_SECONDS


def test_one_late_reply_gives_no_more_time() -> None:
    """The late reply may come from a process that was frozen."""
    patience = Patience()
    patience.replied("message.sync", 0.01)
    patience.replied("message.sync", 1.3)
    assert patience.first("message.sync") == LEAST_SECONDS


def test_attempts_grow_up_to_the_most() -> None:
    assert longer(LEAST_SECONDS) > LEAST_SECONDS
    assert longer(longer(MOST_SECONDS)) == MOST_SECONDS
