from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from bench.capacity.arithmetic import Habits
from bench.capacity.tables import costs_table, limits_table, needs_table, read, supposed
from bench.cli import bench
from tests.unit.bench.capacity.samples import COSTS


def test_every_line_of_a_table_has_as_many_cells() -> None:
    tables = costs_table(COSTS).partition("\n\n")[2], needs_table(COSTS, Habits()), limits_table(COSTS, Habits())
    for table in tables:
        for part in table.split("\n\n"):
            assert len({line.count("|") for line in part.strip().splitlines()}) == 1


def test_remarks_are_shown() -> None:
    noted = msgspec.structs.replace(COSTS, remarks=["2 edges: others used 1.5 cores"])
    assert "Noted at 2 edges: others used 1.5 cores.\n" in costs_table(noted)


def test_the_command_computes_from_its_options(tmp_path: Path) -> None:
    file = tmp_path / "costs.json"
    file.write_bytes(msgspec.json.encode(COSTS))
    assume = ["--assume", "messages_per_minute=60"]
    result = CliRunner().invoke(bench, ["capacity", "--costs", str(file), "--users", "1234", *assume])
    assert result.exit_code == 0, result.output
    assert "| connected | 1,230 |" in result.output
    assert "| messages/s | 1,230 |" in result.output


@pytest.mark.parametrize("text", ["", "{}", '{"machine": 1}'])
def test_a_file_of_another_format_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "costs.json"
    file.write_text(text)
    with pytest.raises(click.ClickException, match="is not what"):
        read(file)


@pytest.mark.parametrize("wrong", ["busy", "busy=x", "lazy=1", "busy=0", "busy=nan"])
def test_an_unknown_assumption_is_an_error(wrong: str) -> None:
    with pytest.raises(click.ClickException, match="--assume takes"):
        supposed([wrong])
