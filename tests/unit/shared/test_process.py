"""Tests how a service runs as a process."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

import pytest

from shared.process import cancel_on
from tests.support.waiting import WAIT_SECONDS

_SERVICE = """
import gc
import resource
import sys
from shared.process import run
from shared.settings import Settings
from shared.errors import StartupError

async def serve(settings, stopping):
    if sys.argv[1] == "refuse":
        raise StartupError("it is not done", "first do this")
    if sys.argv[1] == "fail":
        raise ValueError("a bug")
    if sys.argv[1] == "limit":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        print("raised" if soft == hard else "low")
        return
    if sys.argv[1] == "collect":
        print("frozen" if gc.get_freeze_count() > 1000 and gc.get_threshold()[0] > 700 else "thawed")
        return
    print("serving", flush=True)
    await stopping.wait()

sys.exit(run("auth", Settings(), serve))
"""


def start(how: str) -> "subprocess.Popen[str]":
    """Starts the process with few file descriptors, as a shell does."""
    command = ["/bin/sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh", sys.executable, "-c", _SERVICE, how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(number: signal.Signals) -> None:
    with start("serve") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "serving\n"
        os.kill(process.pid, number)
        assert '"event": "stopped"' in process.stdout.read()
    assert process.returncode == 0


@pytest.mark.parametrize(("how", "logged", "traceback"), [("refuse", "first do this", False), ("fail", "a bug", True)])
def test_a_failure_is_logged(how: str, logged: str, traceback: bool) -> None:
    with start(how) as process:
        output, _ = process.communicate()
    assert process.returncode == 1
    assert logged in output
    assert ("Traceback" in output) is traceback


def test_the_limit_of_descriptors_is_raised() -> None:
    with start("limit") as process:
        output, _ = process.communicate()
    assert "raised" in output


def test_garbage_is_looked_for_seldom_and_not_in_what_was_imported() -> None:
    with start("collect") as process:
        output, _ = process.communicate()
    assert "frozen" in output


async def _forget_a_cancellation() -> None:
    """A library may do this when the awaited event happens at the same moment."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    await asyncio.sleep(60)


async def test_work_ends_when_it_is_time_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.tasks._AGAIN_SECONDS", 0.01)
    stopping = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, stopping.set)
    async with asyncio.timeout(WAIT_SECONDS):
        await cancel_on(stopping, _forget_a_cancellation())


async def test_what_the_work_raises_comes_through() -> None:
    async def fail() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await cancel_on(asyncio.Event(), fail())


async def test_the_caller_may_be_cancelled() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    waiting = asyncio.create_task(cancel_on(asyncio.Event(), work()))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
