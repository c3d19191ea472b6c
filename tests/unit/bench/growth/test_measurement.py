import os
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from bench.cli import bench
from bench.growth.measurement import AXES, GrowthStack, RunOptions
from bench.growth.result import Growth, point
from bench.report.progress import ProgressLine
from bench.system.seeding import Seeder
from bench.system.system import MeasuredSystem
from tests.support.servers import PostgresServer

pytestmark = pytest.mark.xdist_group("bench")

_EFFORT = RunOptions(0.6, 0.0, 0.2, rate=100, deliveries=2_000, size=150, processes=1, dialects=["pipe", "service"])


@pytest.mark.parametrize("name", AXES)
async def test_a_point_of_each_axis(target: MeasuredSystem, name: str) -> None:
    assert target.installation is not None
    stack = GrowthStack(target, Seeder(target.installation), ProgressLine(), _EFFORT)
    axis = AXES[name]
    x = axis.quick[-1]
    result = await stack.measure(axis, x)
    assert result.passed, result
    assert not result.refusals
    found = point(x, result)
    assert {"auth", "edge", "message", "nats", "session", "valkey"} <= set(found.parts)
    assert found.cost == pytest.approx(sum(found.parts.values()), abs=0.1)
    assert "µs of a login in edge-1" in found.figures
    shared = [found.figures[f"{name} of a message"] for name in ("requests", "commits", "delivery batches")]
    assert any(shared)  # on a stalled machine, all messages may be posted in one batch while the counters are read
    assert found.figures["commits of a message"] <= 1


def test_the_command_offers_every_axis() -> None:
    command = bench.get_command(click.Context(bench), "growth")
    assert command is not None
    (axes,) = [one.type for one in command.params if one.name == "axes"]
    assert isinstance(axes, click.Choice)
    assert list(axes.choices) == list(AXES)


def test_the_command_starts_a_system_for_each_number_of_edges(tmp_path: Path) -> None:
    json = tmp_path / "growth.json"
    chosen = ["--quick", "--axis", "edges", "--value", "1", "--rate", "50", "--json", str(json)]
    result = CliRunner().invoke(bench, ["growth", *chosen])
    assert result.exit_code == 0, result.output
    assert "PASSED" in result.output
    (grown,) = msgspec.json.decode(json.read_bytes(), type=list[Growth])
    assert [found.x for found in grown.points] == [1]
    assert not any("edge-2" in name for name in grown.points[0].figures)


def test_replicas_run_on_postgresql_and_its_cost_is_counted(
    tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(postgres_server.tools), prepend=os.pathsep)
    json = tmp_path / "growth.json"
    chosen = ["--quick", "--axis", "scale", "--value", "2", "--rate", "200", "--json", str(json)]
    result = CliRunner().invoke(bench, ["growth", *chosen])
    assert result.exit_code == 0, result.output
    (grown,) = msgspec.json.decode(json.read_bytes(), type=list[Growth])
    (found,) = grown.points
    assert "database" in found.parts  # it may be 0, if PostgreSQL was vacuuming in the rest before
    assert found.figures["cores of database"] > 0
    assert {"cores of message-2", "cores of edge-2"} <= set(found.figures)
