"""The panels of Grafana. They are the panels of a service's status page, with queries in PromQL, and panels for further
metrics."""

from typing import NamedTuple

from prometheus_client import CollectorRegistry, GCCollector

from services.auth.metrics import AuthMetrics
from services.edge.metrics import EdgeMetrics
from services.message.metrics import MessageMetrics
from services.search.metrics import SearchMetrics
from services.session.metrics import SessionMetrics
from shared.bus.client import Bus
from shared.dashboard.panels import Panel, PanelKind, Unit
from shared.dashboard.sampler import EventLoopMetrics
from shared.ops import Readiness
from shared.settings.servers import NatsSettings

_SHOWN = {
    PanelKind.RATE: "{}, per second",
    PanelKind.COUNT: "Observations per second of: {}",
    PanelKind.PERCENTILES: "{}, median and 99th percentile",
    PanelKind.MEAN: "{}, mean",
}


class GrafanaPanel(NamedTuple):
    """`queries`: queries in PromQL, each with its legend in the notation of Grafana, {{label}}. `text`: a description
    for the reader. `bad`: whether any value but zero indicates a problem."""

    title: str
    unit: Unit
    queries: tuple[tuple[str, str], ...]
    text: str = ""
    bad: bool = False


class Scope(NamedTuple):
    """The processes that a panel shows. `selector` selects them by labels. Each value of the label `split` gets a line
    of its own."""

    selector: str
    split: str


def _help_texts() -> dict[str, str]:
    registry = CollectorRegistry()
    for metrics in (AuthMetrics, EdgeMetrics, MessageMetrics, SearchMetrics, SessionMetrics, EventLoopMetrics):
        metrics(registry)
    GCCollector(registry)
    Bus(NatsSettings(), "auth", registry)
    Readiness(registry, {})
    return {metric.name: metric.documentation for metric in registry.collect()}


_HELP_TEXTS = _help_texts()
"""The descriptions of metrics, by the name of their family. The metrics of the database and of presence are missing,
because they need a connection."""


def one(title: str, unit: Unit, expression: str, label: str, text: str = "", *, bad: bool = False) -> GrafanaPanel:
    """A panel with a line for each value of the label."""
    return GrafanaPanel(title, unit, ((expression, _legend(label)),), text, bad)


def of_process(source: Panel, scope: Scope) -> GrafanaPanel:
    """A panel of the status page, but for all processes of the scope."""
    return GrafanaPanel(source.title, source.unit, _queries(source, scope), _text(source), source.bad)


def rate(metric: str, selector: str, *labels: str) -> str:
    """The query for the growth of a counter per second, summed by the given labels."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (rate({metric}{{{selector}}}[$__rate_interval]))"


def quantile(share: float, metric: str, selector: str, *labels: str) -> str:
    return f"histogram_quantile({share:g}, {rate(f'{metric}_bucket', selector, *labels, 'le')})"


def _text(source: Panel) -> str:
    if source.metric not in _HELP_TEXTS:
        return ""
    shown = _SHOWN.get(source.kind, "{}").format(_HELP_TEXTS[source.metric])
    return shown + (f", by {source.by}" if source.by else "") + (f", without {source.but}" if source.but else "") + "."


def _queries(source: Panel, scope: Scope) -> tuple[tuple[str, str], ...]:
    metric, selector, split = source.metric, *scope
    selector += f',{source.by}!="{source.but}"' if source.but else ""
    by = source.by or split
    match source.kind:
        case PanelKind.GAUGE:
            return ((f"sum by ({by}) ({metric}{{{selector}}})", _legend(by)),)
        case PanelKind.AGE:
            return ((f"time() - {metric}{{{selector}}}", _legend("instance")),)
        case PanelKind.RATE:
            return ((rate(f"{metric}_total", selector, by), _legend(by)),)
        case PanelKind.COUNT:
            return ((rate(f"{metric}_count", selector, by), _legend(by)),)
        case PanelKind.PERCENTILES:
            return tuple(
                (quantile(share, metric, selector, split), f"p{share * 100:g} {_legend(split)}")
                for share in (0.5, 0.99)
            )
        case PanelKind.MEAN:
            parts = f"{metric}_sum", f"{metric}_count"
        case PanelKind.SHARE:
            parts = f"{metric}_total", f"{source.of}_total"
    return ((" / ".join(rate(part, selector, split) for part in parts), _legend(split)),)


def _legend(label: str) -> str:
    return f"{{{{{label}}}}}"
