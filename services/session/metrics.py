"""Session's own metrics. The metrics of requests belong to the NATS client."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class SessionMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.profiles = Counter("dragoman_session_profiles", "Profiles created", registry=registry)
        self.chats = Counter("dragoman_session_chats", "Chats created", registry=registry)
        self.erased = Counter("dragoman_session_erased", "Accounts erased", registry=registry)
        self.memberships_ended = Counter(
            "dragoman_session_departures", "Memberships ended because an account was deleted", registry=registry
        )
        self.events = Counter("dragoman_session_events", "Events to edges", ["kind", "reach"], registry=registry)
        self.events_lost = Counter("dragoman_session_events_lost", "Events not sent to NATS", registry=registry)
        self.versions_unpublished = Gauge(
            "dragoman_session_versions_untold", "Chats whose version is missing in Redis", registry=registry
        )
        self.versions_dropped = Counter(
            "dragoman_session_versions_dropped", "Versions of chats that were never published", registry=registry
        )
        self.reports = Counter("dragoman_session_reports", "Messages reported to the operator", registry=registry)
        self.webhook_posts = Counter(
            "dragoman_session_webhook_posts", "Posts to outgoing webhooks", ["result"], registry=registry
        )
        self.webhooks_failing = Gauge(
            "dragoman_session_webhooks_failing", "Outgoing webhooks whose last attempt failed", registry=registry
        )
        self.webhooks_stopped = Gauge(
            "dragoman_session_webhooks_stopped", "Outgoing webhooks given up", registry=registry
        )
        self.pushes = Counter(
            "dragoman_session_pushes", "Requests to push services", ["result", "service"], registry=registry
        )
        self.push_seconds = Histogram(
            "dragoman_session_push_seconds", "Time from the commit of a message to its notification",
            buckets=(10.5, 11, 12, 15, 20, 30, 60, 300, 3_600), registry=registry,
        )  # fmt: skip
        self.subscriptions_removed = Counter(
            "dragoman_session_push_removed", "Subscriptions removed", ["cause"], registry=registry
        )
