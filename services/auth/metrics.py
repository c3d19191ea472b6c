"""Metrics of the auth service."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_HASH_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class AuthMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.logins = Counter("dragoman_auth_logins", "Login requests", ["result"], registry=registry)
        self.registrations = Counter(
            "dragoman_auth_registrations", "Registration requests", ["result"], registry=registry
        )
        self.recoveries = Counter("dragoman_auth_recoveries", "Recovery requests", ["result"], registry=registry)
        self.deletions = Counter("dragoman_auth_deletions", "Accounts deleted", registry=registry)
        self.hashes_waiting = Gauge(
            "dragoman_auth_hashes_waiting", "Requests that wait until a password is hashed", registry=registry
        )
        self.hash_seconds = Histogram(
            "dragoman_auth_hash_seconds",
            "Time to hash a password, in its thread",
            buckets=_HASH_BUCKETS,
            registry=registry,
        )
        self.revocations = Counter("dragoman_auth_revocations", "Tokens voided", ["scope"], registry=registry)
        self.verifications = Counter(
            "dragoman_auth_verifications", "Steps of e-mail verifications", ["step"], registry=registry
        )
        self.mails = Counter("dragoman_auth_mails", "Mails delivered", ["result"], registry=registry)
        self.limiter_fallbacks = Counter(
            "dragoman_auth_limiter_fallbacks",
            "Limits that this process counts alone, because Redis is unavailable",
            registry=registry,
        )
        self.relay_failures = Counter(
            "dragoman_auth_relay_failures", "Failed attempts to publish committed events", registry=registry
        )
