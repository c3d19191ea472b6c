"""Connections that received frames in one tick of the event loop are processed together at its end, so that their
messages share a request."""

import asyncio
from typing import Protocol

from services.edge.upstream.publisher import MessagePublisher
from shared.telemetry import log

_log = log(__name__)


class Processable(Protocol):
    def process_queue(self) -> None: ...

    def fail(self) -> None:
        """`process_queue` raised, which has been logged."""


class TickBatcher:
    def __init__(self, publisher: MessagePublisher) -> None:
        self._publisher = publisher
        self._waiting: dict[Processable, None] = {}

    def add(self, connection: Processable) -> None:
        """Process it at the end of this tick, in the order of the first calls."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._end)
        self._waiting[connection] = None

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for connection in waiting:
            try:
                connection.process_queue()
            except Exception:
                _log.exception("connection failed")
                connection.fail()
        self._publisher.flush()
