import pytest

from bench.simulation.stations import Clock, Station, SyncedLog


def test_events_happen_in_the_order_of_their_times_then_of_their_addition() -> None:
    clock, seen = Clock(), list[tuple[str, float]]()
    for time, name in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (4.0, "never")):
        clock.at(time, lambda name=name: seen.append((name, clock.now)))
    clock.run(3.0)
    assert seen == [("a", 1.0), ("b", 1.0), ("c", 2.0)]
    assert clock.now == 3.0


def test_a_core_serves_one_job_after_the_other() -> None:
    clock = Clock()
    station = Station(clock)
    assert [station.serve(1.0), station.serve(2.0)] == [1.0, 3.0]
    clock.run(2.0)
    assert station.busy() == 2.0
    clock.run(5.0)
    assert station.busy() == 3.0
    assert station.serve(1.0) == 6.0


def test_cores_serve_jobs_side_by_side() -> None:
    station = Station(Clock(), 2)
    assert [station.serve(2.0), station.serve(1.0), station.serve(1.0)] == [2.0, 1.0, 2.0]


def test_stations_on_shared_cores_wait_for_each_other() -> None:
    clock = Clock()
    machine = Station(clock)
    first, second = Station(clock, shared=machine), Station(clock, shared=machine)
    assert [first.serve(1.0), second.serve(1.0)] == [1.0, 2.0]
    assert [first.busy(), second.busy()] == [1.0, 1.0]


def test_commits_that_wait_for_a_sync_share_the_next_one() -> None:
    clock = Clock()
    log = SyncedLog(clock, 1.0)
    assert log.sync() == 1.0
    clock.run(0.5)
    assert [log.sync(), log.sync()] == [2.0, 2.0]
    clock.run(1.5)
    assert log.sync() == 3.0
    clock.run(9.0)
    assert log.sync() == pytest.approx(10.0)
