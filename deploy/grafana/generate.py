"""Generates the dashboards of Grafana. `python -m deploy.grafana.generate` writes them as JSON files."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from deploy.grafana.panels import GrafanaPanel, Scope, of_process, one, quantile, rate
from services.auth.dashboard import DASHBOARD as AUTH
from services.edge.dashboard import DASHBOARD as EDGE
from services.message.dashboard import DASHBOARD as MESSAGE
from services.search.dashboard import DASHBOARD as SEARCH
from services.session.dashboard import DASHBOARD as SESSION
from shared.dashboard import panels
from shared.dashboard.panels import (
    DATABASE,
    EVENTS,
    PRESENCE,
    PROCESS,
    REQUESTS,
    REQUESTS_SENT,
    Dashboard,
    Panel,
    PanelGroup,
    Unit,
)

# The following functions read the limits of alerts from the alert rules, and their instructions from the runbooks.
# Panels show both.

_ROOT = Path(__file__).parents[2]
_RULES = _ROOT / "deploy" / "helm" / "dragoman" / "files" / "rules.yml"
_RUNBOOK_PAGES = _ROOT / "docs" / "runbooks"
_LIMIT = re.compile(r"(?:== 0|> ([\d.]+))(?:\s+(?:and|or absent)\b.*)?$", re.DOTALL)
"""The comparison of an alert's expression with its limit. It is at the end of the expression, or before its first
`and`."""

LIMITS = {
    "Closed as too slow": ("DragomanClientsTooSlow",),
    "Behind by": ("DragomanSearchBehind",),
    "Clocks apart from Prometheus's": ("DragomanClockWrong",),
    "Database did not answer": ("DragomanDatabaseUnavailable",),
    "Dead letters": ("DragomanDeadLetters",),
    "Dependencies that work": ("DragomanDependencyUnavailable", "DragomanEventsNotStored"),
    "Errors of the broker": ("DragomanBusForbidden", "DragomanBusSlow"),
    "Events not published": ("DragomanOutboxStuck",),
    "Failed replies": ("DragomanSendsFailFast", "DragomanSendsFailSlow"),
    "Failures of the store": ("DragomanFilesFail",),
    "How full streams are": ("DragomanJetStreamFull",),
    "Invalid tokens": ("DragomanTokensFail",),
    "Delay of the event loop": ("DragomanLag",),
    "Messages lost": ("DragomanMessagesLost",),
    "NATS is well": ("DragomanNatsUnhealthy",),
    "Share of open files allowed": ("DragomanFilesRunOut",),
    "Pushes": ("DragomanPushRejected",),
    "PostgreSQL answers": ("DragomanPostgresDown",),
    "Processes that answer": ("DragomanSearchUnavailable", "DragomanServiceMissing"),
    "Re-syncs after a loss": ("DragomanResyncs",),
    "Redis did not answer": ("DragomanRedisUnavailable",),
    "Requests failed": ("DragomanRequestsFail",),
    "Time to acknowledge": ("DragomanAcknowledgementSlow",),
    "Time to commit": ("DragomanCommitSlow",),
    "Time to deliver": ("DragomanDeliverySlow",),
    "Used of the disk": ("DragomanSearchDiskFull",),
    "Valkey answers": ("DragomanValkeyDown",),
    "Waiting for a hash": ("DragomanHashQueue",),
}
"""The alerts that compare a panel's value with a limit, by the title of the panel."""
RELATED = {
    "Acknowledged": ("DragomanQueueStuck",),
    "Certificate is valid for": ("DragomanCertificateEnds", "DragomanCertificateExpires"),
    "Events handled": ("DragomanEventsFail",),
    "Ignored X-Forwarded-For": ("DragomanProxyUntrusted",),
    "Lost from presence": ("DragomanPresenceLost",),
    "Mails": ("DragomanMailsFail",),
    "Share of accepted messages that are acknowledged": ("DragomanSendsFailFast",),
    "Messages in flight": ("DragomanQueueStuck",),
    "NATS is well": ("DragomanExporterDown",),
    "Not answered well": ("DragomanRequestsFail",),
    "PostgreSQL answers": ("DragomanExporterDown",),
    "Processes that answer": ("DragomanProcessDown",),
    "Up for": ("DragomanRestarts",),
    "Valkey answers": ("DragomanExporterDown",),
}
"""Alerts that are related to a panel, but whose limit is for another measure, such as the growth over a longer time."""


