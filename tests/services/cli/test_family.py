"""Nobody outlives whoever started it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.processes import until_gone

_STARTER = """
import subprocess, sys, time
from services.cli.family import Family
family = Family()
if sys.argv[1] == "heal":
    family._guard.kill()
    family._guard.wait()
children = [subprocess.Popen(["sleep", "1000"], **family.belonging) for _ in range(2)]
print(*[child.pid for child in children], flush=True)
if sys.argv[1] == "close":
    family.close()
time.sleep(1000)
"""


@contextmanager
def starter(how: str) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    with subprocess.Popen(
        [sys.executable, "-c", _STARTER, how], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, [int(pid) for pid in process.stdout.readline().split()]
        finally:
            process.kill()


@pytest.mark.parametrize("how", ["plain", "heal"])
def test_children_end_when_their_starter_is_killed(how: str) -> None:
    with starter(how) as (process, pids):
        assert len(pids) == 2
        process.kill()
        until_gone(pids)


def test_stopped_children_end_too() -> None:
    with starter("plain") as (process, pids):
        os.kill(pids[0], signal.SIGSTOP)
        process.kill()
        until_gone(pids)


def test_closing_ends_whoever_is_left() -> None:
    with starter("close") as (process, pids):
        until_gone(pids)
        assert process.poll() is None


def test_a_key_pressed_for_the_starter_is_not_for_the_children() -> None:
    with starter("plain") as (process, pids):
        os.killpg(process.pid, signal.SIGWINCH)
        assert [os.getpgid(pid) for pid in pids] != [process.pid] * 2
        assert len({os.getpgid(pid) for pid in pids}) == 1
