"""The dashboard of message."""

from shared.dashboard import panels

DASHBOARD = panels.dashboard(
    "message",
    panels.group(
        "Messages",
        panels.rate("Acknowledged", "dragoman_message_acknowledged"),
        panels.percentiles("Time to commit", "dragoman_message_commit_seconds"),
        panels.mean("Messages in a batch", "dragoman_message_batch_rows"),
        panels.count("Batches", "dragoman_message_batch_rows"),
        panels.gauge("Messages in flight", "dragoman_message_queue_rows"),
        panels.gauge("Partitions led", "dragoman_message_partitions"),
        panels.percentiles("Time to fan out", "dragoman_message_fan_out_seconds"),
        panels.count("Delivery batches", "dragoman_message_delivery_batch_bytes"),
        panels.percentiles("Size of a delivery batch", "dragoman_message_delivery_batch_bytes", panels.Unit.BYTES),
        panels.rate("Changed", "dragoman_message_changes", by="kind"),
        panels.rate("Expired", "dragoman_message_expired"),
    ),
    panels.group(
        "Trouble",
        panels.rate("Rejected", "dragoman_message_refused", by="code", bad=True),
        panels.rate("Batches retried", "dragoman_message_retries", by="cause", bad=True),
        panels.rate("Duplicates", "dragoman_message_duplicates"),
        panels.rate("Fan-outs lost", "dragoman_message_losses", bad=True),
        panels.rate("Presence unknown", "dragoman_message_presence_unknown", bad=True),
        panels.rate("Membership requests", "dragoman_message_membership_refreshes", by="outcome"),
    ),
    panels.REQUESTS,
    panels.DATABASE,
    panels.PRESENCE,
    panels.REQUESTS_SENT,
    panels.PROCESS,
)
