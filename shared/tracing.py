"""OpenTelemetry spans of requests, event-loop iterations and batches in all processes.

Import this module only where a `Tracer` is created, because its library takes memory. A `traceparent` (W3C's header
value) names the cause of a span. Its trace id is also in the log lines. Attributes are counts and names of this
project, never message texts or identities of users.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextvars import Token
from threading import Thread
from types import MappingProxyType, TracebackType
from typing import Literal, TypeVar

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import AnyValue

from shared import telemetry
from shared.contract.errors import ErrorCode, RequestError
from shared.settings.servers import TracingSettings
from shared.telemetry import new_trace, parse_traceparent

T = TypeVar("T")

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int]

_KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_NONE: Attributes = MappingProxyType({})
_QUEUE = 4096
"""The most spans that wait to be sent. If there are more, the oldest are dropped."""
_AT_ONCE = 512
_GATHER_SECONDS = 1.0
_SEND_SECONDS = 5.0
_END_SECONDS = 2.0


class Span:
    """One span. As a context manager, a span is the current span and ends at the exit; otherwise call `end`."""

    __slots__ = ("_before", "_span")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._before: tuple[Token[Context], Token[str]] | None = None

    @property
    def traceparent(self) -> str:
        """The `traceparent` header that names this span as a cause; empty if this span is not recorded."""
        return _traceparent(self._span.get_span_context())

    def __enter__(self) -> None:
        trace_id = trace.format_trace_id(self._span.get_span_context().trace_id)
        self._before = context.attach(trace.set_span_in_context(self._span)), telemetry.trace.set(trace_id)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._before is not None
        around, trace_id = self._before
        telemetry.trace.reset(trace_id)
        context.detach(around)
        self.end(_result_of(error))

    async def around(self, work: Awaitable[T]) -> T:
        with self:
            return await work

    def end(self, result: str = "ok") -> None:
        """End the span. `result`: the code of an error, or ok."""
        _set_result(self._span, result)
        self._span.end()


class _NotRecorded(Span):
    """A span within a trace that is not recorded."""

    __slots__ = ()

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return


_NOT_RECORDED = _NotRecorded(trace.INVALID_SPAN)


class Tracer:
    """Begins spans and sends spans from a thread of its own until `shut_down`."""

    def __init__(self, settings: TracingSettings, service: str, instance: str = "") -> None:
        """`instance`: by default, the machine's name and the process id."""
        logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)  # the library warns before each attempt
        address = f"{settings.endpoint.rstrip('/')}/v1/traces"
        self._exporter = OTLPSpanExporter(address, timeout=_SEND_SECONDS)
        self._provider = TracerProvider(
            sampler=ParentBased(_Sampler(settings.sample_ratio)),
            resource=_resource(service, instance or f"{socket.gethostname()}-{os.getpid()}"),
            id_generator=_Ids(),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=_QUEUE,
                max_export_batch_size=_AT_ONCE,
                schedule_delay_millis=_GATHER_SECONDS * 1000,
            )
        )
        self._tracer = self._provider.get_tracer("dragoman")

    def begin(self, name: str, attributes: Attributes = _NONE, *, trace_id: str = "") -> Span:
        """Begins a trace for a client's request, with this id if one is given."""
        before = telemetry.trace.set(trace_id or new_trace())
        try:
            return self._start(name, "server", Context(), attributes)
        finally:
            telemetry.trace.reset(before)

    def span(self, name: str, kind: Kind, attributes: Attributes = _NONE) -> Span:
        """Begins a child of the current span. It is recorded if its parent is recorded."""
        return self._start(name, kind, None, attributes) if self.current() else _NOT_RECORDED

    def continue_trace(self, name: str, kind: Kind, cause: str, attributes: Attributes = _NONE) -> Span:
        """Begins a span that another span has caused, perhaps in another process. It is recorded if its cause is
        recorded."""
        found = _found(cause)
        return self._start(name, kind, _within(found), attributes) if found else _NOT_RECORDED

    def link(self, name: str, causes: Iterable[str], attributes: Attributes = _NONE) -> Span:
        """Begins a span with several causes. It is linked to each recorded cause. If there is only one, it is also the
        child of that cause."""
        recorded = [found for cause in causes if (found := _found(cause))]
        if not recorded:
            return _NOT_RECORDED
        around = _within(recorded[0]) if len(recorded) == 1 else Context()
        return self._start(name, "internal", around, attributes, [Link(found) for found in recorded])

    def current(self) -> str:
        """The traceparent of the current span; empty when it is not recorded."""
        return _traceparent(trace.get_current_span().get_span_context())

    def end_current(self, result: str) -> None:
        """Set the result of the current span: an error's code, or ok."""
        _set_result(trace.get_current_span(), result)

    async def shut_down(self) -> None:
        """Sends the waiting spans, as far as the collector accepts them in time."""
        ending = Thread(target=self._provider.shutdown, name="end of tracing", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, _END_SECONDS)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # spans not sent in time are dropped

    def _start(
        self, name: str, kind: Kind, around: Context | None, attributes: Attributes, links: Sequence[Link] = ()
    ) -> Span:
        return Span(self._tracer.start_span(name, around, _KINDS[kind], attributes, links))


class _Ids(RandomIdGenerator):
    """Gives each trace the trace id that is in its log lines."""

    def generate_trace_id(self) -> int:
        return int(telemetry.trace.get() or new_trace(), 16)


class _Sampler(TraceIdRatioBased):
    """Records a share of all traces, and the spans that are linked to a recorded trace. The id of a trace decides, so
    that all processes record the same traces."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Mapping[str, AnyValue] | None = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if any(link.context.trace_flags.sampled for link in links or ()):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return super().should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)


def _resource(service: str, instance: str) -> Resource:
    """The resource attributes of this process; OTEL_RESOURCE_ATTRIBUTES may add more."""
    named = {"service.namespace": "dragoman", "service.name": f"dragoman-{service}", "service.instance.id": instance}
    return OTELResourceDetector().detect().merge(Resource(named))


def _result_of(error: BaseException | None) -> str:
    """The code of an error; an unknown error is only `internal`, because its text may contain a secret."""
    match error:
        case None:
            return "ok"
        case RequestError():
            return error.failure.code.value
        case asyncio.CancelledError():
            return "cancelled"
        case _:
            return ErrorCode.INTERNAL.value


def _set_result(span: trace.Span, result: str) -> None:
    if result != "ok":
        span.set_attribute("outcome", result)
        span.set_status(StatusCode.ERROR, result)


def _traceparent(cause: SpanContext) -> str:
    if not cause.trace_flags.sampled:
        return ""
    return f"00-{trace.format_trace_id(cause.trace_id)}-{trace.format_span_id(cause.span_id)}-01"


def _found(cause: str) -> SpanContext | None:
    """The context of a recorded cause; None otherwise."""
    named = parse_traceparent(cause)
    if named is None or not named.is_recorded:
        return None
    recorded = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(named.trace_id, 16), int(named.span_id, 16), is_remote=True, trace_flags=recorded)


def _within(cause: SpanContext) -> Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(cause), Context())
