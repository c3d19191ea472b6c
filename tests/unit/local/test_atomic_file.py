"""Tests files that are written completely or not at all."""

import os
import stat
from pathlib import Path

import pytest

from local.atomic_file import write_output, write_private


def test_output_does_not_replace_a_pipe_or_a_link(tmp_path: Path) -> None:
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    link.symlink_to(target)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_output(pipe, b"secret")
    assert os.read(reader, 100) == b"secret"
    os.close(reader)
    write_output(link, b"secret")
    assert (pipe.is_fifo(), link.is_symlink(), target.read_bytes()) == (True, True, b"secret")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_an_interrupted_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        assert os.fstat(descriptor).st_size == 3, "it waits for the disk when everything is written"
        raise KeyboardInterrupt

    file = tmp_path / "secret"
    write_private(file, b"old")
    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_private(file, b"new")
    assert ([*tmp_path.iterdir()], file.read_bytes()) == ([file], b"old")
