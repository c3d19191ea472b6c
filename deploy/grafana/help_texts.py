"""The help texts of metrics, as processes export them."""

from prometheus_client import CollectorRegistry, GCCollector

from services.auth.metrics import AuthMetrics
from services.edge.metrics import EdgeMetrics
from services.message.metrics import MessageMetrics
from services.session.metrics import SessionMetrics
from shared.bus.client import Bus
from shared.dashboard.event_loop import EventLoopMetrics
from shared.readiness import Readiness
from shared.settings import NatsSettings


def _collect() -> dict[str, str]:
    registry = CollectorRegistry()
    for metrics in (AuthMetrics, EdgeMetrics, MessageMetrics, SessionMetrics, EventLoopMetrics):
        metrics(registry)
    GCCollector(registry)
    Bus(NatsSettings(), "auth", registry)
    Readiness(registry, {})
    return {metric.name: metric.documentation for metric in registry.collect()}


HELP_TEXTS = _collect()
"""By the name of a metric's family; without those of the database and of presence, which need a connection."""
