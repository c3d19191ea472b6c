import pytest

from bench.measurement.progress import Show
from bench.measurement.system import Target
from bench.population.plan import Load
from bench.scenarios.pairs import Crowd, group, pairs

pytestmark = [pytest.mark.xdist_group("bench"), pytest.mark.timeout(120)]

_ALL = ["v2", "pipe", "service", "v1", "v0"]


async def test_pairs_talk_in_any_dialect(target: Target) -> None:
    result = await pairs(target, Show(), Crowd(20, _ALL, 2), Load(150, 0.2, 0.5, window=2))
    assert result.passed, result
    assert result.measures["delivery"].count > 0
    assert result.figures["delivered/s"] > 0
    assert result.figures["cores of message"] >= 0


async def test_a_group_in_open_loop(target: Target) -> None:
    result = await group(target, Show(), Crowd(10, _ALL, 2, speakers=4), Load(150, 0.0, 1.0, rate=50))
    assert result.passed, result
    assert result.measures["acknowledgement"].count == pytest.approx(50, abs=2)
    assert result.measures["delivery"].count == 9 * result.measures["acknowledgement"].count


async def test_a_group_in_closed_loop(target: Target) -> None:
    result = await group(target, Show(), Crowd(6, ["v2"], 1, speakers=3), Load(150, 0.0, 0.5, window=2))
    assert result.passed, result
    assert result.measures["delivery"].count == 5 * result.measures["acknowledgement"].count
