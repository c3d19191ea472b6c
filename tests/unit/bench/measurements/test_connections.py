import pytest

from bench.measurements.connections import (
    ConnectOptions,
    IdleOptions,
    ReconnectStormOptions,
    connect,
    idle,
    reconnect_storm,
)
from bench.report.progress import ProgressLine
from bench.system.system import MeasuredSystem
from dragoman_client.errors import Unreachable

pytestmark = pytest.mark.xdist_group("bench")


async def test_memory_of_idle_connections(target: MeasuredSystem) -> None:
    result = await idle(target, ProgressLine(), IdleOptions(100, 10, ["service", "pipe"], 2, at_once=8, seconds=0.2))
    assert result.passed, result
    assert result.figures["connections"] == 100
    assert "KiB of edges per connection" in result.figures
    assert result.figures["MiB of the whole system"] > result.figures["MiB of edge-1"] > 0
    assert "cores of the whole system" in result.figures, "0 if all processes have used less than a tick meanwhile"


async def test_unknown_processes_are_noted(target: MeasuredSystem) -> None:
    result = await idle(
        MeasuredSystem(target.edges), ProgressLine(), IdleOptions(2, 2, ["pipe"], 1, at_once=2, seconds=0.1)
    )
    assert "KiB of edges per connection" not in result.figures
    assert any("memory is unknown" in remark for remark in result.remarks)


@pytest.mark.parametrize(
    ("rate", "seconds", "dialects"),
    [(0.0, 0.3, ["service", "pipe"]), (20.0, 1.0, ["ourchat-v2", "ourchat-v1", "ourchat-v0"])],
)
async def test_all_connections_are_accepted(
    target: MeasuredSystem, rate: float, seconds: float, dialects: list[str]
) -> None:
    result = await connect(target, ProgressLine(), ConnectOptions(12, dialects, 2, 4, rate, 0.0, seconds))
    assert result.passed, result
    assert not result.refusals
    logins = result.measures["login"].count
    assert logins == pytest.approx(20, abs=1) if rate else logins > 0
    assert result.figures["logins/s of an edge"] == pytest.approx(result.figures["logins/s"] / 2, abs=0.1)


async def test_an_absent_server_is_reported() -> None:
    with pytest.raises(Unreachable, match="cannot be reached"):
        await connect(
            MeasuredSystem(["ws://127.0.0.1:9"]), ProgressLine(), ConnectOptions(2, ["pipe"], 1, 1, 0.0, 0.0, 1.0)
        )


_STORM = ReconnectStormOptions(30, ["service", "pipe", "ourchat-v2"], 2, at_once=8, seconds=30.0)


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
