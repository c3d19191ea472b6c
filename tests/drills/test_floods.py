"""The results of the flood bench."""

import math

import pytest

from tests.drills.floods import Window


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
