"""Tests how the flood measurement judges its figures."""

import math

import pytest

from tests.drills.floods import Window, best_turn, is_steady


@pytest.mark.parametrize(
    ("window", "result"),
    [
        (Window(delays=[0.010] * 100, machine_share=1.0), "ok"),
        (Window(delays=[0.010] * 98 + [0.5] * 2, edge_share=0.9, machine_share=1.0), "BEYOND"),
        (Window(delays=[0.010] * 98 + [0.5] * 2, edge_share=0.1, machine_share=0.6), "BEYOND"),
        (Window(delays=[0.010] * 98 + [0.5] * 2, edge_share=0.1, machine_share=0.99), "UNCLEAR"),
        (Window(delays=[0.010] * 100, failed_logins=1, edge_share=0.8), "BEYOND"),
        (Window(delays=[0.010] * 100, lost=1, edge_share=0.8), "BEYOND"),
    ],
)
def test_a_full_machine_is_not_blamed_on_the_edge(window: Window, result: str) -> None:
    assert window.judge(bound=20.0) == result


def test_without_deliveries_there_is_no_p99() -> None:
    assert Window().p99 == math.inf


def test_the_lowest_time_and_every_failure_count() -> None:
    best = best_turn([Window([0.5] * 100, failed_logins=1), Window([0.01] * 100), Window([0.2] * 100, failed_logins=2)])
    assert (best.p99, best.failed_logins) == (10.0, 3)
    assert best_turn([Window([0.01] * 100), Window([0.2] * 100, lost=1)]).p99 == math.inf


def test_a_quiet_time_needs_another_one_near_it() -> None:
    slow, fast, near = Window([0.2] * 100), Window([0.05] * 100), Window([0.09] * 100)
    assert is_steady([slow, fast, near], least=20.0)
    assert not is_steady([slow, fast], least=20.0)
    assert not is_steady([fast, near, Window([0.05] * 100, lost=1)], least=20.0)
