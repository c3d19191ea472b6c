"""Tests the supervisor with child processes that die, reject their settings, or ignore signals."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from local.output import Output
from local.process_group import ProcessGroup
from local.supervisor import Check, Child, CrashLoop, Program


class RecordedOutput(Output):
    """An output that records the children's lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.written = asyncio.Event()

    def of(self, name: str, line: bytes) -> None:
        self.lines.append(f"{name}: {line.decode()}")
        self.written.set()

    async def until(self, text: str) -> None:
        while not any(text in line for line in self.lines):
            self.written.clear()
            await self.written.wait()


@pytest.fixture
def process_group() -> Iterator[ProcessGroup]:
    with ProcessGroup() as family:
        yield family


@pytest.fixture
def output() -> RecordedOutput:
    return RecordedOutput()


async def at_once() -> bool:
    return True


def program(code: str, *, check: Check = at_once, stop_seconds: float = 5.0, hides: tuple[bytes, ...] = ()) -> Program:
    return Program("child", [sys.executable, "-u", "-c", code], check, stop_seconds=stop_seconds, hides=hides)


@asynccontextmanager
async def running(child: Child) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.ensure_future(child.run())
    try:
        yield task
    finally:
        await child.stop()
        with suppress(CrashLoop):
            await task


async def test_killed_child_is_restarted(process_group: ProcessGroup, output: RecordedOutput) -> None:
    changes = []
    child = Child(program("import time; time.sleep(1000)"), process_group, output, lambda: changes.append(1))
    async with running(child):
        await child.ready.wait()
        first = child.pid
        os.kill(first, signal.SIGKILL)
        await output.until("ended (SIGKILL), restarts in 0.1 s")
        assert not child.ready.is_set()
        await child.ready.wait()
        assert child.pid not in (0, first)
    assert len(changes) == 2


async def test_a_restart_ends_the_process_and_starts_it_again(
    process_group: ProcessGroup, output: RecordedOutput
) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(1000)"
    child = Child(program(code), process_group, output, lambda: None)
    async with running(child):
        await output.until("deaf")
        first = child.pid
        await child.end(0.1)
        await output.until("ended (SIGKILL), restarts in 0.1 s")
        await child.ready.wait()
        assert child.pid not in (0, first)
        child.kill()


async def test_a_child_that_was_ready_and_cannot_be_started_is_tried_again(
    process_group: ProcessGroup, output: RecordedOutput, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.symlink_to(sys.executable)
    started = Program("child", [str(script), "-c", "import time; time.sleep(1000)"], at_once)
    child = Child(started, process_group, output, lambda: None)
    async with running(child):
        await child.ready.wait()
        script.unlink()
        os.kill(child.pid, signal.SIGKILL)
        await output.until("cannot be started: No such file or directory")
        script.symlink_to(sys.executable)
        await child.ready.wait()


async def test_restart_pauses_grow(process_group: ProcessGroup, output: RecordedOutput) -> None:
    child = Child(program("import time; time.sleep(0.05)"), process_group, output, lambda: None)
    async with running(child):
        for pause in ("0.1", "0.2", "0.4"):
            await output.until(f"ended (exit status 0), restarts in {pause} s")


async def test_repeated_failure_is_a_crash_loop(process_group: ProcessGroup, output: RecordedOutput) -> None:
    async def never() -> bool:
        return False

    child = Child(program("raise SystemExit(7)", check=never), process_group, output, lambda: None)
    async with running(child) as task:
        with pytest.raises(CrashLoop, match=r"child does not start \(exit status 7\)"):
            await task


async def test_wrong_settings_are_a_crash_loop_at_once(process_group: ProcessGroup, output: RecordedOutput) -> None:
    async def never() -> bool:
        return False

    child = Child(
        program("print('port is wrong'); raise SystemExit(2)", check=never), process_group, output, lambda: None
    )
    async with running(child) as task:
        with pytest.raises(CrashLoop, match="exit status 2"):
            await task
    assert output.lines == ["child: port is wrong"]


async def test_child_that_ignores_sigterm_is_killed(process_group: ProcessGroup, output: RecordedOutput) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(1000)"
    child = Child(program(code, stop_seconds=0.2), process_group, output, lambda: None)
    async with running(child) as task:
        await output.until("deaf")
        await child.stop()
        await task
    assert output.lines[-1] == "child: the process did not end in time: killed"


async def test_stopped_child_ends_in_order(process_group: ProcessGroup, output: RecordedOutput) -> None:
    code = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit('bye')); print('up'); time.sleep(1000)"
    child = Child(program(code), process_group, output, lambda: None)
    async with running(child):
        await output.until("up")
        os.kill(child.pid, signal.SIGSTOP)
    assert output.lines == ["child: up", "child: bye"]


async def test_stop_during_start_leaves_no_process(process_group: ProcessGroup, output: RecordedOutput) -> None:
    child = Child(program("import time; time.sleep(1000)"), process_group, output, lambda: None)
    task = asyncio.ensure_future(child.run())
    await asyncio.sleep(0)
    await child.stop()
    await task
    assert child.pid == 0


async def test_output_is_split_into_lines(process_group: ProcessGroup, output: RecordedOutput) -> None:
    code = "print('a'); print('[INF] b'); print('x' * 200_000); print('end', end=''); import time; time.sleep(0.01)"
    child = Child(program(code, hides=(b"[INF]",)), process_group, output, lambda: None)
    async with running(child):
        await output.until("end")
    lines = [line.removeprefix("child: ") for line in output.lines if "starts again" not in line]
    assert lines[0] == "a"
    assert "".join(lines[1:-1]) == "x" * 200_000
    assert lines[-1] == "end"


async def test_error_for_a_missing_program(process_group: ProcessGroup, output: RecordedOutput, tmp_path: Path) -> None:
    child = Child(Program("child", [str(tmp_path / "nothing")], at_once), process_group, output, lambda: None)
    with pytest.raises(FileNotFoundError):
        await child.run()
    await child.stop()


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="only Linux tells whether a process is stopped")
async def test_a_process_that_stays_stopped_is_killed_and_restarted(
    process_group: ProcessGroup, output: RecordedOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.supervisor._STOPPED_SECONDS", 0.3)
    child = Child(program("import time; time.sleep(1000)"), process_group, output, lambda: None)
    async with running(child):
        await child.ready.wait()
        first = child.pid
        os.kill(first, signal.SIGSTOP)
        await output.until("does not react: killed")
        await output.until("ended (SIGKILL)")
        await child.ready.wait()
        assert child.pid not in (0, first)


async def test_a_child_that_is_made_to_fail_is_started_again(
    process_group: ProcessGroup, output: RecordedOutput
) -> None:
    child = Child(program("print('begun'); import time; time.sleep(60)"), process_group, output, lambda: None)
    child.fail()  # no process runs yet
    async with running(child):
        await output.until("begun")
        child.fail()
        await output.until("ended (SIGKILL), restarts")
        output.lines.clear()
        await output.until("begun")
        assert child.starts == 2
