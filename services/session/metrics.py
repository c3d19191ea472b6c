"""Session's own metrics. The metrics of requests belong to the NATS client."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class SessionMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.profiles = counter("dragoman_session_profiles", "Profiles created")
        self.chats = counter("dragoman_session_chats", "Chats created")
        self.erased = counter("dragoman_session_erased", "Accounts erased")
        self.memberships_ended = counter(
            "dragoman_session_departures", "Memberships ended because an account was deleted"
        )
        self.events = counter("dragoman_session_events", "Events to edges", ["kind", "reach"])
        self.events_lost = counter("dragoman_session_events_lost", "Events not sent to NATS")
        self.versions_unpublished = gauge("dragoman_session_versions_untold", "Chats whose version is missing in Redis")
        self.versions_dropped = counter(
            "dragoman_session_versions_dropped", "Versions of chats that were never published"
        )
        self.reports = counter("dragoman_session_reports", "Messages reported to the operator")
        self.webhook_posts = counter("dragoman_session_webhook_posts", "Posts to outgoing webhooks", ["result"])
        self.webhooks_failing = gauge(
            "dragoman_session_webhooks_failing", "Outgoing webhooks whose last attempt failed"
        )
        self.webhooks_stopped = gauge("dragoman_session_webhooks_stopped", "Outgoing webhooks given up")
        self.pushes = counter("dragoman_session_pushes", "Requests to push services", ["result", "service"])
        self.push_seconds = histogram(
            "dragoman_session_push_seconds",
            "Time from the commit of a message to its notification",
            buckets=(10.5, 11, 12, 15, 20, 30, 60, 300, 3_600),
        )
        self.subscriptions_removed = counter("dragoman_session_push_removed", "Subscriptions removed", ["cause"])
