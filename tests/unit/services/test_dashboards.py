"""Each service's dashboard shows all metrics of the service, and no others."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.auth import dashboard as auth
from services.auth import metrics as auth_metrics
from services.edge import dashboard as edge
from services.edge import metrics as edge_metrics
from services.message import dashboard as message
from services.message import metrics as message_metrics
from services.session import dashboard as session
from services.session import metrics as session_metrics
from shared.bus.client import Bus
from shared.dashboard.panels import Dashboard, PanelKind
from shared.dashboard.sampler import EventLoopMetrics
from shared.database import Database
from shared.ops import Readiness
from shared.presence.store import Presence
from shared.settings.servers import NatsSettings, RedisSettings
from shared.telemetry import new_registry

OURS = "dragoman_"
SERVICES: list[tuple[Dashboard, Callable[[CollectorRegistry], object]]] = [
    (auth.DASHBOARD, auth_metrics.AuthMetrics),
    (edge.DASHBOARD, edge_metrics.EdgeMetrics),
    (message.DASHBOARD, message_metrics.MessageMetrics),
    (session.DASHBOARD, session_metrics.SessionMetrics),
]


@pytest.fixture(params=SERVICES, ids=lambda one: str(one[0].service))
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Dashboard, dict[str, str]]:
    """A service's dashboard, and the type of each of its metrics."""
    dashboard, metrics = request.param
    registry = new_registry()
    metrics(registry)
    Bus(NatsSettings(), dashboard.service, registry)
    EventLoopMetrics(registry)
    Readiness(registry, {})
    if dashboard.service != "edge":
        await Database(f"sqlite:///{tmp_path / 'test.db'}", registry=registry).close()
    if dashboard.service != "auth":
        await Presence(RedisSettings(), registry).close()
    return dashboard, {metric.name: metric.type for metric in registry.collect()}


async def test_every_panel_has_its_metric(service: tuple[Dashboard, dict[str, str]]) -> None:
    dashboard, types = service
    fitting = {
        PanelKind.GAUGE: {"gauge"}, PanelKind.AGE: {"gauge"}, PanelKind.RATE: {"counter"}, PanelKind.SHARE: {"counter"},
        PanelKind.COUNT: {"histogram"}, PanelKind.MEAN: {"histogram"}, PanelKind.PERCENTILES: {"histogram"},
    }  # fmt: skip
    assert [panel for panel in dashboard.panels if types.get(panel.metric) not in fitting[panel.kind]] == []
    assert [panel for panel in dashboard.panels if panel.of and types.get(panel.of) != "counter"] == []


async def test_every_metric_of_the_service_has_a_panel(service: tuple[Dashboard, dict[str, str]]) -> None:
    dashboard, types = service
    own = {name for name in types if name.startswith(f"{OURS}{dashboard.service}_")}
    assert own
    assert own - {panel.metric for panel in dashboard.panels} - {panel.of for panel in dashboard.panels} == set()


async def test_titles_are_unique(service: tuple[Dashboard, dict[str, str]]) -> None:
    dashboard, _ = service
    titles = [panel.title for panel in dashboard.panels]
    assert sorted(titles) == sorted(set(titles))
