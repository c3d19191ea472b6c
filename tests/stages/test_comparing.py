"""Tests the figures of two checkouts that are measured at the same time."""

from pathlib import Path

import msgspec
import pytest

from bench.load.verifier import Faults
from bench.report.result import Measure, Result
from tests.stages.comparing import costs, measure, speeds, table

_FIGURES = {"delivered/s": 1_000.0, "cores of edge-1": 0.02}


def test_the_costs_of_replicas_are_added() -> None:
    figures = {"delivered/s": 1_000.0, "cores of edge-1": 0.02, "cores of edge-2": 0.01, "cores of message": 0.05,
               "cores used by others": 1.0}  # fmt: skip
    found = costs(Result("pairs", "", "", {}, figures, {}, Faults(), {}, [], [], passed=True))
    assert found == pytest.approx({"edge": 30.0, "message": 50.0, "all": 80.0})


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    """In the second round, the machine was slow for both checkouts."""
    rounds = [({"edge": 20.0}, {"edge": 22.0}), ({"edge": 40.0}, {"edge": 42.0}), ({"edge": 20.0}, {"edge": 30.0})]
    assert table(rounds).splitlines()[1].split() == ["edge", "20.0", "30.0", "1.100", "1.10", "1.05", "1.50"]


def test_turns_compare_latency_and_rate() -> None:
    latency = {"delivery": Measure(9, 1_800, 2_000, 4_700, 5_000, 6_000, [])}
    found = speeds(Result("pairs", "", "", {}, _FIGURES, latency, Faults(), {}, [], [], passed=True))
    assert found == {
        "delivery p50": 1_800, "delivery p90": 2_000, "delivery p99": 4_700, "delivered/s": 1_000.0,
    }  # fmt: skip


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_each_checkout_is_measured_in_its_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`./dev` of a checkout is not started, because it may replace the checkout's environment."""
    monkeypatch.setenv("PYTHONPATH", "modules of this checkout")
    result = msgspec.json.encode([Result("pairs", "", "", {}, _FIGURES, {}, Faults(), {}, [], [], passed=True)])
    checkouts = [tmp_path / "here", tmp_path / "there"]
    for checkout, compiled in zip(checkouts, ("", "/compiled"), strict=True):
        programs = checkout / ".venv" / "bin"
        programs.mkdir(parents=True)
        (checkout / "result.json").write_bytes(result)
        program(checkout / "dev", "touch replaced")
        program(programs / "python", f"echo {compiled}")
        program(
            programs / "dragoman", 'echo "$PYTHONPATH" "$@" > started; for file; do :; done; cp result.json "$file"'
        )
    results = measure([(checkout, ["pairs", str(number)]) for number, checkout in enumerate(checkouts)])
    assert [costs(result) for result in results] == [{"edge": 20.0, "all": 20.0}] * 2
    assert not [checkout for checkout in checkouts if (checkout / "replaced").exists()]
    started = [(checkout / "started").read_text().split() for checkout in checkouts]
    assert [line[: line.index("--json")] for line in started] == [
        ["bench", "pairs", "0"],
        ["/compiled", "bench", "pairs", "1"],
    ]