class Alert(NamedTuple):
    """`number`: the number of the alert's runbook."""

    name: str
    severity: str
    expression: str
    number: int
    runbook: str

    def part(self, name: str) -> str:
        """One paragraph of the runbook, such as Symptom, on one line."""
        _, found, after = self.runbook.partition(f"- **{name}.** ")
        if not found:
            raise LookupError(f"the runbook of {self.name} has no {name}")
        return " ".join(after.partition("\n- ")[0].split())

    @property
    def limit(self) -> float | None:
        """The limit above which the alert fires. None means that it fires at zero. Raises LookupError for an expression
        of another form."""
        if (found := _LIMIT.search(self.expression)) is None:
            raise LookupError(f"{self.name} compares with no limit: {self.expression}")
        return float(found[1]) if found[1] else None


def _read() -> dict[str, Alert]:
    groups = yaml.safe_load(_RULES.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return {rule["alert"]: _alert(number, rule) for number, rule in enumerate(rules, 1)}


def _alert(number: int, rule: dict[str, Any]) -> Alert:
    name = rule["alert"]
    _, _, runbook = (_RUNBOOK_PAGES / f"{name}.md").read_text().split("\n\n", 2)
    return Alert(name, rule["labels"]["severity"], rule["expr"].strip(), number, runbook.strip())


ALERTS = _read()
"""All alerts by name, in the order of the rules."""


# Each service has a dashboard in Grafana with the panels of its own status page. Other dashboards are about several
# services. Panels about servers, such as NATS, use the metrics of exporters. They select these metrics by the jobs of
# `deploy/prometheus/prometheus.yml`.

JOBS = ("auth", "edge", "message", "search", "session")
_STORES = ("auth", "message", "session")
_ANSWERED = "dragoman_bus_request_seconds_count"
_ACKNOWLEDGED = rate("dragoman_message_acknowledged_total", 'job="message"')
_LOST = rate("dragoman_message_refused_total", 'job="message",code=~"internal|rate_limited|unavailable"')
_CONNECTIONS = 'sum by (instance) (pg_stat_activity_count{job="postgres"})'

Row = tuple[str, tuple[GrafanaPanel, ...]]
"""A title, and the panels below it."""


class GrafanaDashboard(NamedTuple):
    """`by_instance`: whether a variable selects single processes of the dashboard's only job."""

    name: str
    title: str
    jobs: tuple[str, ...]
    rows: tuple[Row, ...]
    by_instance: bool = False


def _across(*jobs: str) -> Scope:
    return Scope(f'job=~"{"|".join(jobs)}"', "job")


EVERYWHERE = _across(*JOBS)
_ALL, _BY_JOB = EVERYWHERE


def _some(sources: tuple[Panel, ...], scope: Scope = EVERYWHERE) -> tuple[GrafanaPanel, ...]:
    return tuple(of_process(source, scope) for source in sources)


def _row(group: PanelGroup, scope: Scope = EVERYWHERE) -> Row:
    return group.title, _some(group.panels, scope)


def _of(dashboard: Dashboard, *titles: str) -> tuple[GrafanaPanel, ...]:
    """The panels of a service with these titles, over all its processes. Raises LookupError for a title that the
    service's dashboard does not have."""
    if unknown := set(titles) - {source.title for source in dashboard.panels}:
        raise LookupError(f"{dashboard.service} has no panels {sorted(unknown)}")
    return _some(tuple(source for source in dashboard.panels if source.title in titles), _across(dashboard.service))


def _of_service(dashboard: Dashboard) -> GrafanaDashboard:
    service = dashboard.service
    scope = Scope(f'job="{service}",instance=~"$instance"', "instance")
    rows = tuple(_row(group, scope) for group in dashboard.groups)
    return GrafanaDashboard(service, service.capitalize(), (service,), rows, by_instance=True)


def _nats(title: str, unit: Unit, name: str, text: str = "") -> GrafanaPanel:
    """A panel for a metric of NATS. The metric has the exporter's default name, or the name that the Helm chart of NATS
    configures."""
    return one(title, unit, f'gnatsd_{name}{{job="nats"}} or nats_{name}{{job="nats"}}', "server_id", text)


def _valkey(title: str, unit: Unit, name: str, text: str = "") -> GrafanaPanel:
    return one(title, unit, f'redis_{name}{{job="valkey"}}', "instance", text)


def _valkey_growth(title: str, name: str, text: str = "", *, bad: bool = False) -> GrafanaPanel:
    expression = rate(f"redis_{name}_total", 'job="valkey"', "instance")
    return one(title, Unit.PER_SECOND, expression, "instance", text, bad=bad)


def _per_database(title: str, name: str, text: str, *, bad: bool = False) -> GrafanaPanel:
    expression = rate(f"pg_stat_database_{name}", 'job="postgres"', "datname")
    return one(title, Unit.PER_SECOND, expression, "datname", text, bad=bad)


# fmt: off
_FAILED_REPLIES = GrafanaPanel(
    "Failed replies", Unit.SHARE,
    tuple((f"dragoman:failed_replies:ratio_rate{span}", span) for span in ("5m", "30m", "1h", "6h")),
    "Share of the edges' replies that are errors of the server. The service level limits it.",
)
"""Panels for the recording rules that the alerts about the service level use."""
_SEND_SUCCESS = GrafanaPanel(
    "Share of accepted messages that are acknowledged", Unit.SHARE,
    ((f"{_ACKNOWLEDGED} / ({_ACKNOWLEDGED} + {_LOST})", "success"),),
    "The share of posted messages that message acknowledged; rejections that are the sender's do not count.",
)
_FAILED = rate(_ANSWERED, f'{_ALL},outcome=~"internal|late|overloaded|unavailable"', "job")
_REQUESTS_FAILED = one(
    "Requests failed", Unit.SHARE, f"{_FAILED} / {rate(_ANSWERED, _ALL, 'job')}", "job",
    "Share of the requests to a service that failed through the service's own fault.",
)
_UP = one(
    "Processes that answer", Unit.NUMBER, f"sum by (job) (up{{{_ALL}}})", "job", "Processes that Prometheus can scrape."
)
_OPEN_FILES = one(
    "Share of open files allowed", Unit.SHARE, f"process_open_fds{{{_ALL}}} / process_max_fds{{{_ALL}}}", "instance",
    "Open file descriptors as a share of the process's limit.",
)
_CLOCK = f"dragoman_clock_seconds{{{_ALL}}}"
_CLOCKS = one(  # the timestamp of a sample is the time on the clock of Prometheus when it read the sample
    "Clocks apart from Prometheus's", Unit.SECONDS, f"abs({_CLOCK} - timestamp({_CLOCK}))", "instance",
    "Difference between a process's clock and Prometheus's clock.",
)
_PYTHON = (
    *_some((
        panels.rate("Collections of garbage", "python_gc_collections"),
        panels.rate("Objects collected", "python_gc_objects_collected"),
        panels.rate("Objects that the garbage collector could not free", "python_gc_objects_uncollectable", bad=True),
        panels.gauge("Virtual memory", "process_virtual_memory_bytes", Unit.BYTES),
    )),
    GrafanaPanel(
        "Versions of Python", Unit.NUMBER,
        ((f"count by (job, version) (python_info{{{_ALL}}})", "{{job}} {{version}}"),),
    ),
)
"""Panels for the metrics that the client library exports for every Python process."""
_ANSWERED_BY_SUBJECT = one(
    "Time until answered, p99 by subject", Unit.SECONDS, quantile(0.99, "dragoman_bus_ask_seconds", _ALL, "subject"),
    "subject",
)
_TRANSACTIONS = (
    panels.count("Transactions", "dragoman_database_seconds"),
    panels.count("Transactions by kind", "dragoman_database_seconds", by="kind"),
)
_NATS_SERVERS = (
    _nats("NATS is well", Unit.NUMBER, "healthz_status_value", "Whether a server reports that it works (1) or not "
"(0)."),
    _nats("Connections of a server", Unit.NUMBER, "varz_connections"),
    _nats("Memory of a server", Unit.BYTES, "varz_mem"),
    _nats("Slow consumers so far", Unit.NUMBER, "varz_slow_consumers", "Connections that did not read fast enough."),
    GrafanaPanel(
        "How full streams are", Unit.SHARE,
        ((" or ".join(
            f'{prefix}_stream_total_bytes{{job="nats"}} / ({prefix}_stream_limit_bytes{{job="nats"}} > 0)'
            for prefix in ("jetstream", "nats")
        ), "{{stream_name}} {{server_name}}"),),
        "Bytes in a stream as a share of its limit.",
    ),
)
_VALKEY_SERVER = (
    _valkey("Valkey answers", Unit.NUMBER, "up", "Whether the exporter can log in (1)."),
    _valkey("Clients", Unit.NUMBER, "connected_clients"),
    _valkey_growth("Commands", "commands_processed"),
    _valkey("Memory of the server", Unit.BYTES, "memory_used_bytes"),
    _valkey("Memory it may use", Unit.BYTES, "memory_max_bytes", "0: there is no limit."),
    _valkey_growth("Keys evicted", "evicted_keys", "Keys removed from a full memory: edges lose presence.", bad=True),
)
_POSTGRESQL = (
    one("PostgreSQL answers", Unit.NUMBER, 'pg_up{job="postgres"}', "instance", "Whether the exporter can log in (1)."),
    one("Connections by state", Unit.NUMBER, 'sum by (state) (pg_stat_activity_count{job="postgres"})', "state"),
    one(
        "Connections of those allowed", Unit.SHARE,
        f'{_CONNECTIONS} / sum by (instance) (pg_settings_max_connections{{job="postgres"}})', "instance",
    ),
    _per_database("Committed", "xact_commit", "Transactions committed, per second."),
    _per_database("Rolled back", "xact_rollback", "Transactions rolled back, per second.", bad=True),
    _per_database("Deadlocks", "deadlocks", "Transactions ended by a deadlock, per second.", bad=True),
)

DASHBOARDS = (
    GrafanaDashboard("overview", "Overview", JOBS, (
        ("Promises", (_FAILED_REPLIES, _SEND_SUCCESS, *_of(EDGE, "Time to acknowledge", "Time to deliver"))),
        ("Traffic", (
            *_of(EDGE, "Connections", "Frames in", "Frames out", "Deliveries"), *_of(MESSAGE, "Acknowledged"),
            *_of(AUTH, "Logins"), *_of(EDGE, "Requests", "Closed by us"), _UP,
        )),
        ("Trouble", (
            *_some(tuple(s for s in (*REQUESTS.panels, *REQUESTS_SENT.panels, *EVENTS.panels) if s.bad)),
            _REQUESTS_FAILED, *_of(EDGE, "Re-syncs after a loss", "Closed as too slow", "Messages lost"),
        )),
        ("Saturation", (*_some(PROCESS.panels), _OPEN_FILES, _CLOCKS)),
        ("Python", _PYTHON),
    )),
    *map(_of_service, (EDGE, AUTH, SESSION, MESSAGE, SEARCH)),
    GrafanaDashboard("nats", "NATS", JOBS, (
        _row(REQUESTS_SENT),
        ("Requests served", (*_some(REQUESTS.panels), _ANSWERED_BY_SUBJECT)),
        ("Fan-out", (
            *_of(MESSAGE, "Time to fan out", "Delivery batches", "Size of a delivery batch", "Fan-outs lost"),
            *_of(EDGE, "Re-syncs after a loss", "Gaps fetched", "Duplicate deliveries"),
            *_of(SESSION, "Events", "Not sent to NATS"),
        )),
        _row(EVENTS, _across("auth", "session", "message")),
        ("Servers", _NATS_SERVERS),
    )),
    GrafanaDashboard("valkey", "Valkey", JOBS, (
        _row(PRESENCE, _across("edge", "message", "session")),
        ("The panel has no value while the part is unavailable", (
            *_of(MESSAGE, "Presence unknown", "Membership requests"), *_of(EDGE, "Lost from presence"),
            *_of(AUTH, "Limits without Redis"), *_of(SESSION, "Versions missing in Redis", "Versions dropped"),
        )),
        ("Server", _VALKEY_SERVER),
    )),
    GrafanaDashboard("database", "Databases", _STORES, (
        ("Transactions", _some((*_TRANSACTIONS, *DATABASE.panels[1:]), _across(*_STORES))),
        ("Messages", _of(
            MESSAGE, "Time to commit", "Messages in a batch", "Batches", "Messages in flight", "Batches retried"
        )),
        ("Outbox", _of(AUTH, "Events not published")),
        ("PostgreSQL", _POSTGRESQL),
    )),
)


DIRECTORY = Path(__file__).parent / "dashboards"
_WIDTH, _HEIGHT, _COLUMNS = 6, 7, 24
_TEXT_WIDTH, _TEXT_HEIGHT = 12, 9
_RUNBOOKS = "dragoman-runbooks"
_COLOURS = {"info": "yellow", "warning": "orange", "critical": "red"}
"""The colour of an alert's limit, for each severity in ascending order."""
_ABOVE_ZERO = 1e-9
"""The limit in Grafana for an alert that fires above zero. Grafana changes the colour at a value, and not above it."""
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_LINK = {"type": "dashboards", "title": "Dragoman", "tags": ["dragoman"], "asDropdown": True, "keepTime": True}
_UNITS = {
    Unit.NUMBER: "short", Unit.PER_SECOND: "ops", Unit.SECONDS: "s", Unit.BYTES: "bytes",
    Unit.BYTES_PER_SECOND: "Bps", Unit.SHARE: "percentunit",
}  # fmt: skip

Json = dict[str, Any]


def files() -> dict[str, str]:
    """The contents of the files, by their names."""
    documents = {one.name: _dashboard(one) for one in DASHBOARDS} | {"runbooks": _runbooks()}
    return {f"{name}.json": _text(one) for name, one in documents.items()}


def _text(document: Json) -> str:
    """The document as JSON, with one panel on each line. So a diff shows which panels have changed."""
    panels = ",\n  ".join(map(json.dumps, document["panels"]))
    others = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in document.items() if name != "panels")
    parts = ",\n ".join([*others, f'"panels": [\n  {panels}\n ]'])
    return f"{{\n {parts}\n}}\n"


