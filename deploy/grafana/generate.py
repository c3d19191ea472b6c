"""Generates Grafana's dashboards: `python -m deploy.grafana.generate` writes the JSON files."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.grafana.alerts import ALERTS, LIMITS, RELATED, Alert
from deploy.grafana.definitions import DASHBOARDS, GrafanaDashboard
from deploy.grafana.panels import GrafanaPanel
from shared.dashboard.panels import Unit

DIRECTORY = Path(__file__).parent / "dashboards"
_WIDTH, _HEIGHT, _COLUMNS = 6, 7, 24
_TEXT_WIDTH, _TEXT_HEIGHT = 12, 9
_RUNBOOKS = "dragoman-runbooks"
_COLOURS = {"info": "yellow", "warning": "orange", "critical": "red"}
"""Of an alert's limit, by its severity, in ascending order."""
_ABOVE_ZERO = 1e-9
"""Grafana colours from a value on, an alert fires above it."""
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_LINK = {"type": "dashboards", "title": "Dragoman", "tags": ["dragoman"], "asDropdown": True, "keepTime": True}
_UNITS = {
    Unit.NUMBER: "short", Unit.PER_SECOND: "ops", Unit.SECONDS: "s", Unit.BYTES: "bytes",
    Unit.BYTES_PER_SECOND: "Bps", Unit.SHARE: "percentunit",
}  # fmt: skip

Json = dict[str, Any]


def files() -> dict[str, str]:
    """File contents by name."""
    documents = {one.name: _dashboard(one) for one in DASHBOARDS} | {"runbooks": _runbooks()}
    return {f"{name}.json": _text(one) for name, one in documents.items()}


def _text(document: Json) -> str:
    """A line for each panel, so that a difference shows which ones have changed."""
    panels = ",\n  ".join(map(json.dumps, document["panels"]))
    others = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in document.items() if name != "panels")
    parts = ",\n ".join([*others, f'"panels": [\n  {panels}\n ]'])
    return f"{{\n {parts}\n}}\n"


def _dashboard(dashboard: GrafanaDashboard) -> Json:
    starts = f'time() - process_start_time_seconds{{job=~"{"|".join(dashboard.jobs)}"}} < 30'
    annotation = {  # an upgrade or a crash
        "name": "Starts", "enable": True, "datasource": _SOURCE, "expr": starts, "step": "30s",
        "iconColor": "blue", "titleFormat": "start of {{instance}}",
    }  # fmt: skip
    head = _head(f"dragoman-{dashboard.name}", dashboard.title, annotation)
    return head | {"templating": {"list": list(_variables(dashboard))}, "panels": list(_panels(dashboard))}


def _runbooks() -> Json:
    """A panel for each runbook: links to them need no address outside of Grafana."""
    panels = [
        {
            "id": alert.number, "type": "text", "title": alert.name,
            "gridPos": _place(alert.number - 1, _TEXT_WIDTH, _TEXT_HEIGHT),
            "options": {"mode": "markdown", "content": alert.runbook},
        }
        for alert in ALERTS.values()
    ]  # fmt: skip
    return _head(_RUNBOOKS, "Runbooks") | {"templating": {"list": []}, "panels": panels}


def _head(uid: str, title: str, *annotations: Json) -> Json:
    return {
        "uid": uid, "title": f"Dragoman · {title}", "tags": ["dragoman"], "editable": False, "graphTooltip": 1,
        "schemaVersion": 39, "version": 1, "refresh": "10s", "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser", "links": [_LINK], "annotations": {"list": list(annotations)},
    }  # fmt: skip


def _variables(dashboard: GrafanaDashboard) -> Iterator[Json]:
    yield {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"}
    if dashboard.by_instance:
        query = f'label_values(up{{job="{dashboard.jobs[0]}"}}, instance)'
        yield {
            "name": "instance", "label": "Process", "type": "query", "datasource": _SOURCE, "query": query,
            "definition": query, "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }  # fmt: skip


def _place(position: int, width: int, height: int, top: int = 0) -> Json:
    """Of a panel among those of one size."""
    row, column = divmod(position, _COLUMNS // width)
    return {"x": column * width, "y": top + row * height, "w": width, "h": height}


def _panels(dashboard: GrafanaDashboard) -> Iterator[Json]:
    numbers, top = itertools.count(1), 0
    for title, panels in dashboard.rows:
        yield {"id": next(numbers), "type": "row", "title": title, "gridPos": _place(0, _COLUMNS, 1, top), "panels": []}
        for position, panel in enumerate(panels):
            yield _panel(panel, next(numbers), _place(position, _WIDTH, _HEIGHT, top + 1))
        top += 1 + -(-len(panels) * _WIDTH // _COLUMNS) * _HEIGHT


def _panel(panel: GrafanaPanel, number: int, place: Json) -> Json:
    """With the limits, instructions and runbooks of its alerts."""
    limits, related = ([ALERTS[name] for name in of.get(panel.title, ())] for of in (LIMITS, RELATED))
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": "\n\n".join(filter(None, (panel.text, *map(_instruction, (*limits, *related))))),
        "links": [_link_to_runbook(alert) for alert in (*limits, *related)],
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _style(panel, limits), "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": reference, "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for reference, (expression, legend) in zip("ABCDEF", panel.queries, strict=False)
        ],
    }


def _instruction(alert: Alert) -> str:
    return f"**{alert.name}** ({alert.severity}): {alert.part('Symptom')} **What to do:** {alert.part('Mitigate')}"


def _link_to_runbook(alert: Alert) -> Json:
    return {"title": f"Runbook of {alert.name}", "url": f"/d/{_RUNBOOKS}?viewPanel={alert.number}", "targetBlank": True}


def _style(panel: GrafanaPanel, limits: list[Alert]) -> Json:
    """Unit and colours; panels of errors are red. Lines mark the alerts' limits."""
    colour = {"mode": "shades", "fixedColor": "red"} if panel.bad else {"mode": "palette-classic"}
    drawn = {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": 60_000}
    style = {"unit": _UNITS[panel.unit], "min": 0, "color": colour}
    if not limits:
        return style | {"custom": drawn}
    thresholds = {"mode": "absolute", "steps": _steps(limits)}
    return style | {"custom": drawn | {"thresholdsStyle": {"mode": "dashed"}}, "thresholds": thresholds}


def _steps(limits: list[Alert]) -> list[Json]:
    """Each with the value from which on it holds, ascending; None: from the lowest on."""
    colours: dict[float | None, str] = {None: "green"}
    for alert in sorted(limits, key=lambda alert: list(_COLOURS).index(alert.severity)):
        colour = _COLOURS[alert.severity]
        colours |= {None: colour, 1: "green"} if alert.limit is None else {alert.limit or _ABOVE_ZERO: colour}
    return [{"color": colours[at], "value": at} for at in sorted(colours, key=lambda at: at or 0)]


if __name__ == "__main__":
    for name, text in files().items():
        (DIRECTORY / name).write_text(text)
