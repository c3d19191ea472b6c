"""Session's own metrics; the bus counts the requests."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class SessionMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.profiles = Counter("dragoman_session_profiles", "Profiles created", registry=registry)
        self.chats = Counter("dragoman_session_chats", "Chats created", registry=registry)
        self.erased = Counter("dragoman_session_erased", "Accounts erased", registry=registry)
        self.memberships_ended = Counter(
            "dragoman_session_departures", "Memberships ended by a deletion", registry=registry
        )
        self.notices = Counter("dragoman_session_notices", "Notices to edges", ["kind", "reach"], registry=registry)
        self.notices_lost = Counter("dragoman_session_notices_lost", "Notices not sent to NATS", registry=registry)
        self.versions_unpublished = Gauge(
            "dragoman_session_versions_untold", "Chats whose version Redis lacks", registry=registry
        )
        self.versions_dropped = Counter(
            "dragoman_session_versions_dropped", "Versions dropped because too many are unpublished", registry=registry
        )
        self.reports = Counter("dragoman_session_reports", "Messages reported to the operator", registry=registry)
        self.hook_posts = Counter(
            "dragoman_session_hook_posts", "Posts to outgoing hooks", ["result"], registry=registry
        )
        self.hooks_failing = Gauge(
            "dragoman_session_hooks_failing", "Outgoing hooks whose last attempt failed", registry=registry
        )
        self.hooks_stopped = Gauge("dragoman_session_hooks_stopped", "Outgoing hooks given up", registry=registry)
