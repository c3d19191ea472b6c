"""The metrics of search. The metrics of requests belong to the NATS client."""

import shutil
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.plain_histogram import LATENCY_BUCKETS


class SearchMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.indexed = counter("dragoman_search_indexed", "Messages written to the index")
        self.commit_seconds = histogram(
            "dragoman_search_commit_seconds", "Time to commit the index", buckets=LATENCY_BUCKETS
        )
        self.find_seconds = histogram(
            "dragoman_search_find_seconds", "Time of a search in the index", buckets=LATENCY_BUCKETS
        )
        self.documents = gauge("dragoman_search_documents", "Documents in the index")
        self.bytes = gauge("dragoman_search_bytes", "Size of the index on disk")
        self.waiting = gauge("dragoman_search_waiting_chats", "Chats with messages not yet indexed")
        self.behind_seconds = gauge(
            "dragoman_search_behind_seconds", "Longest possible age of the oldest unindexed message"
        )
        self.failures = counter("dragoman_search_index_failures", "Failed attempts to write the index")
        self.rebuilds = counter("dragoman_search_rebuilds", "Rebuilds of the index")
        self.stale = counter("dragoman_search_stale_hits", "Matches dropped because the message had changed")
        self.disk_used = gauge("dragoman_search_disk_used", "Used share of the index's disk")

    def watch_disk(self, directory: Path) -> None:
        """Measures the disk of `directory` at each scrape. The directory may be missing."""

        def used() -> float:
            place = next(one for one in (directory, *directory.absolute().parents) if one.exists())
            usage = shutil.disk_usage(place)
            return 1 - usage.free / usage.total

        self.disk_used.set_function(used)
