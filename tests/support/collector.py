"""An OpenTelemetry collector. It receives spans over HTTP, as protobuf, and stores them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.waiting import WAIT_SECONDS


@dataclass(frozen=True)
class Seen:
    """A span. Ids are hexadecimal. `parent` is empty for the root of a trace."""

    service: str
    instance: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    """The ids of linked spans."""
    attributes: dict[str, str | int]
    failed: str
    """The text of the status, if the status is an error; otherwise empty."""
    seconds: float


class Collector:
    """A collector that listens until `close`. While `answers` is not set, it receives requests but does not reply."""

    def __init__(self) -> None:
        self.raw = b""
        """The bodies of all requests that the collector has received."""
        self.answers = Event()
        self.answers.set()
        self._spans: list[Seen] = []
        self._news = Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), name="collector", daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self, enough: Callable[[Sequence[Seen]], bool] = bool) -> list[Seen]:
        """Waits until `enough` is true for the received spans, and returns all of them."""
        deadline = time.monotonic() + WAIT_SECONDS
        with self._news:
            while not enough(self._spans):
                left = deadline - time.monotonic()
                assert left > 0, [(span.service, span.name, span.trace, span.parent) for span in self._spans]
                self._news.wait(left)
            return list(self._spans)

    def _take(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest.FromString(body)
        with self._news:
            self.raw += body
            for resource in request.resource_spans:
                about = _values(resource.resource.attributes)
                self._spans += [_seen(about, span) for scope in resource.scope_spans for span in scope.spans]
            self._news.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.answers.wait()
                collector._take(self.path, body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _seen(about: dict[str, str | int], span: Span) -> Seen:
    return Seen(
        service=str(about["service.name"]),
        instance=str(about["service.instance.id"]),
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=tuple(link.span_id.hex() for link in span.links),
        attributes=_values(span.attributes),
        failed=span.status.message if span.status.code == Status.STATUS_CODE_ERROR else "",
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


def _values(pairs: Any) -> dict[str, str | int]:
    return {pair.key: pair.value.string_value or pair.value.int_value for pair in pairs}
