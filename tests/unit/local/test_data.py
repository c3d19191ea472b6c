import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local import data
from local.data import Run, RunningProcess, locked, prepare, read_run, write_run
from local.options import OperatorError
from tests.support.small_disk import small_disk

RUN = Run(os.getpid(), "nats://127.0.0.1:4222", True, [RunningProcess("edge-1", 7, 9000, 8080)])


def test_run_is_found_until_its_supervisor_ends(tmp_path: Path) -> None:
    assert read_run(tmp_path / "nowhere") is None
    write_run(tmp_path, RUN)
    assert read_run(tmp_path) == RUN
    assert stat.S_IMODE(data.run_file(tmp_path).stat().st_mode) == 0o600
    over = subprocess.Popen([sys.executable, "-c", ""])
    over.wait()
    write_run(tmp_path, Run(over.pid, "", True, []))
    assert read_run(tmp_path) is None


def test_a_damaged_run_is_none(tmp_path: Path) -> None:
    data.run_file(tmp_path).write_bytes(b"")
    assert read_run(tmp_path) is None


def test_lock_allows_one_run(tmp_path: Path) -> None:
    write_run(tmp_path, RUN)
    with locked(tmp_path):
        with pytest.raises(OperatorError, match="in use by another `dragoman up`"):
            with locked(tmp_path):
                pytest.fail("two runs at once")
    with locked(tmp_path):
        pass


def test_lock_waits_for_children_of_a_killed_run(tmp_path: Path) -> None:
    with locked(tmp_path) as descriptor:
        remnant = subprocess.Popen(["sleep", "0.5"], pass_fds=(descriptor,))  # noqa: S607
    started = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - started > 0.2
    remnant.wait()


def test_lock_fails_if_children_never_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_REMNANTS_SECONDS", 0.1)
    with locked(tmp_path):
        with pytest.raises(OperatorError, match="in use"):
            with locked(tmp_path):
                pytest.fail("two runs at once")


def test_directories_are_private(tmp_path: Path) -> None:
    prepare(tmp_path / "da ta", "nats", "valkey")
    assert {stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "da ta", *(tmp_path / "da ta").iterdir()]} == {
        0o700
    }


def test_error_names_the_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="file cannot be created: File exists"):
        prepare(tmp_path / "file")
    with pytest.raises(OperatorError, match="inside cannot be created: Not a directory"):
        prepare(tmp_path / "file" / "inside")


def test_a_description_that_does_not_fit_leaves_the_former_one(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        write_run(disk.path, RUN)
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            write_run(disk.path, Run(os.getpid(), "nats://127.0.0.1:1", True, []))
        assert read_run(disk.path) == RUN
        assert sorted(path.name for path in disk.path.iterdir()) == ["ballast", "run.json"]
