"""The metrics of the message service. The metrics of requests belong to the NATS client."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge

from shared.contract.errors import ErrorCode
from shared.contract.message import ChangeKind
from shared.plain_histogram import LATENCY_BUCKETS, PlainHistogram

_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_BYTES = (256, 1024, 4096, 16_384, 65_536, 262_144, 524_288)


class MessageMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        self.batch_rows = PlainHistogram("dragoman_message_batch_rows", "Messages in one transaction", _ROWS, registry)
        self.commit_seconds = PlainHistogram(
            "dragoman_message_commit_seconds", "Time to commit a batch", LATENCY_BUCKETS, registry
        )
        self.fan_out_seconds = PlainHistogram(
            "dragoman_message_fan_out_seconds", "Time to publish a batch", LATENCY_BUCKETS, registry
        )
        self.delivery_batch_bytes = PlainHistogram(
            "dragoman_message_delivery_batch_bytes", "Size of a delivery batch", _BYTES, registry
        )
        self.acknowledged = counter("dragoman_message_acknowledged", "Messages acknowledged")
        self.duplicates = counter("dragoman_message_duplicates", "Messages that were sent again and already stored")
        self.expired = counter("dragoman_message_expired", "Messages whose content was removed by age")
        changes = counter("dragoman_message_changes", "Changes of messages", ["kind"])
        self.changes = {kind: changes.labels(kind.value) for kind in ChangeKind}
        self.queue_rows = gauge("dragoman_message_queue_rows", "Messages in flight")
        self.partitions = gauge("dragoman_message_partitions", "Partitions that this replica leads")
        self.retries = counter("dragoman_message_retries", "Batches retried", ["cause"])
        self.presence_unknown = counter(
            "dragoman_message_presence_unknown", "Batches broadcast because presence was unknown"
        )
        self.losses = counter("dragoman_message_losses", "Deliveries that failed, after which every edge syncs")
        self.refreshes = counter(
            "dragoman_message_membership_refreshes", "Member lists requested from the session service", ["outcome"]
        )
        rejected = counter("dragoman_message_refused", "Messages rejected", ["code"])
        self.rejected = {code: rejected.labels(code.value) for code in ErrorCode}
