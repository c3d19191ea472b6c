"""The edge's dashboard."""

from shared.dashboard.panels import (
    PRESENCE,
    PROCESS,
    REQUESTS_SENT,
    Dashboard,
    PanelGroup,
    Unit,
    count,
    gauge,
    percentiles,
    rate,
    share,
)

DASHBOARD = Dashboard(
    "edge",
    (
        PanelGroup(
            "Clients",
            (
                gauge("Connections", "dragoman_edge_connections", by="dialect"),
                rate("Frames in", "dragoman_edge_frames_in", by="dialect"),
                rate("Frames out", "dragoman_edge_frames_out", by="dialect"),
                rate("Deliveries", "dragoman_edge_deliveries"),
                share("Encodings per delivery", "dragoman_edge_encodings", "dragoman_edge_deliveries"),
                percentiles("Time to acknowledge", "dragoman_edge_post_seconds"),
                percentiles("Time to deliver", "dragoman_edge_delivery_seconds"),
                count("Requests", "dragoman_edge_request_seconds", by="command"),
                percentiles("Time to reply", "dragoman_edge_request_seconds"),
                rate("Requests to post messages", "dragoman_edge_posts", by="to"),
            ),
        ),
        PanelGroup(
            "Trouble",
            (
                rate("Rejected", "dragoman_edge_refusals", by="code", bad=True),
                rate("Closed by us", "dragoman_edge_closes", by="code"),
                rate("Closed as too slow", "dragoman_edge_slow_closes", bad=True),
                rate("Invalid tokens", "dragoman_edge_token_failures", by="reason"),
                rate("Ignored X-Forwarded-For", "dragoman_edge_untrusted_forwards"),
                rate("Lost from presence", "dragoman_edge_presence_losses", bad=True),
                rate("Messages lost", "dragoman_edge_messages_lost", by="stage", bad=True),
                rate("Accounts compared", "dragoman_edge_audits"),
                rate("Re-syncs after a loss", "dragoman_edge_resyncs", bad=True),
                rate("Gaps fetched", "dragoman_edge_catch_ups"),
                rate("Duplicate deliveries", "dragoman_edge_duplicates"),
                gauge("Certificate is valid for", "dragoman_edge_certificate_seconds", Unit.SECONDS),
            ),
        ),
        PanelGroup(
            "Accounts and chats",
            (
                gauge("Accounts", "dragoman_edge_accounts"),
                gauge("Chats", "dragoman_edge_chats"),
                gauge("Connections without a dialect", "dragoman_edge_undecided_connections"),
                gauge("Connections by plain TCP", "dragoman_edge_tcp_connections"),
            ),
        ),
        PRESENCE,
        REQUESTS_SENT,
        PanelGroup(
            "Pictures and files",
            (
                rate("Files stored", "dragoman_edge_media_kept", by="kind"),
                rate("Bytes stored", "dragoman_edge_media_kept_bytes", Unit.BYTES_PER_SECOND),
                rate("Bytes read", "dragoman_edge_media_read_bytes", Unit.BYTES_PER_SECOND),
                rate("Duplicate contents", "dragoman_edge_media_known"),
                rate("Failures of the store", "dragoman_edge_media_failures", by="doing", bad=True),
            ),
        ),
        PROCESS,
    ),
)
