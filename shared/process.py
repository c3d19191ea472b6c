"""One service as a process: event loop, logs, signals, orderly end."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import uvloop

from shared.errors import StartupError
from shared.settings import Settings
from shared.tasks import cancel_all
from shared.telemetry import configure_logging, log

if TYPE_CHECKING:
    from shared.tracing import Tracer

_log = log(__name__)

_COLLECT_AFTER = 10_000, 10, 5
"""New containers, and generations of them, between two looks for cyclic garbage. Messages make none, but so many
containers that Python's own 700 spends a sixth of their time on it; what ended connections leave is still found."""

Serve = Callable[[Settings, asyncio.Event], Awaitable[None]]
"""Runs a service until the event is set (SIGTERM, SIGINT), then ends it in order."""


def run(service: str, settings: Settings, serve: Serve) -> int:
    """The exit status: 0 after an orderly end, 1 when the service failed."""
    configure_logging(settings.log, service)
    try:
        uvloop.run(_supervise(settings, serve))
    except StartupError as error:
        _log.error(str(error))
        return 1
    except Exception:
        _log.exception("service failed")
        return 1
    return 0


async def _supervise(settings: Settings, serve: Serve) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    _tune_garbage_collection()
    await serve(settings, stopping)
    _log.info("stopped")


def _tune_garbage_collection() -> None:
    """What was imported stays, and is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def limit_memory(settings: Settings) -> None:
    """Before a service is imported. Redis' client loads OpenTelemetry's library wherever it is installed, for metrics
    that nobody asks of it: 3 MiB in each process. Where nothing is traced, it does not find it."""
    if not settings.tracing.endpoint:
        sys.modules.setdefault("opentelemetry", None)  # type: ignore[arg-type]


def tracing(settings: Settings, service: str, instance: str = "") -> "Tracer | None":
    """What records spans, where there is somewhere to send them; to be ended last. Without an `instance` (unlike all
    others), it is named after the machine and the process."""
    if not settings.tracing.endpoint:
        return None
    from shared.tracing import Tracer  # its library costs memory

    return Tracer(settings.tracing, service, instance)


async def cancel_on(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, or as much of it as is done when it is time to stop. Raises what the work raises."""
    stopped = asyncio.create_task(stopping.wait(), name="stop")
    working = asyncio.create_task(work, name="work")
    try:
        await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_all((working, stopped))
    if not working.cancelled():
        working.result()
