"""Runs a service as a process, with its event loop, logs, signals and orderly shutdown."""

import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
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
"""The thresholds of the cyclic garbage collector, by generation. Handling messages makes many containers but no cycles.
With Python's default of 700, the collector would take a sixth of the time. Cycles of closed connections are still
found."""

Serve = Callable[[Settings, asyncio.Event], Awaitable[None]]
"""Runs a service until the event is set (by SIGTERM or SIGINT), and then stops it in an orderly way."""


def run(service: str, settings: Settings, serve: Serve) -> int:
    """Run a service; returns the exit status: 0 after an orderly shutdown, 1 after a failure."""
    configure_logging(settings.log, service)
    _raise_descriptor_limit()
    try:
        uvloop.run(_supervise(settings, serve))
    except Exception as error:
        if (reason := _startup_error(error)) is not None:
            _log.error(str(reason))
        else:
            _log.exception("service failed")
        return 1
    return 0


def _startup_error(error: BaseException) -> BaseException | None:
    """The first StartupError in an error: the error itself, or one inside an exception group."""
    if isinstance(error, BaseExceptionGroup):
        found = error.subgroup(StartupError)
        return None if found is None else _startup_error(found.exceptions[0])
    return error if isinstance(error, StartupError) else None


async def _supervise(settings: Settings, serve: Serve) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    tune_garbage_collection()
    await serve(settings, stopping)
    _log.info("stopped")


def _raise_descriptor_limit() -> None:
    """Raises the soft limit to the hard one. Shells start processes with a soft limit of 1,024 descriptors, because of
    programs that use select."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tune_garbage_collection() -> None:
    """Excludes imported objects from collection and raises the thresholds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def limit_memory(settings: Settings) -> None:
    """Hides OpenTelemetry from the Redis client if tracing is off. Otherwise, the client would import it for metrics
    that are not used, which costs 3 MiB in each process. This must be called before a service is imported."""
    if not settings.tracing.endpoint:
        sys.modules.setdefault("opentelemetry", None)  # type: ignore[arg-type]


def prefer_sources(*directories: Path) -> None:
    """From now on, modules in these directories are imported from their sources, even if they are compiled, too. The
    library of all compiled modules takes 4 MiB in each process that imports one of them."""

    def find(path: str) -> FileFinder:
        if not any(Path(path).is_relative_to(directory) for directory in directories):
            raise ImportError
        return FileFinder(path, (SourceFileLoader, SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, find)
    sys.path_importer_cache.clear()


def tracing(settings: Settings, service: str, instance: str = "") -> "Tracer | None":
    """The tracer, or None if no collector is set. The caller must shut it down last. The default `instance` is named
    after the machine and the process."""
    if not settings.tracing.endpoint:
        return None
    from shared.tracing import Tracer  # imported here, because the library takes memory

    return Tracer(settings.tracing, service, instance)


async def cancel_on(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it ends. If `stopping` is set before, `work` is cancelled. Raises the exception of `work`."""
    stopped = asyncio.create_task(stopping.wait(), name="stop")
    working = asyncio.create_task(work, name="work")
    try:
        await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_all((working, stopped))
    if not working.cancelled():
        working.result()
