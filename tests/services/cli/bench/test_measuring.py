import time

from services.cli.bench.measuring import Stopwatch
from services.cli.bench.target import Target


class _Still(Target):
    def cpu(self) -> dict[str, float]:
        return {"edge-1": time.monotonic() / 2}


def _watched(target: Target, start: float, end: float) -> Stopwatch:
    watch = Stopwatch(target, start, end)
    for _ in range(2):
        watch.look()
        time.sleep(0.1)
    return watch


def test_processor_time_is_told_in_cores() -> None:
    watch = _watched(_Still([]), 0, time.monotonic() + 60)
    assert watch.cores()["edge-1"] == 0.5
    assert watch.others(0) is not None
    assert watch.others(1_000) == 0


def test_before_and_after_the_measurement_nothing_is_looked_at() -> None:
    assert _watched(_Still([]), 0, 1).cores() == {}


def test_of_unknown_processes_nothing_is_said() -> None:
    assert _watched(Target([]), 0, time.monotonic() + 60).others(0) is None
