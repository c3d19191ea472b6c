"""Metrics of the auth service."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_HASH_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class AuthMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.logins = counter("dragoman_auth_logins", "Login requests", ["result"])
        self.registrations = counter("dragoman_auth_registrations", "Registration requests", ["result"])
        self.recoveries = counter("dragoman_auth_recoveries", "Recovery requests", ["result"])
        self.deletions = counter("dragoman_auth_deletions", "Accounts deleted")
        self.hashes_waiting = gauge("dragoman_auth_hashes_waiting", "Requests that wait until a password is hashed")
        self.hash_seconds = histogram(
            "dragoman_auth_hash_seconds", "Time to hash a password, in its thread", buckets=_HASH_BUCKETS
        )
        self.revocations = counter("dragoman_auth_revocations", "Tokens voided", ["scope"])
        self.verifications = counter("dragoman_auth_verifications", "Steps of e-mail verifications", ["step"])
        self.mails = counter("dragoman_auth_mails", "Mails delivered", ["result"])
        self.limiter_fallbacks = counter(
            "dragoman_auth_limiter_fallbacks", "Limits that this process counts alone, because Redis is unavailable"
        )
        self.relay_failures = counter("dragoman_auth_relay_failures", "Failed attempts to publish committed events")
