"""Supervises one child process. It starts the process, waits until it is ready, restarts it after it has died, and
stops it in order."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.fork_server import ForkedProcess, ForkServer, fork
from local.output import Output
from local.process_group import ProcessGroup, use_batch_priority
from shared.tasks import growing_pauses

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
_STABLE_SECONDS = 10.0
_CRASH_LOOP_FAILURES = 5
_POLL_SECONDS = 0.05
_USAGE_STATUS = 2
_LINE_BYTES = 65_536
_STOPPED_SECONDS = 5.0
"""If a process has been stopped (by SIGSTOP) for this time, it is killed, because it may hold a lock that blocks
others."""

Check = Callable[[], Awaitable[bool]]
ChildProcess = asyncio.subprocess.Process | ForkedProcess


@dataclass(frozen=True)
class Program:
    """A program to supervise. `check` tests whether the program is ready. If the program does not end within
    `stop_seconds` after SIGTERM, it is killed."""

    name: str
    command: Sequence[str]
    check: Check
    environment: Mapping[str, str] | None = None
    stop_seconds: float = 5.0
    hides: tuple[bytes, ...] = ()
    """Log lines that contain one of these texts are dropped."""
    batch_priority: bool = False
    """Whether the program gets batch priority, because it works in large pieces and need not preempt others. See
    use_batch_priority."""


class CrashLoop(Exception):
    """A child process fails at its start, and a restart would not help. The log has the child's own error message."""


class Child:
    """A supervised process. `run` keeps it running until `stop`. `changed` is called whenever its pid changes. If there
    is a fork server and the program has an `environment`, the fork server starts the child."""

    def __init__(
        self,
        program: Program,
        group: ProcessGroup,
        output: Output,
        changed: Callable[[], None],
        fork_server: ForkServer | None = None,
    ) -> None:
        self.program = program
        self.pid = 0
        self.starts = 0
        self.ready = asyncio.Event()
        self._group = group
        self._output = output
        self._changed = changed
        self._fork_server = fork_server
        self._process: ChildProcess | None = None
        self._stopping = asyncio.Event()
        self._was_ready = False

    async def run(self) -> None:
        """Keep the program running. Raises OSError if the first start fails. Raises CrashLoop if the program rejects
        its settings, or has never been ready and fails repeatedly."""
        pauses, failures = growing_pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS), 0
        while not self._stopping.is_set():
            started = time.monotonic()
            status = await self._try_once()
            if self._stopping.is_set():
                break
            failures += 1
            if not self._was_ready and (status == _USAGE_STATUS or failures == _CRASH_LOOP_FAILURES):
                raise CrashLoop(
                    f"{self.program.name} does not start (exit status {status}). The lines of this "
                    "process above show the reason"
                )
            if time.monotonic() - started > _STABLE_SECONDS:
                pauses = growing_pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
            pause = next(pauses)
            self._log(f"ended ({_ending(status)}), restarts in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def stop(self) -> None:
        """Send SIGTERM, and after the grace period SIGKILL. A process that was stopped (SIGSTOP) also gets SIGCONT."""
        self._stopping.set()
        await self.end(self.program.stop_seconds)

    async def end(self, stop_seconds: float) -> None:
        """End the process within this number of seconds. `run` then starts it again, unless `stop` was called."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        _send(process, signal.SIGTERM)
        _send(process, signal.SIGCONT)
        try:
            await asyncio.wait_for(process.wait(), stop_seconds)
        except TimeoutError:
            self._log("the process did not end in time: killed")
            _send(process, signal.SIGKILL)
            await process.wait()

    def fail(self) -> None:
        """Kill the process, to simulate a crash. `run` then starts it again."""
        if self._process is not None:
            _send(self._process, signal.SIGKILL)

    def kill(self) -> None:
        self._stopping.set()
        if self._process is not None:
            _send(self._process, signal.SIGKILL)

    async def _try_once(self) -> int:
        try:
            return await self._run_once()
        except OSError as error:
            if not self._was_ready:
                raise
            self._log(f"cannot be started: {error.strerror}")
            return _USAGE_STATUS

    async def _run_once(self) -> int:
        """Run the program once. Returns its exit status. If a signal has ended the program, the status is the negative
        number of the signal."""
        process = self._process = await self._spawn()
        self.pid = process.pid
        self.starts += 1
        if self.program.batch_priority:
            use_batch_priority(self.pid)
        self._changed()
        if self._stopping.is_set():
            _send(process, signal.SIGTERM)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(process), name=f"read {self.program.name}")
            watching = tasks.create_task(self._watch(), name=f"watch {self.program.name}")
            ending = tasks.create_task(self._end_if_stopped(process), name=f"end {self.program.name}")
            status = await process.wait()
            watching.cancel()
            ending.cancel()
            self.ready.clear()
            await asyncio.wait({reading}, timeout=1.0)
            reading.cancel()
        self.pid = 0
        return status

    async def _spawn(self) -> ChildProcess:
        program = self.program
        if self._fork_server is not None and program.environment is not None:
            forked = await fork(self._fork_server, program.name, program.command, program.environment)
            if forked is not None:
                return forked
        return await asyncio.create_subprocess_exec(
            *program.command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=program.environment,
            **self._group.spawn_options,
        )

    async def _watch(self) -> None:
        while not await self.program.check():  # noqa: ASYNC110 (the other side is a process)
            await asyncio.sleep(_POLL_SECONDS)
        self._was_ready = True
        self.ready.set()

    async def _end_if_stopped(self, process: ChildProcess) -> None:
        """Kill the process if it stays stopped (SIGSTOP). This works only on Linux."""
        since: float | None = None
        while True:
            await self._until_next_look()
            if not _is_stopped(process.pid):
                since = None
            elif since is None:
                since = time.monotonic()
            elif time.monotonic() - since > _STOPPED_SECONDS:
                self._log("does not react: killed")
                _send(process, signal.SIGKILL)
                return

    async def _until_next_look(self) -> None:
        """Wait until the next moment at which all children are checked. The moment is the same for all children, so
        that an idle supervisor seldom has to wake up."""
        pause = _STOPPED_SECONDS / 4
        await asyncio.sleep(pause - asyncio.get_running_loop().time() % pause)

    async def _read(self, process: ChildProcess) -> None:
        assert process.stdout is not None
        rest = b""
        while chunk := await process.stdout.read(_LINE_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._show(line)
        if rest:
            self._show(rest)

    def _show(self, line: bytes) -> None:
        if not any(noise in line for noise in self.program.hides):
            self._output.of(self.program.name, line)

    def _log(self, text: str) -> None:
        self._output.of(self.program.name, text.encode())


def _send(process: ChildProcess, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _is_stopped(pid: int) -> bool:
    """Whether the process was stopped by SIGSTOP or SIGTSTP, and not by a debugger."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state == "T"


def _ending(status: int) -> str:
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name
