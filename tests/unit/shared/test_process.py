"""Tests how a service runs as a process."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

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


_IMPORT = """
import sys
from pathlib import Path
from shared.process import prefer_sources

directory, *preferred = map(Path, sys.argv[1:])
sys.path.append(str(directory))
import product.early
prefer_sources(*preferred)
import product.late
print(product.late.__file__)
"""


def test_a_source_is_preferred_to_its_compiled_module(tmp_path: Path) -> None:
    product, other = tmp_path / "product", tmp_path / "other"
    product.mkdir()
    for name in ("__init__.py", "early.py", "late.py"):
        (product / name).touch()
    compiled = product / f"late{EXTENSION_SUFFIXES[0]}"
    compiled.write_bytes(b"not a library")

    def run(*preferred: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", _IMPORT, str(tmp_path), *map(str, preferred)]
        return subprocess.run(command, capture_output=True, text=True)

    assert run(other, product).stdout == f"{product / 'late.py'}\n"
    assert compiled.name in run(other).stderr


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
