"""Readiness of a process: each dependency proves that it does what the process needs in order to acknowledge."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge

from shared.tasks import Tasks

Check = Callable[[], Awaitable[None]]
"""A real operation of a dependency; raises when it fails."""

_CHECK_SECONDS = 2.0
_ABANDONED_SECONDS = 30.0
"""A check that runs for so long is given up, and a new one begins."""
_VALID_SECONDS = 1.0
_INTERVAL_SECONDS = 5.0


class Readiness:
    """The process is ready when all `required` dependencies work; without an `optional` one it works, but worse."""

    def __init__(
        self, registry: CollectorRegistry, required: Mapping[str, Check], optional: Mapping[str, Check] | None = None
    ) -> None:
        self._works = Gauge(
            "dragoman_ready", "Whether a dependency works (1) or not (0)", ["dependency"], registry=registry
        )
        self._tasks = Tasks()
        self._required = self._probes(required)
        self._optional = self._probes(optional or {})

    def _probes(self, checks: Mapping[str, Check]) -> "dict[str, _Probe]":
        return {name: _Probe(name, check, self._works.labels(name), self._tasks) for name, check in checks.items()}

    async def failures(self) -> dict[str, str]:
        """The error of each required dependency that does not work."""
        return await _failures(self._required)

    async def degradations(self) -> dict[str, str]:
        """The error of each optional dependency that does not work."""
        return await _failures(self._optional)

    async def watch(self) -> None:
        """Update the metric, until it is cancelled."""
        while True:
            await asyncio.gather(self.failures(), self.degradations())
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def close(self) -> None:
        await self._tasks.close()


class _Probe:
    """One dependency's check. A success is valid for a moment, and requests at the same time share a check. It is not
    cancelled when it takes too long: nats-py stops reading when a reply arrives for a cancelled request."""

    def __init__(self, name: str, check: Check, works: Gauge, tasks: Tasks) -> None:
        self._name = name
        self._check = check
        self._works = works
        self._tasks = tasks
        self._running: asyncio.Task[None] | None = None
        self._started = 0.0
        self._valid_until = 0.0
        self._error = ""

    async def error(self) -> str:
        """Empty if it works."""
        now = time.monotonic()
        if self._running is None or self._running.done() or now - self._started > _ABANDONED_SECONDS:
            if now < self._valid_until:
                return self._error
            self._started = now
            self._running = self._tasks.start(self._run(), f"check {self._name}")
        running = self._running
        await asyncio.wait({running}, timeout=_CHECK_SECONDS)
        if running.done():
            return self._error
        self._works.set(0)
        return "no answer in time"

    async def _run(self) -> None:
        error = ""
        try:
            await self._check()
        except TimeoutError:
            error = "no answer in time"
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
        self._error = error
        self._valid_until = 0.0 if error else time.monotonic() + _VALID_SECONDS
        self._works.set(not error)


async def _failures(probes: Mapping[str, _Probe]) -> dict[str, str]:
    errors = await asyncio.gather(*(probe.error() for probe in probes.values()))
    return {name: error for name, error in zip(probes, errors, strict=True) if error}
