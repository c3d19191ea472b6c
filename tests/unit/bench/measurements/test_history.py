import pytest

from bench.measurements.conversations import HistoryOptions, history
from bench.report.progress import ProgressLine
from bench.system.system import MeasuredSystem

pytestmark = pytest.mark.xdist_group("bench")


@pytest.mark.parametrize("dialect", ["service", "native"])
async def test_pages_of_short_and_long_chats(target: MeasuredSystem, dialect: str) -> None:
    options = HistoryOptions(dialect, messages=500, chats=4, size=20, warm_up=0.0, seconds=0.3)
    result = await history(target, ProgressLine(), options)
    assert result.passed, result
    assert set(result.measures) == {"only chat", "long chat", "last chat"}
    assert {"p99 of long chat / only chat", "p99 of last chat / only chat"} <= set(result.figures)