def _dashboard(dashboard: GrafanaDashboard) -> Json:
    starts = f'time() - process_start_time_seconds{{job=~"{"|".join(dashboard.jobs)}"}} < 30'
    annotation = {  # the start of a process is marked, because it is an upgrade or follows a crash
        "name": "Starts", "enable": True, "datasource": _SOURCE, "expr": starts, "step": "30s",
        "iconColor": "blue", "titleFormat": "start of {{instance}}",
    }  # fmt: skip
    head = _head(f"dragoman-{dashboard.name}", dashboard.title, annotation)
    return head | {"templating": {"list": list(_variables(dashboard))}, "panels": list(_panels(dashboard))}


def _runbooks() -> Json:
    """A dashboard with a panel for each runbook. Links to these panels need no address outside of Grafana."""
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
    """The place of a panel, if all panels have the same size."""
    row, column = divmod(position, _COLUMNS // width)
    return {"x": column * width, "y": top + row * height, "w": width, "h": height}


def _panels(dashboard: GrafanaDashboard) -> Iterator[Json]:
    numbers, top = itertools.count(1), 0
    for title, row in dashboard.rows:
        yield {"id": next(numbers), "type": "row", "title": title, "gridPos": _place(0, _COLUMNS, 1, top), "panels": []}
        for position, panel in enumerate(row):
            yield _panel(panel, next(numbers), _place(position, _WIDTH, _HEIGHT, top + 1))
        top += 1 + -(-len(row) * _WIDTH // _COLUMNS) * _HEIGHT


def _panel(panel: GrafanaPanel, number: int, place: Json) -> Json:
    """The panel as JSON, with the limits, instructions and runbooks of its alerts."""
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
    """The unit and the colours of a panel. Panels that show errors are red, and lines mark the limits of alerts."""
    colour = {"mode": "shades", "fixedColor": "red"} if panel.bad else {"mode": "palette-classic"}
    drawn = {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": 60_000}
    style = {"unit": _UNITS[panel.unit], "min": 0, "color": colour}
    if not limits:
        return style | {"custom": drawn}
    thresholds = {"mode": "absolute", "steps": _steps(limits)}
    return style | {"custom": drawn | {"thresholdsStyle": {"mode": "dashed"}}, "thresholds": thresholds}


def _steps(limits: list[Alert]) -> list[Json]:
    """The colours of the limits, in ascending order. Each has the value from which it is shown. None means the lowest
    value."""
    colours: dict[float | None, str] = {None: "green"}
    for alert in sorted(limits, key=lambda alert: list(_COLOURS).index(alert.severity)):
        colour = _COLOURS[alert.severity]
        colours |= {None: colour, 1: "green"} if alert.limit is None else {alert.limit or _ABOVE_ZERO: colour}
    return [{"color": colours[at], "value": at} for at in sorted(colours, key=lambda at: at or 0)]


if __name__ == "__main__":
    for name, text in files().items():
        (DIRECTORY / name).write_text(text)
