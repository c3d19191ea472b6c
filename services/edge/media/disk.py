"""Runs file I/O on separate threads, so that a disk that does not answer blocks nothing else."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from shared.telemetry import log

T = TypeVar("T")
_log = log(__name__)
_THREADS = 8
_CLOSE_SECONDS = 2.0


class Disk:
    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "media")
        self._detached: set[Future[None]] = set()

    async def run(self, work: Callable[[], T]) -> T:
        """Run the work in a thread. Even if the call is cancelled, the work may still be done."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def run_detached(self, work: Callable[[], None]) -> None:
        """Run the work in a thread without waiting. A failure is logged."""
        future = self._threads.submit(work)
        self._detached.add(future)
        future.add_done_callback(self._done)

    async def close(self) -> None:
        """Wait at most 2 s for the work that runs without a caller."""
        if futures := [asyncio.wrap_future(future) for future in list(self._detached)]:
            await asyncio.wait(futures, timeout=_CLOSE_SECONDS)
        self._threads.shutdown(wait=False)

    def _done(self, work: "Future[None]") -> None:
        self._detached.discard(work)
        if (error := work.exception()) is not None:
            _log.warning("work on the disk failed", error=repr(error))
