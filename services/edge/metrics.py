"""The edge's metrics."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from shared.contract.audit import LOST
from shared.telemetry import LATENCY_BUCKETS

_SECONDS = (*LATENCY_BUCKETS, 60)


class Traffic:
    """Frame counters of one dialect; plain integers, since every frame is counted."""

    __slots__ = ("frames_in", "frames_out")

    def __init__(self) -> None:
        self.frames_in = 0
        self.frames_out = 0


class PlainHistogram:
    """A histogram of plain numbers, since every message is counted. `bounds` are ascending. Only for the event loop's
    thread."""

    __slots__ = ("_counts", "_sum", "bounds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def count(self, value: float, times: int) -> None:
        self._counts[bisect_left(self.bounds, value)] += times
        self._sum += value * times

    def family(self, name: str, documentation: str) -> Metric:
        bounds = [*map(str, map(float, self.bounds)), "+Inf"]
        counts = map(float, accumulate(self._counts))
        return HistogramMetricFamily(name, documentation, list(zip(bounds, counts, strict=True)), self._sum)


class CachedLabels:
    """Caches a counter's children, since overload makes many rejections."""

    def __init__(self, counter: Counter) -> None:
        self.labels = cache(counter.labels)


class EdgeMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.by_dialect: dict[str, Traffic] = {}
        self.post_seconds = PlainHistogram(_SECONDS)
        self.delivery_seconds = PlainHistogram(_SECONDS)
        self.delivered = 0
        """Messages delivered to connections."""
        self.encoded = 0
        """Messages encoded, once per variant of a dialect."""
        registry.register(_PlainCollector(self))
        self.connections = Gauge("dragoman_edge_connections", "Open connections", ["dialect"], registry=registry)
        self.undecided = Gauge(
            "dragoman_edge_undecided_connections", "Open connections without a dialect yet", registry=registry
        )
        self.tcp = Gauge("dragoman_edge_tcp_connections", "Open connections by plain TCP", registry=registry)
        self.accounts = Gauge("dragoman_edge_accounts", "Accounts with a connection here", registry=registry)
        self.chats = Gauge("dragoman_edge_chats", "Chats with a member here", registry=registry)
        rejected = Counter("dragoman_edge_refusals", "Requests rejected", ["dialect", "code"], registry=registry)
        self.rejected = CachedLabels(rejected)
        posts = Counter(
            "dragoman_edge_posts",
            "Requests to post messages: to the owner of their partition, to another replica after it, or to any",
            ["to"],
            registry=registry,
        )
        self.posts = CachedLabels(posts)
        self.certificate = Gauge(
            "dragoman_edge_certificate_seconds", "Until the end of the served certificate", ["file"], registry=registry
        )
        self.closed = Counter("dragoman_edge_closes", "Connections closed by us", ["code"], registry=registry)
        self.slow_closes = Counter(
            "dragoman_edge_slow_closes", "Connections closed because they were too slow", registry=registry
        )
        self.bad_tokens = Counter("dragoman_edge_token_failures", "Invalid tokens", ["reason"], registry=registry)
        self.untrusted_proxies = Counter(
            "dragoman_edge_untrusted_forwards",
            "WebSockets and operations whose X-Forwarded-For was ignored: no trusted proxy sent it",
            registry=registry,
        )
        self.presence_lost = Counter(
            "dragoman_edge_presence_losses", "Times that presence had lost this node", registry=registry
        )
        self.duplicates = Counter("dragoman_edge_duplicates", "Messages received more than once", registry=registry)
        self.catch_ups = Counter("dragoman_edge_catch_ups", "Gaps in chats that were fetched", registry=registry)
        lost = Counter(
            "dragoman_edge_messages_lost", "Messages neither delivered nor waiting", ["stage"], registry=registry
        )
        self.lost = {stage: lost.labels(stage.value) for stage in LOST}
        self.audits = Counter("dragoman_edge_audits", "Accounts compared for lost messages", registry=registry)
        self.resyncs = Counter("dragoman_edge_resyncs", "Accounts synced again after a loss", registry=registry)
        self.request_seconds = Histogram(
            "dragoman_edge_request_seconds",
            "From a request to its reply",
            ["command"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._add_media(registry)

    def _add_media(self, registry: CollectorRegistry) -> None:
        self.media_stored = Counter("dragoman_edge_media_kept", "Files stored", ["kind"], registry=registry)
        self.media_stored_bytes = Counter("dragoman_edge_media_kept_bytes", "Bytes of files stored", registry=registry)
        self.media_duplicates = Counter(
            "dragoman_edge_media_known", "Files stored whose content existed already", registry=registry
        )
        self.media_read_bytes = Counter("dragoman_edge_media_read_bytes", "Bytes of files read", registry=registry)
        self.media_failures = Counter(
            "dragoman_edge_media_failures", "Failures of the media store", ["doing"], registry=registry
        )

    def traffic(self, dialect: str) -> Traffic:
        return self.by_dialect.setdefault(dialect, Traffic())


class _PlainCollector(Collector):
    """Exports the plain counters."""

    def __init__(self, metrics: EdgeMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        received = CounterMetricFamily("dragoman_edge_frames_in", "Frames received", labels=["dialect"])
        sent = CounterMetricFamily("dragoman_edge_frames_out", "Frames sent", labels=["dialect"])
        for dialect, traffic in list(metrics.by_dialect.items()):  # collected by another thread while it may grow
            received.add_metric([dialect], traffic.frames_in)
            sent.add_metric([dialect], traffic.frames_out)
        yield received
        yield sent
        yield CounterMetricFamily("dragoman_edge_deliveries", "Messages delivered to connections", metrics.delivered)
        yield CounterMetricFamily(
            "dragoman_edge_encodings", "Messages encoded, once per variant of a dialect", metrics.encoded
        )
        yield metrics.post_seconds.family("dragoman_edge_post_seconds", "From a message's frame to its acknowledgement")
        yield metrics.delivery_seconds.family(
            "dragoman_edge_delivery_seconds", "From a message's commit to its delivery to a connection"
        )
