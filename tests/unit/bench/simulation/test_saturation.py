import msgspec
import pytest

from bench.capacity.arithmetic import Habits
from bench.simulation.options import PARTS
from bench.simulation.recording import Latency, PartUse, SimulationResult
from bench.simulation.saturation import SystemGrowth, full_part, grow, grown, load_of
from bench.simulation.simulator import simulate
from tests.unit.bench.simulation.samples import COSTS

_HABITS = Habits(messages_per_minute=30.0, edge_connections=2_000, nats_cores=1)
_USERS = 40_000.0


@pytest.fixture(scope="module")
def light() -> SimulationResult:
    growth = grow(COSTS, _HABITS._replace(messages_per_minute=0.5), 10_000.0, 1, lambda _: None)
    return growth.steps[-1].result


def _busy(result: SimulationResult, **uses: float) -> SimulationResult:
    given = {part: PartUse(0.1, uses.get(part, 0.1)) for part in PARTS}
    return msgspec.structs.replace(result, uses=given)


def test_the_part_that_is_farthest_beyond_its_limit_is_full(light: SimulationResult) -> None:
    assert full_part(_busy(light), 0.6) == ""
    assert full_part(_busy(light, edge=0.7, nats=0.9), 0.6) == "nats"
    assert full_part(_busy(light, message=0.9), 0.6) == "", "its batches may grow"
    assert full_part(_busy(light, message=0.99, edge=0.61), 0.6) == "message"


def test_late_messages_wait_for_message_if_nothing_else_is_full(light: SimulationResult) -> None:
    late = {**light.latencies, "delivery": Latency(90.0, 500.0)}
    assert full_part(msgspec.structs.replace(_busy(light), latencies=late), 0.6) == "message"
    assert full_part(msgspec.structs.replace(_busy(light), delivered=0.0), 0.6) == "message"


def test_a_part_grows_by_what_its_use_demands(light: SimulationResult) -> None:
    assert grown(_busy(light, edge=0.7), "edge", 0.6).edge == 7, "5 edges at 0.7 / 0.6, and a margin"
    assert grown(_busy(light, nats=1.0), "nats", 0.6).nats == 4 * light.system.nats
    many = msgspec.structs.replace(light, system=msgspec.structs.replace(light.system, message=40))
    assert grown(_busy(many), "message", 0.6).partitions == 4096


@pytest.fixture(scope="module")
def growth() -> SystemGrowth:
    return grow(COSTS, _HABITS, _USERS, 1, lambda _: None)


def test_a_system_grows_until_it_carries_its_users(growth: SystemGrowth) -> None:
    assert growth.steps[0].full == "message"
    assert [step.full for step in growth.steps].index("") == len(growth.steps) - 1
    for before, after in zip(growth.steps, growth.steps[1:], strict=False):
        changed = {part for part in PARTS if getattr(before.result.system, part) != getattr(after.result.system, part)}
        assert changed == {before.full}
    last = growth.steps[-1].result
    assert last.delivered == pytest.approx(_USERS / 2, rel=0.05)
    assert simulate(COSTS, last.system, load_of(_HABITS, _USERS)) == last


def test_twice_the_users_are_more_than_it_carries(growth: SystemGrowth) -> None:
    system = growth.steps[-1].result.system
    assert full_part(simulate(COSTS, system, load_of(_HABITS, 2 * _USERS)), _HABITS.busy)
