"""Clocks and pauses."""

import time

import pytest

from shared.clock import until_next


@pytest.mark.parametrize(("now", "pause"), [(10.25, 0.75), (10.0, 1.0), (10.75, 0.25), (10.9375, 1.0625)])
def test_a_pause_ends_with_a_second_and_is_not_much_shorter(
    now: float, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert until_next(1.0) == pause
