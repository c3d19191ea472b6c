"""Logs and metrics. Each logged event is one structured line, with the trace id of the frame that has caused it."""

import logging
import random
import re
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from itertools import accumulate
from typing import NamedTuple, TextIO

import structlog
from prometheus_client import CollectorRegistry, GCCollector, Metric, PlatformCollector, ProcessCollector
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from shared.settings.servers import LogSettings

trace: ContextVar[str] = ContextVar("trace", default="")
"""The W3C trace id (32 hex digits) of the current frame; empty outside of a frame."""

LATENCY_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
"""The buckets of histograms, in seconds."""
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


class PlainHistogram(Collector):
    """A histogram of plain numbers. It is for values that are observed with each batch or message, because a histogram
    of prometheus_client needs ten calls for each. Only the event loop's thread may observe values. `bounds` are
    ascending. `labels` distinguish several series."""

    def __init__(
        self,
        name: str,
        documentation: str,
        bounds: Sequence[float],
        registry: CollectorRegistry,
        labels: tuple[str, ...] = (),
    ) -> None:
        self._name = name
        self._documentation = documentation
        self.bounds = bounds
        self._labelnames = labels  # prometheus_client's metrics also have this attribute
        self._series: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}
        """The counts of each bucket and their sum, by the values of the labels."""
        if not labels:
            self.observe(0.0, 0)
        registry.register(self)

    def observe(self, value: float, times: int = 1, of: tuple[str, ...] = ()) -> None:
        """Observes a value `times` times. `of`: the values of the labels."""
        series = self._series.get(of)
        if series is None:
            series = self._series[of] = [0] * (len(self.bounds) + 1), [0.0]
        counts, total = series
        counts[bisect_left(self.bounds, value)] += times
        total[0] += value * times

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labelnames)
        bounds = [*map(str, map(float, self.bounds)), "+Inf"]
        # another thread collects the metrics while this mapping may grow
        for of, (counts, total) in list(self._series.items()):
            buckets = list(zip(bounds, map(float, accumulate(counts)), strict=True))
            family.add_metric(of, buckets, total[0])
        yield family


def new_registry() -> CollectorRegistry:
    """The metrics registry of one process. Each service registers its own metrics in `metrics.py`."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
