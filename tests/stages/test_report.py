from pathlib import Path

from tests.stages.report import Results, store, stored, table


def test_results_are_shown_beside_the_stored_ones(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert stored(path) is None
    store(Results("this", {"one": 10.0, "two": 10.0, "three": 10.0}), path)
    shown = table(Results("this", {"one": 13.0, "two": 8.0, "three": 11.0, "new": 1.0}), stored(path)).splitlines()
    assert [line.split()[0:1] + line.split()[3:] for line in shown[1:]] == [
        ["one", "×1.30", "slower"],
        ["two", "×0.80", "faster"],
        ["three", "×1.10"],
        ["new"],
    ]


def test_another_machine_is_noted(tmp_path: Path) -> None:
    assert "stored on another machine: that" in table(Results("this", {}), Results("that", {}))
