"""The measured system. It is started for the run, or is already running."""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.errors import BenchError
from bench.system.postgresql import disposable_postgresql, main_process
from bench.system.processes import (
    batch_counts,
    bytes_through,
    cpu_seconds,
    descendants,
    memory_kib,
    proportional_kib,
    tree_cpu_seconds,
)
from local.data import RunningProcess, read_run
from local.installation import Installation, find
from local.options import flags_of
from local.process_group import ProcessGroup

_START_SECONDS = 90.0
_STOP_SECONDS = 40.0
_LINES_KEPT = 20
_RAISED = {
    "limits.requests_per_second": "1000000",
    "limits.requests_burst": "1000000",
    "limits.requests_burst_before_login": "1000000",
    "limits.registrations_per_minute": "1000000",
    "limits.connections_per_address": "1000000",
    "limits.connections_per_account": "1000000",
    "limits.new_connections_burst": "1000000",
}
"""The limits stay enabled, because their cost is part of the measurement. Their rates are above the rates of the
load."""


_DATABASE = "database"
_URL = "database.url="


class SystemSize(NamedTuple):
    """`replicas`: the number of replicas of the message service, which use PostgreSQL. With 0, there are as many as
    `dragoman up` starts, and they use SQLite unless a setting says otherwise."""

    edges: int
    replicas: int = 0


@dataclass
class MeasuredSystem:
    """`edges` are addresses (ws://host:port). `data`: the directory of the system's `dragoman up`, if it is known. It
    is needed to find the processes. `own`: whether the system was started for this run, with `settings` (NAME=VALUE).
    `postgresql`: the pid of PostgreSQL's main process, or 0 if it is unknown."""

    edges: Sequence[str]
    data: Path | None = None
    own: bool = False
    settings: Sequence[str] = ()
    postgresql: int = 0
    log: list[str] = field(default_factory=list)

    @property
    def installation(self) -> Installation | None:
        """The installation with its databases, if it is known."""
        return find(None, tuple(self.settings), flags_of(data=self.data)) if self.data else None

    @property
    def processes(self) -> list[RunningProcess]:
        run = read_run(self.data) if self.data else None
        return [one for one in run.processes if one.pid] if run else []

    def cpu(self) -> dict[str, float]:
        """The CPU seconds used so far, by process. All processes of PostgreSQL count as one, `database`."""
        used = {one.name: cpu_seconds(one.pid) for one in self.processes}
        if self.postgresql:
            used[_DATABASE] = tree_cpu_seconds(self.postgresql)
        return {name: seconds for name, seconds in used.items() if seconds is not None}

    def whole_cpu(self) -> float:
        """The CPU seconds used so far by `dragoman up` and all its processes together. 0 if they are unknown."""
        return sum(cpu_seconds(pid) or 0.0 for pid in self._all())

    def whole_memory(self) -> dict[str, float]:
        """The memory in MiB of `dragoman up` and all its processes, by name. A page that n processes share counts as an
        nth. The result is empty if the processes are unknown."""
        used: dict[str, float] = {}
        for pid, name in self._all().items():
            used[name] = used.get(name, 0.0) + proportional_kib(pid) / 1024
        return used

    def _all(self) -> dict[int, str]:
        run = read_run(self.data) if self.data else None
        return descendants(run.supervisor) if run else {}

    def received(self) -> dict[str, float]:
        """The bytes that each process has read so far, from sockets and files."""
        return {name: read for name, (read, _) in self._traffic().items()}

    def sent(self) -> dict[str, float]:
        """The bytes that each process has written so far, to sockets and files."""
        return {name: written for name, (_, written) in self._traffic().items()}

    def _traffic(self) -> dict[str, tuple[int, int]]:
        both = {one.name: bytes_through(one.pid) for one in self.processes}
        return {name: counts for name, counts in both.items() if counts is not None}

    def batches(self) -> dict[str, float]:
        """The number of batches so far, for each kind of batch. See batch_counts."""
        return batch_counts([one.ops for one in self.processes if one.ops])

    def memory(self) -> dict[str, int]:
        """The anonymous memory in KiB of each process."""
        used = {one.name: memory_kib(one.pid) for one in self.processes}
        return {name: kib for name, kib in used.items() if kib is not None}


@contextlib.asynccontextmanager
async def own_system(
    size: SystemSize, settings: Sequence[str], report: Callable[[str], None]
) -> AsyncIterator[MeasuredSystem]:
    """Start a `dragoman up` on free ports, in a temporary directory. `settings`: a list of NAME=VALUE. Raises
    BenchError."""
    async with contextlib.AsyncExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dragoman-bench-")))
        process_group = stack.enter_context(ProcessGroup())
        assignments = [*(f"{name}={value}" for name, value in _RAISED.items()), *settings]
        url = next((one.removeprefix(_URL) for one in reversed(settings) if one.startswith(_URL)), "")
        if size.replicas and not url:
            url = await stack.enter_async_context(disposable_postgresql(process_group))
            assignments.append(_URL + url)
        report(f"starting a system with {size.edges} edges" + f", {size.replicas} of message" * bool(size.replicas))
        replicas = ["--replicas", str(size.replicas)] if size.replicas else []
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "dragoman.main", "up", "--edges", str(size.edges), *replicas,
            "--port", "0", "--data", str(data), *(word for one in assignments for word in ("--set", one)),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, **process_group.spawn_options,
        )  # fmt: skip
        assert process.stdout is not None
        target = MeasuredSystem([], data, own=True, settings=assignments)
        reading = asyncio.create_task(_read(process.stdout, target), name="log of the system")
        try:
            await _until_ready(target, process)
            target.postgresql = await asyncio.to_thread(main_process, url) if url else 0
            yield target
        finally:
            await _stop(process)
            await reading


async def _until_ready(target: MeasuredSystem, process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not target.edges:
                if process.returncode is not None:
                    raise BenchError("the system did not start:\n" + "\n".join(target.log))
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise BenchError("the system was not ready in time:\n" + "\n".join(target.log)) from None


async def _read(stream: asyncio.StreamReader, target: MeasuredSystem) -> None:
    while line := (await stream.readline()).decode(errors="replace").rstrip():
        target.log[:] = [*target.log[1 - _LINES_KEPT :], line]
        if line.startswith("ready "):
            target.edges = line.split()[1:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
