"""No child outlives the process that started it."""

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
def membership(request: pytest.FixtureRequest) -> str:
    """Whether members have sessions of their own or share a process group."""
    return str(request.param)


@contextmanager
def starter(how: str, membership: str) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    with subprocess.Popen(
        [sys.executable, "-c", _STARTER, how, membership], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, [int(pid) for pid in process.stdout.readline().split()]
        finally:
            process.kill()


@pytest.mark.parametrize("how", ["plain", "no watchdog"])
def test_children_end_when_their_starter_is_killed(how: str, membership: str) -> None:
    with starter(how, membership) as (process, pids):
        assert len(pids) == 2
        process.kill()
        until_gone(pids)


def test_stopped_children_end(membership: str) -> None:
    with starter("plain", membership) as (process, pids):
        os.kill(pids[0], signal.SIGSTOP)
        process.kill()
        until_gone(pids)


def test_close_ends_remaining_children(membership: str) -> None:
    with starter("close", membership) as (process, pids):
        until_gone(pids)
        assert process.poll() is None


def test_unrelated_process_is_spared(membership: str) -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as unrelated,
        starter("plain", membership) as (process, pids),
    ):
        process.kill()
        until_gone(pids)
        assert unrelated.poll() is None
        unrelated.kill()


def test_terminal_signals_do_not_reach_children(membership: str) -> None:
    with starter("plain", membership) as (process, pids):
        os.killpg(process.pid, signal.SIGWINCH)
        groups = [os.getpgid(pid) for pid in pids]
        assert process.pid not in groups
        assert len(set(groups)) == (2 if membership == "sessions" else 1)


def test_each_child_has_a_session_of_its_own() -> None:
    with starter("plain", "sessions") as (_, pids):
        assert [os.getsid(pid) for pid in pids] == pids
