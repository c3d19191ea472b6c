"""No child process continues to run after the process that started it has ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local import watchdog
from tests.support.commands import ROOT
from tests.support.processes import until_gone

_STARTER = """
import subprocess, sys, time
from local import process_group as module
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

_MEMBER = """
import os, signal, sys, time
def write(text):
    os.write(1, text.encode() + b"\\n")
def end(*_):
    if sys.argv[1] == "stays":
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a group member receives it twice
    time.sleep(0.5 if sys.argv[1] == "first" else 0)
    write(sys.argv[1])
    sys.exit()
signal.signal(signal.SIGTERM, end)
write("ready")
while True:
    time.sleep(1000)
"""
_STARTER_OF_FIRST = """
import os, subprocess, sys, time
from local import process_group as module
module._HAVE_SESSIONS = sys.argv[1] == "sessions"
module.watchdog.__file__ = sys.argv[2]
group = module.ProcessGroup()
names = sys.argv[4:]
children = [subprocess.Popen([sys.executable, "-c", sys.argv[3], name], **group.spawn_options) for name in names]
group.end_first([child.pid for child in children])
group.end_first([children[0].pid, 2 ** 22 + 1])
group._watchdog.kill()
group._watchdog.wait()
group.end_first([children[0].pid, 2 ** 22 + 1])
group.ensure_watchdog()
line = " ".join(str(child.pid) for child in children)
os.write(1, line.encode() + b"\\n")  # in one piece: the children write to the same pipe
time.sleep(1000)
"""
_HASTY_WATCHDOG = """
import sys
sys.path.insert(0, {root!r})
from local import watchdog
watchdog.FIRST_SECONDS, watchdog.GRACE_SECONDS = 0.3, 4.0
watchdog.watch(int(sys.argv[1]))
"""


@pytest.fixture(params=["sessions", "group"])
def membership(request: pytest.FixtureRequest) -> str:
    """Whether each process of the group has its own process session, or all share one process group."""
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


@contextmanager
def starter_of_first(
    script: Path | str, membership: str, *names: str
) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """The member that started first ends first, although its watchdog was replaced. Yields when all members run."""
    command = [sys.executable, "-c", _STARTER_OF_FIRST, membership, str(script), _MEMBER, *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(len(names) + 1)]
            yield process, [int(pid) for line in lines if line != "ready\n" for pid in line.split()]
        finally:
            process.kill()


def test_some_children_end_before_the_others(membership: str) -> None:
    with starter_of_first(watchdog.__file__, membership, "first", "second") as (process, pids):
        process.kill()
        assert process.stdout is not None
        assert process.stdout.read().split() == ["first", "second"]
        until_gone(pids)


def test_a_first_child_that_does_not_end_is_killed_in_time(membership: str, tmp_path: Path) -> None:
    script = tmp_path / "watchdog.py"
    script.write_text(_HASTY_WATCHDOG.format(root=str(ROOT)))
    with starter_of_first(script, membership, "stays", "second") as (process, pids):
        process.kill()
        assert process.stdout is not None
        assert process.stdout.read().split() == ["second"]
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
