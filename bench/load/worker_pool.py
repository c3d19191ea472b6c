"""Starts, synchronizes and stops the worker processes of a run."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

import msgspec

from bench.errors import BenchError
from bench.load.protocol import Failed, Job, Order, Progress, Ready, Reconcile, Report, SentReport, Start, Stop, Totals
from bench.load.run import gather_all
from bench.load.verifier import SentCounts
from local.process_group import use_batch_priority

HEAD_START_SECONDS = 0.3
"""The time from `WorkerPool.run` to the start of the load. In this time, the order reaches all workers."""

_COMMAND = (sys.executable, "-P", "-m", "bench.load.worker")
_LINE_BYTES = 256 * 1024 * 1024
_LOOK_SECONDS = 0.1
_QUIET_SECONDS = 3.0
_STOP_SECONDS = 5.0

T = TypeVar("T", bound=Report)

Watch = Callable[[Progress], None]
"""A function that is called regularly with the progress of all workers together."""


class WorkerPool:
    """Manages one worker process for each job. The pool is an async context manager."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._members = [_WorkerProcess(job) for job in jobs]

    async def __aenter__(self) -> "WorkerPool":
        await asyncio.gather(*(member.start() for member in self._members))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(member.stop() for member in self._members))

    async def connect(self) -> None:
        """Wait until all workers have connected their seats. Raises BenchError."""
        await gather_all(member.expect(Ready) for member in self._members)

    async def run(self, watch: Watch, at_start: Callable[[], object] = lambda: None) -> list[Totals]:
        """Run the load, and return the totals of each worker. `at_start` is called when the load starts. Raises
        BenchError."""
        self._send(Start(time.monotonic_ns() + int(HEAD_START_SECONDS * 1e9)))
        asyncio.get_running_loop().call_later(HEAD_START_SECONDS, at_start)
        watching = asyncio.create_task(self._watch(watch), name="watch")
        try:
            reports = await gather_all(member.expect(SentReport) for member in self._members)
        finally:
            watching.cancel()
        sent_counts = SentCounts()
        for report in reports:
            sent_counts.merge(report.sent_counts)
        self._send(Reconcile(sent_counts))
        return await gather_all(member.expect(Totals) for member in self._members)

    def _send(self, order: Order) -> None:
        for member in self._members:
            member.send(order)

    async def _watch(self, watch: Watch) -> None:
        """Send Stop when all messages have arrived, or after a time without progress."""
        last, moved = Progress(), time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            progress = self._progress()
            watch(progress)
            if progress != last:
                last, moved = progress, time.monotonic()
            complete = progress.delivered >= progress.expected and not progress.waiting
            if progress.over and (complete or time.monotonic() - moved > _QUIET_SECONDS):
                return self._send(Stop())

    def _progress(self) -> Progress:
        each = [member.progress for member in self._members]
        return Progress(
            sum(one.done for one in each),
            sum(one.expected for one in each),
            sum(one.delivered for one in each),
            sum(one.waiting for one in each),
            all(one.over for one in each),
        )


class _WorkerProcess:
    def __init__(self, job: Job) -> None:
        self.progress = Progress()
        self._job = job
        self._process: asyncio.subprocess.Process | None = None
        self._decode = msgspec.json.Decoder(Report).decode

    async def start(self) -> None:
        """Start the process. It is in a process group of its own, because only the command handles Ctrl-C. It has batch
        priority, because the load must not preempt the measured system."""
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *_COMMAND, stdin=pipe, stdout=pipe, limit=_LINE_BYTES, process_group=0
        )
        use_batch_priority(self._process.pid)
        self.send(self._job)

    def send(self, order: Order) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")

    async def expect(self, kind: type[T]) -> T:
        """Wait for the next report of this type, and store progress in the meantime. Raises BenchError."""
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            report = self._decode(line)
            if isinstance(report, kind):
                return report
            if isinstance(report, Failed):
                raise BenchError(report.reason)
            if isinstance(report, Progress):
                self.progress = report
        raise BenchError("a worker process of the bench died")

    async def stop(self) -> None:
        """Close standard input, which ends the process. If the process does not end in time, kill it."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
