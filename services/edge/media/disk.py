"""File I/O off the event loop, in threads of its own: a disk that hangs holds up nobody else."""

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
        self._left: set[Future[None]] = set()

    async def run(self, work: Callable[[], T]) -> T:
        """When this is cancelled, the work may still be done."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def run_detached(self, work: Callable[[], None]) -> None:
        """Work that nobody waits for; its failure is logged."""
        future = self._threads.submit(work)
        self._left.add(future)
        future.add_done_callback(self._done)

    async def close(self) -> None:
        """After the work that was left, unless the disk hangs."""
        if left := [asyncio.wrap_future(future) for future in list(self._left)]:
            await asyncio.wait(left, timeout=_CLOSE_SECONDS)
        self._threads.shutdown(wait=False)

    def _done(self, work: "Future[None]") -> None:
        self._left.discard(work)
        if (error := work.exception()) is not None:
            _log.warning("work on the disk failed", error=repr(error))
