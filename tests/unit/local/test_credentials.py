"""Tests the files of credentials, and of other secrets that a command writes."""

import os
import stat
from pathlib import Path

import pytest

from local.credentials import load_or_make, write_output
from local.options import OperatorError


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


def test_damaged_credentials_have_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    file.write_bytes(b"{")
    with pytest.raises(OperatorError, match=f"{file} is damaged: .* Remove it"):
        load_or_make(file)
