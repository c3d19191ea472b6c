"""Spans of OpenTelemetry: what a request, a turn or a batch took, step by step, on its way through all processes.

Only who has a `Tracer` may import this: its library costs memory. A cause is named by its `traceparent` (W3C's header
value), whose trace id is that of the log lines, too. Attributes are counts and names of our own: never what people
say, nor who they are.
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
from shared.settings import Tracing
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
"""Spans that wait to be sent; of more, the oldest are dropped."""
_AT_ONCE = 512
_GATHER_SECONDS = 1.0
_SEND_SECONDS = 5.0
_END_SECONDS = 2.0


class Span:
    """As a context, it is what is under way, and ends with it; otherwise it is to be ended."""

    __slots__ = ("_before", "_span")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._before: tuple[Token[Context], Token[str]] | None = None

    @property
    def traceparent(self) -> str:
        """Names it as a cause; empty when it is not recorded."""
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
        self.end(_outcome(error))

    async def around(self, work: Awaitable[T]) -> T:
        with self:
            return await work

    def end(self, outcome: str = "ok") -> None:
        """`outcome`: an error's code, or ok."""
        _conclude(self._span, outcome)
        self._span.end()


class _Nothing(Span):
    """A part of what is not recorded."""

    __slots__ = ()

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return


_NOTHING = _Nothing(trace.INVALID_SPAN)


class Tracer:
    """Begins spans, and sends what they become, from a thread of its own, until `end`."""

    def __init__(self, settings: Tracing, service: str, instance: str = "") -> None:
        """Without an `instance`, it is the machine's name and the process's number."""
        logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)  # it warns before each try
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
        """What somebody outside has caused: a trace, of this id if one is given."""
        before = telemetry.trace.set(trace_id or new_trace())
        try:
            return self._start(name, "server", Context(), attributes)
        finally:
            telemetry.trace.reset(before)

    def span(self, name: str, kind: Kind, attributes: Attributes = _NONE) -> Span:
        """A part of what is under way; recorded if that is."""
        return self._start(name, kind, None, attributes) if self.current() else _NOTHING

    def continue_trace(self, name: str, kind: Kind, cause: str, attributes: Attributes = _NONE) -> Span:
        """What a cause, perhaps elsewhere, has led to; recorded if that is."""
        found = _found(cause)
        return self._start(name, kind, _within(found), attributes) if found else _NOTHING

    def link(self, name: str, causes: Iterable[str], attributes: Attributes = _NONE) -> Span:
        """What these have led to together, linked to each that is recorded; a part of it, too, if that is only one."""
        recorded = [found for cause in causes if (found := _found(cause))]
        if not recorded:
            return _NOTHING
        around = _within(recorded[0]) if len(recorded) == 1 else Context()
        return self._start(name, "internal", around, attributes, [Link(found) for found in recorded])

    def current(self) -> str:
        """The traceparent of what is under way; empty when it is not recorded."""
        return _traceparent(trace.get_current_span().get_span_context())

    def end_current(self, outcome: str) -> None:
        """How what is under way has ended: by an error's code, or ok."""
        _conclude(trace.get_current_span(), outcome)

    async def shut_down(self) -> None:
        """Send what waits, as far as the collector takes it in time."""
        ending = Thread(target=self._provider.shutdown, name="end of tracing", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, _END_SECONDS)
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # what it could not send in time, it gives up

    def _start(
        self, name: str, kind: Kind, around: Context | None, attributes: Attributes, links: Sequence[Link] = ()
    ) -> Span:
        return Span(self._tracer.start_span(name, around, _KINDS[kind], attributes, links))


class _Ids(RandomIdGenerator):
    """A trace has the id that log lines have."""

    def generate_trace_id(self) -> int:
        return int(telemetry.trace.get() or new_trace(), 16)


class _Sampler(TraceIdRatioBased):
    """Takes a share of traces by their ids, the same ones everywhere, and what a recorded one is linked to."""

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
    """Who sends the spans; OTEL_RESOURCE_ATTRIBUTES may say more."""
    named = {"service.namespace": "dragoman", "service.name": f"dragoman-{service}", "service.instance.id": instance}
    return OTELResourceDetector().detect().merge(Resource(named))


def _outcome(error: BaseException | None) -> str:
    """Of an unknown error, only its kind: what it says may be somebody's secret."""
    match error:
        case None:
            return "ok"
        case RequestError():
            return error.failure.code.value
        case asyncio.CancelledError():
            return "cancelled"
        case _:
            return ErrorCode.INTERNAL.value


def _conclude(span: trace.Span, outcome: str) -> None:
    if outcome != "ok":
        span.set_attribute("outcome", outcome)
        span.set_status(StatusCode.ERROR, outcome)


def _traceparent(cause: SpanContext) -> str:
    if not cause.trace_flags.sampled:
        return ""
    return f"00-{trace.format_trace_id(cause.trace_id)}-{trace.format_span_id(cause.span_id)}-01"


def _found(cause: str) -> SpanContext | None:
    """None when it is not recorded."""
    named = parse_traceparent(cause)
    if named is None or not named.is_recorded:
        return None
    recorded = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(named.trace_id, 16), int(named.span_id, 16), is_remote=True, trace_flags=recorded)


def _within(cause: SpanContext) -> Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(cause), Context())
