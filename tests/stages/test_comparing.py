"""Tests the figures of two checkouts that are measured at the same time."""

import pytest

from bench.load.verifier import Faults
from bench.report.result import Result
from tests.stages.comparing import costs, table


def test_the_costs_of_replicas_are_added() -> None:
    figures = {"delivered/s": 1_000.0, "cores of edge-1": 0.02, "cores of edge-2": 0.01, "cores of message": 0.05,
               "cores used by others": 1.0}  # fmt: skip
    found = costs(Result("pairs", "", "", {}, figures, {}, Faults(), {}, [], [], passed=True))
    assert found == pytest.approx({"edge": 30.0, "message": 50.0, "all": 80.0})


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    """In the second round, the machine was slow for both checkouts."""
    rounds = [({"edge": 20.0}, {"edge": 22.0}), ({"edge": 40.0}, {"edge": 42.0}), ({"edge": 20.0}, {"edge": 30.0})]
    assert table(rounds).splitlines()[1].split() == ["edge", "20.0", "30.0", "1.100", "1.10", "1.05", "1.50"]
