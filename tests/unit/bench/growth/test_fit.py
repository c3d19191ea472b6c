import pytest

from bench.growth.result import called, exponent

_X = (1, 10, 100, 1_000, 10_000)


@pytest.mark.parametrize("power", [-0.5, 0.0, 1.0, 2.0])
def test_a_power_is_found(power: float) -> None:
    assert exponent([(x, 7 * x**power) for x in _X]) == pytest.approx(power)


def test_a_constant_cost_does_not_hide_the_exponent() -> None:
    assert exponent([(x, 5 + 5 * x) for x in _X]) == pytest.approx(1, abs=0.03)


def test_one_expensive_point_is_no_growth() -> None:
    assert exponent([(100, 10.0), (300, 10.0), (1_000, 12.0), (3_000, 10.0), (10_000, 10.0)]) < 0.1


@pytest.mark.parametrize(("points", "power"), [([(5, 3.0)], 0.0), ([(1, 1.0), (2, 2.0)], 1.0)])
def test_few_points_are_fitted_as_they_are(points: list[tuple[float, float]], power: float) -> None:
    assert exponent(points) == pytest.approx(power)


@pytest.mark.parametrize(
    ("power", "words"),
    [(-0.3, "flat"), (0.1, "flat"), (0.5, "less than linear"), (1.0, "linear"), (1.2, "worse than linear")],
)
def test_a_power_has_a_name(power: float, words: str) -> None:
    assert called(power) == words
