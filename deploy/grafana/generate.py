"""Generates Grafana's dashboards: `python -m deploy.grafana.generate` writes the JSON files."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.grafana.dashboard_definitions import GrafanaDashboard, dashboards
from deploy.grafana.queries import GrafanaPanel, Section
from shared.dashboard.panels import Unit

DIRECTORY = Path(__file__).parent / "dashboards"
_SCHEMA = 39
_WIDTH, _HEIGHT, _COLUMNS = 6, 7, 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_UNITS = {
    Unit.NUMBER: "short",
    Unit.PER_SECOND: "ops",
    Unit.SECONDS: "s",
    Unit.BYTES: "bytes",
    Unit.BYTES_PER_SECOND: "Bps",
    Unit.SHARE: "percentunit",
}

Json = dict[str, Any]


def files() -> dict[str, str]:
    """File contents by name."""
    return {f"{one.name}.json": json.dumps(document(one), indent=1) + "\n" for one in dashboards()}


def document(dashboard: GrafanaDashboard) -> Json:
    return {
        "uid": dashboard.uid,
        "title": f"Dragoman · {dashboard.title}",
        "tags": ["dragoman"],
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": _SCHEMA,
        "version": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [_link()],
        "annotations": {"list": [_starts(dashboard)]},
        "templating": {"list": list(_variables(dashboard))},
        "panels": list(_panels(dashboard.sections)),
    }


def _link() -> Json:
    return {"type": "dashboards", "title": "Dragoman", "tags": ["dragoman"], "asDropdown": True, "keepTime": True}


def _starts(dashboard: GrafanaDashboard) -> Json:
    """An annotation at each start of a process, which marks an upgrade or a crash."""
    expression = f'time() - process_start_time_seconds{{job=~"{"|".join(dashboard.jobs)}"}} < 30'
    return {
        "name": "Starts", "enable": True, "datasource": _SOURCE, "expr": expression, "step": "30s",
        "iconColor": "blue", "titleFormat": "start of {{instance}}",
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


def _panels(sections: tuple[Section, ...]) -> Iterator[Json]:
    numbers, top = itertools.count(1), 0
    for section in sections:
        place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        yield {"id": next(numbers), "type": "row", "title": section.title, "gridPos": place, "panels": []}
        for position, panel in enumerate(section.panels):
            row, column = divmod(position, _COLUMNS // _WIDTH)
            place = {"x": column * _WIDTH, "y": top + 1 + row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
            yield _panel(panel, next(numbers), place)
        top += 1 + -(-len(section.panels) * _WIDTH // _COLUMNS) * _HEIGHT


def _panel(panel: GrafanaPanel, number: int, place: Json) -> Json:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _style(panel), "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": reference, "datasource": _SOURCE, "expr": query.expression, "legendFormat": query.legend}
            for reference, query in zip("ABCDEF", panel.queries, strict=False)
        ],
    }


def _style(panel: GrafanaPanel) -> Json:
    """Unit and colours; panels of errors are red."""
    colour = {"mode": "shades", "fixedColor": "red"} if panel.bad else {"mode": "palette-classic"}
    drawn = {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": 60_000}
    return {"unit": _UNITS[panel.unit], "min": 0, "color": colour, "custom": drawn}


if __name__ == "__main__":
    for name, text in files().items():
        (DIRECTORY / name).write_text(text)
