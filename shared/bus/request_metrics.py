"""Metrics of a process's requests to other services."""

from prometheus_client import CollectorRegistry, Gauge, Histogram

from shared.contract.errors import ErrorCode
from shared.telemetry import LATENCY_BUCKETS


def served_seconds(registry: CollectorRegistry) -> Histogram:
    return Histogram(
        "dragoman_bus_request_seconds",
        "Time to answer a request",
        ["subject", "outcome"],
        buckets=LATENCY_BUCKETS,
        registry=registry,
    )


class SentRequestMetrics:
    """Times and results of requests, and whether the last one to each service was answered."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "dragoman_bus_ask_seconds",
            "Time until a request was answered",
            ["subject", "outcome"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._available = Gauge(
            "dragoman_service_available",
            "Whether the last request to a service was answered (1) or the service was unavailable (0)",
            ["service"],
            registry=registry,
        )
        self._known: dict[str, bool] = {}

    def observe(self, label: str, result: str, seconds: float) -> None:
        """`label`: the route's, which begins with the name of its service; `result`: `ok` or an error code."""
        self._seconds.labels(label, result).observe(seconds)
        service, available = label.partition(".")[0], result != ErrorCode.UNAVAILABLE.value
        if self._known.get(service) != available:
            self._known[service] = available
            self._available.labels(service).set(available)
