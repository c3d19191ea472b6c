"""The command, its tables, and the comparison with measured runs."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from bench.cli import bench
from bench.load.histogram import Histogram
from bench.load.verifier import Faults
from bench.measurement.result import Result, measure
from bench.report.simulation import growth_costs_table, plots, tables
from bench.simulation.comparison import compared
from bench.simulation.options import PARTS
from bench.simulation.study import Study
from tests.unit.bench.capacity.samples import COSTS as MEASURED
from tests.unit.bench.report.samples import sample
from tests.unit.bench.simulation.samples import COSTS, growth


def _run() -> Result:
    """Pairs on two edges and two replicas."""
    result = sample(Faults(), passed=True)
    histogram = Histogram()
    histogram.record(5_000)
    processes = ("edge-1", "edge-2", "message", "message-2", "nats", "valkey", "database")
    result.figures = {f"µs of a message in {name}": 100.0 for name in processes}
    result.figures |= {f"{name} of a message": 0.5 for name in ("requests", "commits", "envelopes")}
    result.figures |= {"acknowledged/s": 500.0, "cores used by others": 0.5}
    result.measures = {"delivery": measure([(0, histogram)])}
    result.refusals = {}
    return result


def test_a_measured_run_is_beside_its_simulation() -> None:
    found = compared(_run(), COSTS, 2, seed=1)
    assert found.run == "500 messages/s, 2 edges, 2 of message"
    assert found.others == pytest.approx(0.5), "others used half a core, and the generator another half, of two"
    assert found.values["µs in edge"][0] == 200.0
    assert found.values["µs in all of these"][1] == pytest.approx(sum(found.values[f"µs in {one}"][1] for one in PARTS))
    assert all(simulated > 0 for _, simulated in found.values.values())


def test_only_a_sound_run_of_pairs_is_compared() -> None:
    lost, sqlite, rejecting = _run(), _run(), _run()
    lost.passed = False
    del sqlite.figures["µs of a message in database"]
    rejecting.refusals = {"too much": 1}
    for run in (lost, sqlite, rejecting):
        with pytest.raises(ValueError, match="run"):
            compared(run, COSTS, 2, seed=1)


def test_the_command_is_deterministic(tmp_path: Path) -> None:
    costs, grown, run = tmp_path / "costs.json", tmp_path / "growth.json", tmp_path / "run.json"
    costs.write_bytes(msgspec.json.encode(MEASURED))
    grown.write_bytes(msgspec.json.encode([growth()]))
    run.write_bytes(msgspec.json.encode([_run()]))
    chosen = ["simulate", "--costs", str(costs), "--growth", str(grown), "--compare", str(run), "--users", "9000"]
    studies = []
    for number in range(2):
        json, html = tmp_path / f"{number}.json", tmp_path / f"{number}.html"
        result = CliRunner().invoke(bench, [*chosen, "--json", str(json), "--html", str(html)])
        assert result.exit_code == 0, result.output
        assert "9,000 users" in result.output
        studies.append(json.read_bytes())
    assert studies[0] == studies[1]
    found = msgspec.json.decode(studies[0], type=Study)
    for table in [*re.split("\n\n+", tables(found)), growth_costs_table(growth())]:
        assert len({line.count("|") for line in table.strip().splitlines()}) == 1, table
    for drawn in plots(found.growths[0]).values():
        lines = [one for one in ElementTree.fromstring(drawn) if one.tag.endswith("polyline")]  # noqa: S314
        assert lines
    assert (tmp_path / "0.html").read_text().count("<svg") == len(plots(found.growths[0]))


def test_measurements_that_do_not_suffice_are_an_error(tmp_path: Path) -> None:
    costs, grown = tmp_path / "costs.json", tmp_path / "growth.json"
    costs.write_bytes(msgspec.json.encode(MEASURED))
    grown.write_bytes(b"[]")
    result = CliRunner().invoke(bench, ["simulate", "--costs", str(costs), "--growth", str(grown)])
    assert result.exit_code == 1
    assert "the measurements cannot be used: too few points" in result.output
