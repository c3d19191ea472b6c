"""The metrics of search. The metrics of requests belong to the NATS client."""

import shutil
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.telemetry import LATENCY_BUCKETS


class SearchMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.indexed = Counter("dragoman_search_indexed", "Messages written to the index", registry=registry)
        self.commit_seconds = Histogram(
            "dragoman_search_commit_seconds", "Time to commit the index", buckets=LATENCY_BUCKETS, registry=registry
        )
        self.find_seconds = Histogram(
            "dragoman_search_find_seconds", "Time of a search in the index", buckets=LATENCY_BUCKETS, registry=registry
        )
        self.documents = Gauge("dragoman_search_documents", "Documents in the index", registry=registry)
        self.bytes = Gauge("dragoman_search_bytes", "Size of the index on disk", registry=registry)
        self.waiting = Gauge("dragoman_search_waiting_chats", "Chats with messages not yet indexed", registry=registry)
        self.behind_seconds = Gauge(
            "dragoman_search_behind_seconds", "Longest possible age of the oldest unindexed message", registry=registry
        )
        self.failures = Counter(
            "dragoman_search_index_failures", "Failed attempts to write the index", registry=registry
        )
        self.rebuilds = Counter("dragoman_search_rebuilds", "Rebuilds of the index", registry=registry)
        self.stale = Counter(
            "dragoman_search_stale_hits", "Matches dropped because the message had changed", registry=registry
        )
        self.disk_used = Gauge("dragoman_search_disk_used", "Used share of the index's disk", registry=registry)

    def watch_disk(self, directory: Path) -> None:
        """Measures the disk of `directory` at each scrape. The directory may be missing."""

        def used() -> float:
            place = next(one for one in (directory, *directory.absolute().parents) if one.exists())
            usage = shutil.disk_usage(place)
            return 1 - usage.free / usage.total

        self.disk_used.set_function(used)
