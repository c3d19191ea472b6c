import pytest

from bench.load.verifier import Faults
from bench.measurements.changes import ChangesOptions, changes, merged
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.system.system import MeasuredSystem

pytestmark = pytest.mark.xdist_group("bench")


async def test_each_kind_of_operation_is_measured(target: MeasuredSystem) -> None:
    result = await changes(target, ProgressLine(), ChangesOptions(people=4, size=64, warm_up=0.0, seconds=0.5))
    assert result.passed, result
    kinds = {"send", "edit", "react", "read"}
    assert set(result.measures) == kinds
    assert {f"{kind}/s" for kind in kinds} <= set(result.figures)


def a_result(figures: dict[str, float], *, lost: int = 0) -> Result:
    return Result("one", "", "", {}, figures, {}, Faults(lost=lost), {}, [], [], passed=not lost)


def test_the_processor_time_of_an_operation_is_that_of_all_processes() -> None:
    edits = a_result({"edit/s": 200.0, "cores of edge-1": 0.1, "cores of message-1": 0.3})
    whole = merged([("send", a_result({"send/s": 100.0, "cores of edge-1": 0.1})), ("edit", edits)])
    assert (whole.figures["µs of the system for each send"], whole.figures["µs of the system for each edit"]) == (
        1000.0, 2000.0,
    )  # fmt: skip
    assert whole.passed


def test_one_kind_with_faults_fails_the_whole() -> None:
    whole = merged([("send", a_result({})), ("read", a_result({}, lost=1))])
    assert (whole.passed, whole.faults.lost) == (False, 1)
    assert whole.figures == {"send/s": 0.0, "read/s": 0.0}
