"""Nobody outlives whoever started it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.processes import until_gone

_STARTER = """
import subprocess, sys, time
from services.cli import process_group as module
module._HAVE_SESSIONS = sys.argv[2] == "sessions"
group = module.ProcessGroup()
if sys.argv[1] == "no watchdog":
    group._watchdog.kill()
    group._watchdog.wait()
children = [subprocess.Popen(["sleep", "1000"], **group.spawn_options) for _ in range(2)]
print(*[child.pid for child in children], flush=True)
if sys.argv[1] == "close":
    group.close()
time.sleep(1000)
"""


@pytest.fixture(params=["sessions", "group"])
def bond(request: pytest.FixtureRequest) -> str:
    """How its members belong to a family."""
    return str(request.param)


@contextmanager
def starter(how: str, bond: str) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    with subprocess.Popen(
        [sys.executable, "-c", _STARTER, how, bond], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, [int(pid) for pid in process.stdout.readline().split()]
        finally:
            process.kill()


@pytest.mark.parametrize("how", ["plain", "no watchdog"])
def test_children_end_when_their_starter_is_killed(how: str, bond: str) -> None:
    with starter(how, bond) as (process, pids):
        assert len(pids) == 2
        process.kill()
        until_gone(pids)


def test_stopped_children_end_too(bond: str) -> None:
    with starter("plain", bond) as (process, pids):
        os.kill(pids[0], signal.SIGSTOP)
        process.kill()
        until_gone(pids)


def test_closing_ends_whoever_is_left(bond: str) -> None:
    with starter("close", bond) as (process, pids):
        until_gone(pids)
        assert process.poll() is None


def test_a_stranger_is_left_alone(bond: str) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger,
        starter("plain", bond) as (process, pids),
    ):
        process.kill()
        until_gone(pids)
        assert stranger.poll() is None
        stranger.kill()


def test_a_key_pressed_for_the_starter_is_not_for_the_children(bond: str) -> None:
    with starter("plain", bond) as (process, pids):
        os.killpg(process.pid, signal.SIGWINCH)
        groups = [os.getpgid(pid) for pid in pids]
        assert process.pid not in groups
        assert len(set(groups)) == (2 if bond == "sessions" else 1)


def test_the_kernel_shares_out_its_cores_among_the_children() -> None:
    with starter("plain", "sessions") as (_, pids):
        assert [os.getsid(pid) for pid in pids] == pids
