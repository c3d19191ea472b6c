import pytest

from bench.measurements.reconnect_storm import ReconnectStormOptions, reconnect_storm
from bench.report.progress import ProgressLine
from bench.system.system import MeasuredSystem

pytestmark = pytest.mark.xdist_group("bench")

_STORM = ReconnectStormOptions(30, ["service", "pipe", "v2"], 2, at_once=8, seconds=30.0)


async def test_all_clients_reconnect_after_an_edge_has_died(target: MeasuredSystem) -> None:
    before = {one.pid for one in target.processes}
    result = await reconnect_storm(target, ProgressLine(), _STORM)
    assert result.passed, result
    assert result.measures["back"].count == 30
    assert len(result.generator) == 2
    assert min(result.generator) > 0
    assert result.figures["seconds until all had what they missed"] > 0
    assert len(before - {one.pid for one in target.processes}) == 1


async def test_all_clients_reconnect_after_all_edges_have_died(target: MeasuredSystem) -> None:
    before = {one.pid for one in target.processes}
    result = await reconnect_storm(target, ProgressLine(), _STORM._replace(all_edges=True))
    assert result.passed, result
    assert result.measures["back"].count == 30
    assert len(before - {one.pid for one in target.processes}) == len(target.edges)


async def test_without_a_process_the_clients_close_their_connections(target: MeasuredSystem) -> None:
    before = {one.pid for one in target.processes}
    result = await reconnect_storm(MeasuredSystem(target.edges), ProgressLine(), _STORM._replace(people=4))
    assert result.passed, result
    assert any("the clients aborted their connections" in remark for remark in result.remarks)
    assert before == {one.pid for one in target.processes}
