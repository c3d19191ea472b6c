"""Translates a dashboard's panels to PromQL; pure."""

from dataclasses import dataclass

from deploy.grafana.help_texts import HELP_TEXTS
from shared.dashboard.panels import Panel, PanelGroup, PanelKind, Unit

INTERVAL = "$__rate_interval"
_SHOWN = {
    PanelKind.RATE: "{}, per second",
    PanelKind.COUNT: "Observations per second of: {}",
    PanelKind.PERCENTILES: "{}, median and 99th percentile",
    PanelKind.MEAN: "{}, mean",
}


@dataclass(frozen=True)
class Query:
    """A PromQL expression with its legend in Grafana's notation, {{label}}."""

    expression: str
    legend: str


@dataclass(frozen=True)
class GrafanaPanel:
    title: str
    unit: Unit
    queries: tuple[Query, ...]
    bad: bool = False
    """Any value but zero indicates a problem."""
    text: str = ""
    """What it shows."""


@dataclass(frozen=True)
class Section:
    title: str
    panels: tuple[GrafanaPanel, ...]


@dataclass(frozen=True)
class Scope:
    """`selector` selects processes by label; each value of the label `split` gets a series."""

    selector: str
    split: str


def section(group: PanelGroup, scope: Scope) -> Section:
    return Section(group.title, tuple(panel(source, scope) for source in group.panels))


def panel(source: Panel, scope: Scope) -> GrafanaPanel:
    return GrafanaPanel(source.title, source.unit, _queries(source, scope), source.bad, _text(source))


def rate(name: str, selector: str, *labels: str) -> str:
    """The growth of a counter per second, summed by the given labels."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (rate({name}{{{selector}}}[{INTERVAL}]))"


def quantile(share: float, metric: str, selector: str, *labels: str) -> str:
    return f"histogram_quantile({share:g}, {rate(f'{metric}_bucket', selector, *labels, 'le')})"


def _text(source: Panel) -> str:
    if source.metric not in HELP_TEXTS:
        return ""
    shown = _SHOWN.get(source.kind, "{}").format(HELP_TEXTS[source.metric])
    return shown + (f", by {source.by}" if source.by else "") + (f", without {source.but}" if source.but else "") + "."


def _queries(source: Panel, scope: Scope) -> tuple[Query, ...]:
    selector = scope.selector + (f',{source.by}!="{source.but}"' if source.but else "")
    by = source.by or scope.split
    match source.kind:
        case PanelKind.GAUGE:
            return (Query(f"sum by ({by}) ({source.metric}{{{selector}}})", _legend(by)),)
        case PanelKind.AGE:
            return (Query(f"time() - {source.metric}{{{selector}}}", _legend("instance")),)
        case PanelKind.RATE:
            return (Query(rate(f"{source.metric}_total", selector, by), _legend(by)),)
        case PanelKind.COUNT:
            return (Query(rate(f"{source.metric}_count", selector, by), _legend(by)),)
        case PanelKind.PERCENTILES:
            return tuple(
                Query(quantile(share, source.metric, selector, scope.split), f"{name} {_legend(scope.split)}")
                for name, share in (("p50", 0.5), ("p99", 0.99))
            )
        case PanelKind.MEAN:
            return (_ratio(f"{source.metric}_sum", f"{source.metric}_count", scope),)
        case PanelKind.SHARE:
            return (_ratio(f"{source.metric}_total", f"{source.of}_total", scope),)


def _ratio(part: str, whole: str, scope: Scope) -> Query:
    expression = f"{rate(part, scope.selector, scope.split)} / {rate(whole, scope.selector, scope.split)}"
    return Query(expression, _legend(scope.split))


def _legend(label: str) -> str:
    return f"{{{{{label}}}}}"
