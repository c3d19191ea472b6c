"""Logs and metrics: one structured line per event, with the trace id of the frame that caused it."""

import logging
import secrets
import sys
from contextvars import ContextVar
from typing import TextIO

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from shared.settings import Log

trace: ContextVar[str] = ContextVar("trace", default="")
"""The W3C trace id (32 hex digits) of the frame that is being worked on; empty outside of one."""


def new_trace() -> str:
    return secrets.token_hex(16)


def traceparent(trace_id: str) -> str:
    """The W3C header value that carries a trace id on."""
    return f"00-{trace_id}-{secrets.token_hex(8)}-01"


def trace_of(traceparent_header: str) -> str:
    """The trace id of a header, empty if it is none."""
    parts = traceparent_header.split("-")
    return parts[1] if len(parts) == 4 and len(parts[1]) == 32 else ""


def configure_logging(settings: Log, service: str, stream: TextIO | None = None) -> None:
    """Logs go to standard output, or to this stream, all of them (libraries' too) in the same form; as JSON, with the
    service's name."""
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
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
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
    """The logger of a module; secrets and message texts are never passed to it."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def new_registry() -> CollectorRegistry:
    """The metrics of one process; services make their own in `metrics.py` from it."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
