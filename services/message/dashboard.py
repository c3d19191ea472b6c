"""The dashboard of message."""

from shared.dashboard.panels import (
    DATABASE,
    PRESENCE,
    PROCESS,
    REQUESTS,
    REQUESTS_SENT,
    Unit,
    count,
    dashboard,
    gauge,
    group,
    mean,
    percentiles,
    rate,
)

DASHBOARD = dashboard(
    "message",
    group(
        "Messages",
        rate("Acknowledged", "dragoman_message_acknowledged"),
        percentiles("Time to commit", "dragoman_message_commit_seconds"),
        mean("Messages in a batch", "dragoman_message_batch_rows"),
        count("Batches", "dragoman_message_batch_rows"),
        gauge("Messages in flight", "dragoman_message_queue_rows"),
        gauge("Partitions led", "dragoman_message_partitions"),
        percentiles("Time to fan out", "dragoman_message_fan_out_seconds"),
        count("Delivery batches", "dragoman_message_delivery_batch_bytes"),
        percentiles("Size of a delivery batch", "dragoman_message_delivery_batch_bytes", Unit.BYTES),
        rate("Changed", "dragoman_message_changes", by="kind"),
        rate("Expired", "dragoman_message_expired"),
    ),
    group(
        "Trouble",
        rate("Rejected", "dragoman_message_refused", by="code", bad=True),
        rate("Batches retried", "dragoman_message_retries", by="cause", bad=True),
        rate("Duplicates", "dragoman_message_duplicates"),
        rate("Fan-outs lost", "dragoman_message_losses", bad=True),
        rate("Presence unknown", "dragoman_message_presence_unknown", bad=True),
        rate("Membership requests", "dragoman_message_membership_refreshes", by="outcome"),
    ),
    REQUESTS,
    DATABASE,
    PRESENCE,
    REQUESTS_SENT,
    PROCESS,
)
