"""Runs all drills except `soak`, `citus` and `broken`, one after the other, and prints a line for each."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tests.drills.report import RESULTS
from tests.support.commands import ROOT

_COMMAND = (sys.executable, "-m", "tests.drills")
_LOST, _DOUBLED = ("I1 durability", "I2 delivery"), ("I2 once",)


class Run(NamedTuple):
    """The arguments of one drill when all drills run. If it has no figures, only the exit status counts."""

    name: str
    arguments: tuple[str, ...]
    has_figures: bool = True


RUNS = (
    Run("kill", ("kill", "--seconds", "60", "--every", "5")),
    Run("kill, PostgreSQL", ("kill", "--seconds", "20", "--database", "postgresql")),
    Run("clock", ("kill", "--seconds", "8", "--only", "--clock", "message=3600")),
    Run("clock set", ("kill", "--seconds", "8", "--only", "--clock", "auth,session,message,edge=3600@8")),
    Run("audit", ("audit",)),
    Run("members", ("members",)),
    Run("scale", ("scale", "--seconds", "60")),
    Run("scale, PostgreSQL", ("scale", "--seconds", "60", "--database", "postgresql")),
    Run("broker", ("broker",)),
    Run("database", ("database",)),
    Run("partition", ("partition", "--seconds", "15")),
    Run("network", ("network", "--seconds", "6")),
    Run("half-open", ("half-open",)),
    Run("fuzz", ("fuzz",)),
    Run("storm", ("storm",)),
    Run("storm, all edges", ("storm", "--all-edges")),
    Run("absence", ("absence",)),
    Run("machine", ("machine", "--seconds", "60"), has_figures=False),
)
HEAD = f"{'drill':<18}{'result':<14}{'seconds':>8}{'longest wait':>14}{'lost':>6}{'doubled':>9}"


def run_all(report: Callable[[str], None], runs: Sequence[Run] = RUNS) -> int:
    """Returns the worst exit status. Failed is worse than inconclusive, and inconclusive is worse than passed."""
    statuses = [_carry_out(run, report) for run in runs]
    return min((status for status in statuses if status), default=0)


def _carry_out(run: Run, report: Callable[[str], None]) -> int:
    """Runs one drill. A drill that ends early is inconclusive."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "figures.json")
        more = ("--json", str(file)) if run.has_figures else ()
        done = subprocess.run([*_COMMAND, *run.arguments, *more], cwd=ROOT, capture_output=True, text=True, check=False)
        figures = msgspec.json.decode(file.read_bytes()) if file.exists() else None
    status = done.returncode if figures is not None or not run.has_figures else 2
    report(line(run.name, status, time.monotonic() - began, figures))
    if status:
        found = (
            [*figures["violations"], *figures["doubts"]] if figures else (done.stdout + done.stderr).splitlines()[-3:]
        )
        for text in found[:5]:
            report(f"    {text[:160]}")
    return status


def line(name: str, status: int, seconds: float, figures: dict[str, Any] | None) -> str:
    result = RESULTS[status] if status < len(RESULTS) else RESULTS[-1]
    text = f"{name:<18}{result:<14}{seconds:>8.0f}"
    if figures is None:
        return text
    counts = figures["invariants"]
    lost, doubled = (sum(counts.get(invariant, 0) for invariant in names) for names in (_LOST, _DOUBLED))
    return f"{text}{figures['longest_wait_max_seconds']:>12.1f} s{lost:>6}{doubled:>9}"
