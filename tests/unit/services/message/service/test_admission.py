"""How long what waits will wait."""

import pytest

from services.message.service.admission import Pace


def after(*seconds: float, full: bool = True) -> Pace:
    """Rounds of ten messages."""
    pace = Pace()
    for each in seconds:
        pace.took(10, each, full=full)
    return pace


def test_by_the_time_that_full_rounds_take() -> None:
    assert after(*[0.5] * 8).wait(100) == pytest.approx(5.0)


def test_a_few_long_rounds_are_a_stall() -> None:
    assert after(*[0.5] * 7).wait(100) == 0.0
    assert after(*[5.0] * 7, 0.01).wait(100) == pytest.approx(0.1)


def test_only_the_last_rounds_count() -> None:
    assert after(0.01, *[0.5] * 8).wait(100) == pytest.approx(5.0)


def test_as_long_as_everything_goes_at_once_nothing_waits() -> None:
    assert after(*[0.5] * 8, full=False).wait(100) == 0.0
    pace = after(*[0.5] * 8)
    pace.took(3, 0.5, full=False)
    assert pace.wait(100) == 0.0
