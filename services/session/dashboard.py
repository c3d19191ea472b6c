"""Session's dashboard."""

from shared.dashboard.panels import (
    DATABASE,
    EVENTS,
    PRESENCE,
    PROCESS,
    REQUESTS,
    REQUESTS_SENT,
    Dashboard,
    PanelGroup,
    gauge,
    rate,
)

DASHBOARD = Dashboard(
    "session",
    (
        REQUESTS,
        PanelGroup(
            "Notices to edges",
            (
                rate("Notices", "dragoman_session_notices", by="kind"),
                rate("By reach", "dragoman_session_notices", by="reach"),
                rate("Not sent to NATS", "dragoman_session_notices_lost", bad=True),
                gauge("Versions missing in Redis", "dragoman_session_versions_untold", bad=True),
                rate("Versions dropped", "dragoman_session_versions_dropped", bad=True),
            ),
        ),
        PanelGroup(
            "Accounts and chats",
            (
                rate("Profiles created", "dragoman_session_profiles"),
                rate("Chats created", "dragoman_session_chats"),
                rate("Accounts erased", "dragoman_session_erased"),
                rate("Memberships ended by deletions", "dragoman_session_departures"),
                rate("Messages reported", "dragoman_session_reports"),
            ),
        ),
        PanelGroup(
            "Outgoing hooks",
            (
                rate("Posts", "dragoman_session_hook_posts", by="result"),
                gauge("Failing", "dragoman_session_hooks_failing"),
                gauge("Stopped", "dragoman_session_hooks_stopped", bad=True),
            ),
        ),
        EVENTS,
        DATABASE,
        PRESENCE,
        REQUESTS_SENT,
        PROCESS,
    ),
)
