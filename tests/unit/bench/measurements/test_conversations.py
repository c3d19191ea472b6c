import pytest

from bench.load.plan import Load
from bench.measurements.conversations import ConversationOptions, group, pairs
from bench.report.progress import ProgressLine
from bench.system.system import MeasuredSystem

pytestmark = pytest.mark.xdist_group("bench")


_ALL = ["ourchat-v2", "pipe", "service", "ourchat-v1", "ourchat-v0"]


async def test_pairs_post_in_any_dialect(target: MeasuredSystem) -> None:
    result = await pairs(target, ProgressLine(), ConversationOptions(10, _ALL, 2), Load(150, 0.0, 0.5, window=2))
    assert result.passed, result
    assert result.measures["delivery"].count > 0
    assert result.figures["delivered/s"] > 0
    assert result.figures["cores of message"] >= 0
    assert any("20 messages are always in flight" in remark for remark in result.remarks)


async def test_a_group_in_open_loop(target: MeasuredSystem) -> None:
    result = await group(
        target, ProgressLine(), ConversationOptions(10, _ALL, 2, speakers=4), Load(150, 0.0, 1.0, rate=50)
    )
    assert result.passed, result
    assert result.measures["acknowledgement"].count == pytest.approx(50, abs=2)
    assert result.measures["delivery"].count == 9 * result.measures["acknowledgement"].count


async def test_a_group_in_closed_loop(target: MeasuredSystem) -> None:
    result = await group(
        target, ProgressLine(), ConversationOptions(6, ["ourchat-v2"], 1, speakers=3), Load(150, 0.0, 0.5, window=2)
    )
    assert result.passed, result
    assert result.measures["delivery"].count == 5 * result.measures["acknowledgement"].count
