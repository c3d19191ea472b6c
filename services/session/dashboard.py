"""Session's dashboard."""

from shared.dashboard.panels import (
    DATABASE,
    EVENTS,
    PRESENCE,
    PROCESS,
    REQUESTS,
    REQUESTS_SENT,
    dashboard,
    gauge,
    group,
    percentiles,
    rate,
)

DASHBOARD = dashboard(
    "session",
    REQUESTS,
    group(
        "Events to edges",
        rate("Events", "dragoman_session_events", by="kind"),
        rate("By reach", "dragoman_session_events", by="reach"),
        rate("Not sent to NATS", "dragoman_session_events_lost", bad=True),
        gauge("Versions missing in Redis", "dragoman_session_versions_untold", bad=True),
        rate("Versions dropped", "dragoman_session_versions_dropped", bad=True),
    ),
    group(
        "Accounts and chats",
        rate("Profiles created", "dragoman_session_profiles"),
        rate("Chats created", "dragoman_session_chats"),
        rate("Accounts erased", "dragoman_session_erased"),
        rate("Memberships ended by deletions", "dragoman_session_departures"),
        rate("Messages reported", "dragoman_session_reports"),
    ),
    group(
        "Outgoing webhooks",
        rate("Posts", "dragoman_session_webhook_posts", by="result"),
        gauge("Failing", "dragoman_session_webhooks_failing"),
        gauge("Stopped", "dragoman_session_webhooks_stopped", bad=True),
    ),
    group(
        "Notifications",
        rate("Pushes", "dragoman_session_pushes", by="result"),
        percentiles("Time from the commit to the push", "dragoman_session_push_seconds"),
        rate("Subscriptions removed", "dragoman_session_push_removed", by="cause"),
    ),
    EVENTS,
    DATABASE,
    PRESENCE,
    REQUESTS_SENT,
    PROCESS,
)
