"""Logs and metrics. Each logged event is one structured line, with the trace id of the frame that has caused it."""

import logging
import random
import re
import sys
from contextvars import ContextVar
from typing import NamedTuple, TextIO

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from shared.settings.servers import LogSettings

trace: ContextVar[str] = ContextVar("trace", default="")
"""The W3C trace id (32 hex digits) of the current frame; empty outside of a frame."""

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class TraceParent(NamedTuple):
    """A parsed W3C traceparent header: the ids of a trace and of one of its spans, in hex."""

    trace_id: str
    span_id: str
    is_recorded: bool


def new_trace() -> str:
    return f"{random.getrandbits(128):032x}"


def traceparent(trace_id: str) -> str:
    """The W3C header value for a trace id if no span is recorded."""
    return f"00-{trace_id}-{trace_id[:16]}-00"


def parse_traceparent(traceparent_header: str) -> TraceParent | None:
    """The trace parent in the header; None if the header is malformed."""
    found = _TRACEPARENT.fullmatch(traceparent_header)
    return TraceParent(found[1], found[2], bool(int(found[3], 16) & 1)) if found else None


def trace_id_of(traceparent_header: str) -> str:
    """The trace id of a header; empty for a malformed one."""
    found = _TRACEPARENT.fullmatch(traceparent_header)
    return found[1] if found else ""


def configure_logging(settings: LogSettings, service: str, stream: TextIO | None = None) -> None:
    """Sends all log lines, including those of libraries, to standard output or to `stream` in one format. JSON lines
    contain the service's name."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if settings.json_lines else "%H:%M:%S", utc=settings.json_lines),
        _add_trace,
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.json_lines
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, sort_keys=False)
    )
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    for chatty in ("alembic", "nats", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))
    if settings.json_lines:
        structlog.contextvars.bind_contextvars(service=service)


def _add_trace(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if trace_id := trace.get():
        event["trace"] = trace_id
    return event


def log(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module. Never pass it secrets or message texts."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def new_registry() -> CollectorRegistry:
    """The metrics registry of one process. Each service registers its own metrics in `metrics.py`."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
