"""The edge's metrics."""

from collections.abc import Callable, Iterator
from functools import cache, partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from shared.contract.audit import LOST
from shared.plain_histogram import LATENCY_BUCKETS, PlainHistogram

_SECONDS = (*LATENCY_BUCKETS, 60)


class Traffic:
    """The frame counters of one dialect. The counters are plain integers, because every frame is counted."""

    __slots__ = ("frames_in", "frames_out")

    def __init__(self) -> None:
        self.frames_in = 0
        self.frames_out = 0


class CachedLabels:
    """Caches a counter for each set of labels. Under overload, each rejected message increments such a counter."""

    def __init__(self, counter: Counter) -> None:
        self.labels = cache(counter.labels)


class EdgeMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.by_dialect: dict[str, Traffic] = {}
        self.delivered = 0
        """The number of messages that were delivered to connections."""
        self.encoded = 0
        """The number of messages that were encoded. Each message is counted once for each variant of a dialect."""
        registry.register(_PlainCollector(self))
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self.connections = gauge("dragoman_edge_connections", "Open connections", ["dialect"])
        self.undecided = gauge("dragoman_edge_undecided_connections", "Open connections whose dialect is not known yet")
        self.tcp = gauge("dragoman_edge_tcp_connections", "Open connections by plain TCP")
        self.accounts = gauge("dragoman_edge_accounts", "Accounts with a connection to this edge")
        self.chats = gauge("dragoman_edge_chats", "Chats with a member on this edge")
        rejected = counter("dragoman_edge_refusals", "Requests rejected", ["dialect", "code"])
        self.rejected = CachedLabels(rejected)
        posts = counter(
            "dragoman_edge_posts", "Requests to post messages: to the leader, to the next replica, or to any", ["to"]
        )
        self.posts = CachedLabels(posts)
        self.certificate = gauge(
            "dragoman_edge_certificate_seconds", "Time until the served certificate expires", ["file"]
        )
        self.closed = counter("dragoman_edge_closes", "Connections that this edge closed", ["code"])
        self.slow_closes = counter("dragoman_edge_slow_closes", "Connections closed because they were too slow")
        self.bad_tokens = counter("dragoman_edge_token_failures", "Invalid tokens", ["reason"])
        self.untrusted_proxies = counter(
            "dragoman_edge_untrusted_forwards",
            "WebSockets and operations whose X-Forwarded-For was ignored, because no trusted proxy sent it",
        )
        self.presence_lost = counter("dragoman_edge_presence_losses", "Times that presence lost this node")
        self.duplicates = counter("dragoman_edge_duplicates", "Messages received more than once")
        self.catch_ups = counter("dragoman_edge_catch_ups", "Gaps in chats that were fetched")
        lost = counter("dragoman_edge_messages_lost", "Messages neither delivered nor waiting", ["stage"])
        self.lost = {stage: lost.labels(stage.value) for stage in LOST}
        self.audits = counter("dragoman_edge_audits", "Accounts checked for lost messages")
        self.resyncs = counter("dragoman_edge_resyncs", "Accounts synced again after a loss")
        self._add_times(registry)
        self._add_media(counter)

    def _add_times(self, registry: CollectorRegistry) -> None:
        self.post_seconds = PlainHistogram(
            "dragoman_edge_post_seconds", "Time from a message's frame to its acknowledgement", _SECONDS, registry
        )
        self.delivery_seconds = PlainHistogram(
            "dragoman_edge_delivery_seconds", "Time from a message's commit to its delivery", _SECONDS, registry
        )
        self.request_seconds = Histogram(
            "dragoman_edge_request_seconds",
            "Time from a request to its reply",
            ["command"],
            buckets=_SECONDS,
            registry=registry,
        )

    def _add_media(self, counter: Callable[..., Counter]) -> None:
        self.media_stored = counter("dragoman_edge_media_kept", "Files stored", ["kind"])
        self.media_stored_bytes = counter("dragoman_edge_media_kept_bytes", "Bytes of files stored")
        self.media_duplicates = counter("dragoman_edge_media_known", "Files stored whose content existed already")
        self.media_read_bytes = counter("dragoman_edge_media_read_bytes", "Bytes of files read")
        self.media_failures = counter("dragoman_edge_media_failures", "Failures of the media store", ["doing"])

    def traffic(self, dialect: str) -> Traffic:
        return self.by_dialect.setdefault(dialect, Traffic())


class _PlainCollector(Collector):
    """Exports the counters that are plain integers."""

    def __init__(self, metrics: EdgeMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        received = CounterMetricFamily("dragoman_edge_frames_in", "Frames received", labels=["dialect"])
        sent = CounterMetricFamily("dragoman_edge_frames_out", "Frames sent", labels=["dialect"])
        # Another thread collects the metrics. This mapping may grow meanwhile, so it is copied.
        for dialect, traffic in list(metrics.by_dialect.items()):
            received.add_metric([dialect], traffic.frames_in)
            sent.add_metric([dialect], traffic.frames_out)
        yield received
        yield sent
        yield CounterMetricFamily("dragoman_edge_deliveries", "Messages delivered to connections", metrics.delivered)
        yield CounterMetricFamily(
            "dragoman_edge_encodings", "Messages encoded, counted once for each variant of a dialect", metrics.encoded
        )
