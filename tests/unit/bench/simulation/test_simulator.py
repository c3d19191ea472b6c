"""Laws that hold for every simulation."""

import msgspec
import pytest

from bench.simulation.options import PARTS, RunLength, SimulatedLoad, SimulatedSystem, sliced
from bench.simulation.recording import SimulationResult
from bench.simulation.simulator import background, simulate
from tests.unit.bench.simulation.samples import COSTS, LOAD, STAGES

_SYSTEM = SimulatedSystem(edge=4, message=2, owner_cores=0)


@pytest.fixture(scope="module")
def result() -> SimulationResult:
    return simulate(COSTS, _SYSTEM, LOAD)


def test_equal_seeds_yield_equal_results(result: SimulationResult) -> None:
    assert simulate(COSTS, _SYSTEM, LOAD) == result
    assert simulate(COSTS, _SYSTEM, LOAD, seed=2) != result


def test_what_comes_is_delivered(result: SimulationResult) -> None:
    assert result.offered == pytest.approx(LOAD.rate, rel=0.05)
    assert result.delivered == pytest.approx(result.offered, rel=0.02)


def test_littles_law(result: SimulationResult) -> None:
    """The mean number in the system is the arrival rate times the mean time in it."""
    assert result.in_flight == pytest.approx(result.delivered * result.sojourn, rel=0.02)


@pytest.mark.parametrize("part", PARTS)
def test_utilisation_law(result: SimulationResult, part: str) -> None:
    """A part is as busy as its throughput times its demand, which follows from the batches; beside the background."""
    further = 2 if part == "edge" else 0
    demand = STAGES[part].of(result.shares) + further * STAGES[part].delivery
    if part == "message":
        demand += 2 * STAGES[part].delivery
    cores = {"edge": 4, "message": 2, "nats": 8, "database": 16}.get(part, 1)
    expected = result.delivered * demand / 1e6 / cores
    assert result.uses[part].mean - background(COSTS, _SYSTEM, LOAD)[part] == pytest.approx(expected, rel=0.05)


def test_times_of_the_way_are_within_that_of_all_of_it(result: SimulationResult) -> None:
    parts = [latency for name, latency in result.latencies.items() if name != "delivery"]
    assert max(one.p50 for one in parts) < result.latencies["delivery"].p50
    assert all(0 <= one.p50 <= one.p99 for one in result.latencies.values())


def test_more_load_makes_larger_batches(result: SimulationResult) -> None:
    busier = simulate(COSTS, _SYSTEM, msgspec.structs.replace(LOAD, rate=4_000.0))
    assert busier.shares["commits"] < result.shares["commits"]
    assert busier.costs["message"] < result.costs["message"]


def test_more_replicas_make_smaller_batches(result: SimulationResult) -> None:
    wider = simulate(COSTS, msgspec.structs.replace(_SYSTEM, message=8), LOAD)
    assert wider.shares["commits"] > result.shares["commits"]
    assert wider.costs["message"] > result.costs["message"]
    assert wider.latencies["delivery"].p50 < result.latencies["delivery"].p50


def test_as_many_replicas_own_chats_as_the_load_needs() -> None:
    one = simulate(COSTS, SimulatedSystem(edge=4, message=1, owner_cores=0.9), LOAD)
    eight = SimulatedSystem(edge=4, message=8, owner_cores=0.9)
    few, more = simulate(COSTS, eight, LOAD), simulate(COSTS, eight, msgspec.structs.replace(LOAD, rate=20_000.0))
    assert (one.owners, few.owners) == (1, 1)
    assert few.shares == one.shares
    assert 1 < more.owners < 8
    assert more.delivered == pytest.approx(more.offered, rel=0.1)
    assert more.uses["message"].mean * 8 <= more.owners * 0.9
    assert simulate(COSTS, msgspec.structs.replace(eight, owner_cores=0), LOAD).owners == 8


def test_a_part_that_cannot_do_its_work_is_busy_all_the_time() -> None:
    slow = COSTS._replace(stages={**STAGES, "valkey": msgspec.structs.replace(STAGES["valkey"], message=2_000.0)})
    flooded = simulate(slow, _SYSTEM, LOAD)
    assert flooded.bottleneck == "valkey"
    assert flooded.uses["valkey"].most == pytest.approx(1.0, abs=0.02)
    assert flooded.delivered < 0.7 * flooded.offered


def test_connections_and_logins_leave_less_for_messages(result: SimulationResult) -> None:
    crowded = simulate(COSTS, _SYSTEM, msgspec.structs.replace(LOAD, users=400_000))
    assert crowded.uses["edge"].mean > result.uses["edge"].mean + 0.4
    assert crowded.latencies["edge out"].p50 > result.latencies["edge out"].p50


def test_a_slice_has_its_share_of_each_part() -> None:
    part, slowness = sliced(SimulatedSystem(edge=100, message=20, nats=4, partitions=400), 10)
    assert (part.edge, part.message, part.nats, part.partitions) == (10, 2, 1, 40)
    assert slowness == pytest.approx({"edge": 1.0, "message": 1.0, "database": 10.0, "valkey": 10.0, "nats": 2.5})


def test_a_large_system_is_as_busy_as_a_small_one_with_its_share() -> None:
    """Four times the system with four times the load is as busy, although only a slice of it is simulated."""
    small = SimulatedSystem(edge=40, message=40, nats=20, valkey=4, database=4, partitions=4096)
    large = SimulatedSystem(edge=160, message=160, nats=80, valkey=16, database=16, partitions=4096)
    load = SimulatedLoad(users=0, rate=20_000.0)
    length = RunLength(messages=4_000)
    few = simulate(COSTS, small, load, length=length)
    many = simulate(COSTS, large, msgspec.structs.replace(load, rate=80_000.0), length=length)
    assert many.delivered == pytest.approx(4 * few.delivered, rel=0.05)
    for part in PARTS:
        assert many.uses[part].mean == pytest.approx(few.uses[part].mean, rel=0.1), part


def test_processes_on_the_same_cores_are_slower_and_share_more(result: SimulationResult) -> None:
    together = simulate(COSTS, msgspec.structs.replace(_SYSTEM, shared_cores=2), LOAD)
    assert together.latencies["delivery"].p50 > result.latencies["delivery"].p50
    assert together.shares["commits"] < result.shares["commits"]
