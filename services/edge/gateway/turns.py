"""Work of many connections that takes the event loop long, one part of it in each turn of the loop."""

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    def __init__(self) -> None:
        self._waiting = deque[Callable[[], None]]()

    def wait(self, work: Callable[[], None]) -> None:
        """Does it after the work that waits."""
        self._waiting.append(work)
        if len(self._waiting) == 1:
            self._go_on()

    def _go_on(self) -> None:
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        work = self._waiting.popleft()
        if self._waiting:
            self._go_on()
        work()
