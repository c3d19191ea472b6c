"""Each service shows what it counts, and nothing else."""

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
from shared.dashboard.event_loop_lag import EventLoopLag
from shared.dashboard.panels import Dashboard, PanelKind
from shared.database import Database
from shared.presence import Presence
from shared.settings import Nats, Redis
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
    """Its board, and the types of the metrics that it has by their names."""
    board, metrics = request.param
    registry = new_registry()
    metrics(registry)
    Bus(Nats(), board.service, registry)
    EventLoopLag(registry)
    if board.service != "edge":
        await Database(f"sqlite:///{tmp_path / 'test.db'}", registry=registry).close()
    if board.service != "auth":
        await Presence(Redis(), registry).close()
    return board, {metric.name: metric.type for metric in registry.collect()}


async def test_every_row_has_its_metric(service: tuple[Dashboard, dict[str, str]]) -> None:
    board, types = service
    fitting = {
        PanelKind.GAUGE: {"gauge"}, PanelKind.AGE: {"gauge"}, PanelKind.RATE: {"counter"}, PanelKind.SHARE: {"counter"},
        PanelKind.COUNT: {"histogram"}, PanelKind.MEAN: {"histogram"}, PanelKind.PERCENTILES: {"histogram"},
    }  # fmt: skip
    assert [row for row in board.panels if types.get(row.metric) not in fitting[row.kind]] == []
    assert [row for row in board.panels if row.of and types.get(row.of) != "counter"] == []


async def test_every_metric_of_its_own_has_a_row(service: tuple[Dashboard, dict[str, str]]) -> None:
    board, types = service
    own = {name for name in types if name.startswith(f"{OURS}{board.service}_")}
    assert own
    assert own - {row.metric for row in board.panels} - {row.of for row in board.panels} == set()


async def test_titles_are_told_apart(service: tuple[Dashboard, dict[str, str]]) -> None:
    board, _ = service
    titles = [row.title for row in board.panels]
    assert sorted(titles) == sorted(set(titles))
