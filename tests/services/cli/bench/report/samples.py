"""Results as a report gets them."""

from services.cli.bench.checker import Faults
from services.cli.bench.histogram import Histogram
from services.cli.bench.result import Result, measure


def sample(faults: Faults, *, passed: bool) -> Result:
    histogram = Histogram()
    for value in (1_000, 2_000, 30_000):
        histogram.record(value)
    return Result(
        "pairs", "2026-01-01 00:00:00 UTC", "2 cores", {"people": 2}, {"delivered/s": 12_345.6},
        {"delivery": measure([(0, histogram), (1, histogram)])}, faults, {"<no>": 1}, [0.5],
        ["refused 1 times: <no>"], passed,
    )  # fmt: skip
