"""From a board's row to what Prometheus is asked; pure."""

from dataclasses import dataclass

from shared.dashboard.panels import Panel, PanelGroup, PanelKind, Unit

INTERVAL = "$__rate_interval"


@dataclass(frozen=True)
class Query:
    """`legend` in Grafana's own notation, {{label}}."""

    expression: str
    legend: str


@dataclass(frozen=True)
class GrafanaPanel:
    title: str
    unit: Unit
    queries: tuple[Query, ...]
    bad: bool = False
    """Anything but zero is worth a look."""


@dataclass(frozen=True)
class Section:
    title: str
    panels: tuple[GrafanaPanel, ...]


@dataclass(frozen=True)
class Scope:
    """`selector` says which processes, `split` is the label that tells them apart."""

    selector: str
    split: str


def section(group: PanelGroup, scope: Scope) -> Section:
    return Section(group.title, tuple(panel(row, scope) for row in group.panels))


def panel(row: Panel, scope: Scope) -> GrafanaPanel:
    return GrafanaPanel(row.title, row.unit, _queries(row, scope), row.bad)


def rate(name: str, selector: str, *labels: str) -> str:
    """A sample's growth per second, summed up but for some labels."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (rate({name}{{{selector}}}[{INTERVAL}]))"


def quantile(share: float, metric: str, selector: str, *labels: str) -> str:
    return f"histogram_quantile({share:g}, {rate(f'{metric}_bucket', selector, *labels, 'le')})"


def _queries(row: Panel, scope: Scope) -> tuple[Query, ...]:
    selector = scope.selector + (f',{row.by}!="{row.but}"' if row.but else "")
    by = row.by or scope.split
    match row.kind:
        case PanelKind.GAUGE:
            return (Query(f"sum by ({by}) ({row.metric}{{{selector}}})", _legend(by)),)
        case PanelKind.AGE:
            return (Query(f"time() - {row.metric}{{{selector}}}", _legend("instance")),)
        case PanelKind.RATE:
            return (Query(rate(f"{row.metric}_total", selector, by), _legend(by)),)
        case PanelKind.COUNT:
            return (Query(rate(f"{row.metric}_count", selector, by), _legend(by)),)
        case PanelKind.PERCENTILES:
            return tuple(
                Query(quantile(share, row.metric, selector, scope.split), f"{name} {_legend(scope.split)}")
                for name, share in (("p50", 0.5), ("p99", 0.99))
            )
        case PanelKind.MEAN:
            return (_ratio(f"{row.metric}_sum", f"{row.metric}_count", scope),)
        case PanelKind.SHARE:
            return (_ratio(f"{row.metric}_total", f"{row.of}_total", scope),)


def _ratio(part: str, whole: str, scope: Scope) -> Query:
    expression = f"{rate(part, scope.selector, scope.split)} / {rate(whole, scope.selector, scope.split)}"
    return Query(expression, _legend(scope.split))


def _legend(label: str) -> str:
    return f"{{{{{label}}}}}"
