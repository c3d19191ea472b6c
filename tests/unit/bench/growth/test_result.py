import pytest

from bench.growth.result import point
from bench.load.verifier import Faults
from bench.report.result import by_kind
from tests.unit.bench.report.samples import growth, sample


def test_edges_count_together_and_nothing_but_messages_counts() -> None:
    figures = {
        "µs of a message in edge-1": 10.0, "µs of a message in edge-2": 5.0, "µs of a message in message": 20.0,
        "µs of a login in edge-1": 99.0, "idle cores of nats": 0.5,
    }  # fmt: skip
    assert by_kind(figures, "µs of a message in ") == {"edge": 15.0, "message": 20.0}


def test_a_point_holds_the_result_of_its_run() -> None:
    result = sample(Faults(lost=1), passed=False)
    result.figures["µs of a message in message"] = 20.0
    found = point(7, result)
    assert (found.x, found.cost, found.passed, found.faults.lost) == (7, 20.0, False, 1)


def test_a_cost_that_grows_fails_where_it_should_not() -> None:
    assert growth([(10, 5.0), (100, 5.0), (1_000, 5.2)], limit=0.1).passed
    assert not growth([(10, 5.0), (100, 50.0), (1_000, 500.0)], limit=0.1).passed
    assert growth([(10, 5.0), (100, 50.0), (1_000, 500.0)], limit=1.1).passed


def test_few_points_prove_nothing() -> None:
    grown = growth([(10, 5.0), (100, 50.0)], limit=None)
    assert grown.passed
    assert "too few points" in grown.finding


def test_a_fault_fails_whatever_it_costs() -> None:
    grown = growth([(10, 5.0)], limit=None)
    grown.points[0].passed = False
    assert not grown.passed


@pytest.mark.parametrize(("limit", "word"), [(0.1, "flat"), (1.1, "flat")])
def test_the_result_line_states_the_growth(limit: float, word: str) -> None:
    assert growth([(10, 5.0), (100, 5.0), (1_000, 5.0)], limit=limit).finding.startswith(word)
