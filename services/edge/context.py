"""The values that every part of one running edge may use: settings, time, tasks, metrics and turns of output."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from services.edge.dialects.base import ServerInfo
from services.edge.metrics import EdgeMetrics
from shared.settings import Settings
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_TURN_SECONDS = 0.0003


class DeferredOutput(Protocol):
    """The output of one connection, some of which is deferred."""

    def take_turn(self) -> None:
        """Write what is deferred, and give it to the kernel."""

    def fail(self) -> None:
        """Handle an exception that `take_turn` raised. The exception has been logged."""


class OutputTurns:
    """Connections write the messages and events of large groups in short turns. If a thousand connections wrote without
    a pause, all other clients would wait meanwhile. On a busy edge, a turn takes half the time of all work since the
    last turn, so that the turns end soon."""

    def __init__(self) -> None:
        self._waiting: deque[DeferredOutput] = deque()
        self._ended = 0.0

    def add(self, output: DeferredOutput) -> None:
        if not self._waiting:
            self._ended = monotonic()
            asyncio.get_running_loop().call_soon(self._take_turn)
        self._waiting.append(output)

    def _take_turn(self) -> None:
        now = monotonic()
        until = now + max(_TURN_SECONDS, (now - self._ended) / 2)
        while self._waiting and now < until:
            output = self._waiting.popleft()
            try:
                output.take_turn()
            except Exception:
                _log.exception("connection failed")
                output.fail()
            now = monotonic()
        self._ended = now
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._take_turn)


@dataclass(frozen=True, eq=False)
class EdgeContext:
    settings: Settings
    clock: Callable[[], float]
    """The event loop's `time`, in monotonic seconds. The loop is looked up only once, because this lookup costs a
    system call before Python 3.12."""
    tasks: Tasks
    metrics: EdgeMetrics
    server: ServerInfo
    turns: OutputTurns = field(default_factory=OutputTurns)
