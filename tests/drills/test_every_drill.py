"""All drills: a line each, the worst status. The drills themselves are replaced by programs that end at once."""

import sys

import msgspec
import pytest

from tests.drills import every_drill
from tests.drills.every_drill import HEAD, Run, run_all

_PROGRAM = """
import pathlib, sys
status, figures, *option = sys.argv[1:]
if figures:
    pathlib.Path(option[1]).write_text(figures)
else:
    print("broken off")
sys.exit(int(status))
"""


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(every_drill, "_COMMAND", (sys.executable, "-c", _PROGRAM))


def run(name: str, status: int, lost: int = 0, *, figures: bool = True) -> Run:
    counts = {
        "invariants": {"I1 durability": lost, "I2 delivery": 1, "I2 once": 2}, "longest_wait_max_seconds": 3.25,
        "violations": ["I1 durability: gone"] * bool(lost), "doubts": [],
    }  # fmt: skip
    return Run(name, (str(status), msgspec.json.encode(counts).decode() if figures else ""))


@pytest.mark.parametrize(("statuses", "worst"), [((0, 0), 0), ((0, 2), 2), ((2, 1, 0), 1)])
def test_the_worst_status_counts(statuses: tuple[int, ...], worst: int) -> None:
    lines: list[str] = []
    assert run_all(lines.append, [run(str(number), status) for number, status in enumerate(statuses)]) == worst
    assert len(lines) == len(statuses)


def test_a_line_has_the_figures_and_violations_follow() -> None:
    lines: list[str] = []
    run_all(lines.append, [run("kill", 1, lost=4)])
    name, result, _, *figures = lines[0].split()
    assert [name, result, *figures] == ["kill", "VIOLATED", "3.2", "s", "5", "2"]
    assert lines[1].split() == ["I1", "durability:", "gone"]
    assert len(lines[0]) == len(HEAD)


def test_a_drill_that_breaks_off_proves_nothing() -> None:
    lines: list[str] = []
    assert run_all(lines.append, [run("kill", 1, figures=False)]) == 2
    assert "INCONCLUSIVE" in lines[0]
    assert lines[1].strip() == "broken off"
