import pytest

from bench.measurements.idle import IdleOptions, idle
from bench.report.progress import ProgressLine
from bench.system.system import MeasuredSystem

pytestmark = pytest.mark.xdist_group("bench")


async def test_memory_of_idle_connections(target: MeasuredSystem) -> None:
    result = await idle(target, ProgressLine(), IdleOptions(100, 10, ["service", "pipe"], 2, at_once=8, seconds=0.2))
    assert result.passed, result
    assert result.figures["connections"] == 100
    assert "KiB of edges per connection" in result.figures


async def test_unknown_processes_are_noted(target: MeasuredSystem) -> None:
    result = await idle(
        MeasuredSystem(target.edges), ProgressLine(), IdleOptions(2, 2, ["pipe"], 1, at_once=2, seconds=0.1)
    )
    assert "KiB of edges per connection" not in result.figures
    assert any("memory is unknown" in remark for remark in result.remarks)
