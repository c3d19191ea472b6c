"""Session's dashboard."""

from shared.dashboard import panels

DASHBOARD = panels.dashboard(
    "session",
    panels.REQUESTS,
    panels.group(
        "Events to edges",
        panels.rate("Events", "dragoman_session_events", by="kind"),
        panels.rate("By reach", "dragoman_session_events", by="reach"),
        panels.rate("Not sent to NATS", "dragoman_session_events_lost", bad=True),
        panels.gauge("Versions missing in Redis", "dragoman_session_versions_untold", bad=True),
        panels.rate("Versions dropped", "dragoman_session_versions_dropped", bad=True),
    ),
    panels.group(
        "Accounts and chats",
        panels.rate("Profiles created", "dragoman_session_profiles"),
        panels.rate("Chats created", "dragoman_session_chats"),
        panels.rate("Accounts erased", "dragoman_session_erased"),
        panels.rate("Memberships ended by deletions", "dragoman_session_departures"),
        panels.rate("Messages reported", "dragoman_session_reports"),
    ),
    panels.group(
        "Outgoing webhooks",
        panels.rate("Posts", "dragoman_session_webhook_posts", by="result"),
        panels.gauge("Failing", "dragoman_session_webhooks_failing"),
        panels.gauge("Stopped", "dragoman_session_webhooks_stopped", bad=True),
    ),
    panels.group(
        "Notifications",
        panels.rate("Pushes", "dragoman_session_pushes", by="result"),
        panels.percentiles("Time from the commit to the push", "dragoman_session_push_seconds"),
        panels.rate("Subscriptions removed", "dragoman_session_push_removed", by="cause"),
    ),
    panels.EVENTS,
    panels.DATABASE,
    panels.PRESENCE,
    panels.REQUESTS_SENT,
    panels.PROCESS,
)
