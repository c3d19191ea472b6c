"""Measures where messages wait. The system sends spans of some requests to this module. A stage is the time between two
spans. All processes share one clock, because all run on this machine."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from statistics import fmean
from threading import Thread
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

GATHER_SECONDS = 2.0
"""The time within which a span is sent after its end."""
STAGES = (
    "queue of the edge", "NATS to message", "queue of message", "commit", "lookup", "delivery batch", "NATS to edge",
    "sockets",
)  # fmt: skip


class StageSpan(NamedTuple):
    """One span. Its times are nanoseconds. `waited`: how long the first message of a request had waited before."""

    name: str
    id: bytes
    parent: bytes
    links: tuple[bytes, ...]
    start: int
    end: int
    waited: int = 0


class SpanReceiver:
    """Receives the spans that the measured system sends to `endpoint`."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.spans: list[StageSpan] = []

    def take(self, body: bytes) -> None:
        """Add the spans of an OTLP request."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                waited = sum(one.value.int_value for one in span.attributes if one.key == "waited_us") * 1000
                links = tuple(link.span_id for link in span.links)
                times = span.start_time_unix_nano, span.end_time_unix_nano
                self.spans.append(StageSpan(span.name, span.span_id, span.parent_span_id, links, *times, waited))


@contextmanager
def receiving() -> Iterator[SpanReceiver]:
    """Receive spans on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = SpanReceiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, name="spans", daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def stage_means(spans: Sequence[StageSpan], seconds: float) -> dict[str, float]:
    """The mean milliseconds of each stage, for requests in the last `seconds`. The result is empty if there are none.
    The sum of the means is the mean time from the arrival of a message at the edge to the writing of its delivery. This
    function is pure."""
    since = max((span.end for span in spans), default=0) - int((seconds + GATHER_SECONDS) * 1e9)
    tree = _Tree(spans)
    ways = [way for post in spans if post.name == "post" and post.start >= since for way in _ways(post, tree)]
    return {name: fmean(way[number] for way in ways) / 1e6 for number, name in enumerate(STAGES)} if ways else {}


class _Tree:
    def __init__(self, spans: Iterable[StageSpan]) -> None:
        self._caused: Mapping[bytes, list[StageSpan]] = defaultdict(list)
        for span in spans:
            for cause in {span.parent, *span.links}:
                self._caused[cause].append(span)

    def caused_by(self, span: StageSpan, name: str = "") -> list[StageSpan]:
        return [one for one in self._caused.get(span.id, ()) if name in ("", one.name)]


def _ways(post: StageSpan, tree: _Tree) -> Iterator[tuple[int, ...]]:
    """The nanoseconds of each stage of one traced request, for each edge that delivers its messages."""
    paths: list[tuple[StageSpan, ...]] = [(post,)]
    # the first span is the request of the edge, and the second is its arrival at the message service
    for name in ("", "", "commit", "fan out", "deliver"):
        paths = [(*path, one) for path in paths for one in tree.caused_by(path[-1], name)]
    for _, _, received, commit, fan_out, delivery in paths:
        moments = (
            post.start - post.waited, post.start, received.start, commit.start, commit.end, fan_out.start, fan_out.end,
            delivery.start, delivery.end,
        )  # fmt: skip
        yield tuple(after - before for before, after in pairwise(moments))
