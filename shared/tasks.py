"""Background tasks with an owner. Each task has a name. The Tasks object that has started it also awaits or cancels
it."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar, copy_context
from typing import Any

from shared.telemetry import log

_log = log(__name__)
_AGAIN_SECONDS = 1.0
REQUEST_SECONDS = 8.0

operation_end: ContextVar[float] = ContextVar("operation_end", default=math.inf)
"""The deadline (monotonic) of all requests of the current operation together."""


@contextmanager
def operation(seconds: float) -> Iterator[None]:
    """Makes the block one operation: all its requests together may take `seconds`."""
    before = operation_end.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        operation_end.reset(before)


def time_left() -> float:
    """The remaining seconds of the current operation; 8 if there is none."""
    left = operation_end.get() - time.monotonic()
    return REQUEST_SECONDS if math.isinf(left) else left


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Waits for the event. Returns False if it was not set within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


class Tasks:
    """The tasks of one owner. A failure is logged with the task's name; `close` cancels and awaits the remaining
    tasks."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task that does not count as a part of the current operation, and that can outlast it."""
        context = copy_context()
        context.run(operation_end.set, math.inf)
        task = asyncio.get_running_loop().create_task(work, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task failed", task=task.get_name(), exc_info=error)

    async def finish(self, timeout_seconds: float) -> None:
        """Waits for the tasks, and cancels those that still run after the time limit."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_seconds)
        await self.close()

    async def close(self) -> None:
        while self._tasks:
            await cancel_all(self._tasks)


@asynccontextmanager
async def run_beside(loops: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[asyncio.TaskGroup]:
    """Run the endless loops while the context lasts, and cancel them at its end. If a loop or a task of the group
    fails, the context is cancelled and ends with an ExceptionGroup."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(loop) for loop in loops]
        try:
            yield group
        finally:
            for task in running:
                task.cancel()


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels and awaits tasks. A task that still runs after a second is cancelled again, because libraries use
    `asyncio.wait_for`, which may lose a cancellation before Python 3.12."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_AGAIN_SECONDS)


def growing_pauses(first_seconds: float, longest_seconds: float) -> Iterator[float]:
    """The seconds to wait before each further attempt. Each pause is twice as long as the previous one, up to the
    longest."""
    while True:
        yield first_seconds
        first_seconds = min(2 * first_seconds, longest_seconds)
