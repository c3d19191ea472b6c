"""Grafana's dashboards: one per service with the panels of its own page, and others across services. Panels of servers'
exporters select by the jobs of `deploy/prometheus/prometheus.yml`."""

from typing import NamedTuple

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

JOBS = ("auth", "edge", "message", "search", "session")
_STORES = ("auth", "message", "session")
_ANSWERED = "dragoman_bus_request_seconds_count"
_ACKNOWLEDGED = rate("dragoman_message_acknowledged_total", 'job="message"')
_LOST = rate("dragoman_message_refused_total", 'job="message",code=~"internal|rate_limited|unavailable"')
_CONNECTIONS = 'sum by (instance) (pg_stat_activity_count{job="postgres"})'

Row = tuple[str, tuple[GrafanaPanel, ...]]
"""A title and the panels below it."""


class GrafanaDashboard(NamedTuple):
    """`by_instance`: a variable selects single processes of the dashboard's only job."""

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
    """Panels of a service by title, over all its processes. Raises LookupError for a title that it does not have."""
    if unknown := set(titles) - {source.title for source in dashboard.panels}:
        raise LookupError(f"{dashboard.service} has no panels {sorted(unknown)}")
    return _some(tuple(source for source in dashboard.panels if source.title in titles), _across(dashboard.service))


def _of_service(dashboard: Dashboard) -> GrafanaDashboard:
    service = dashboard.service
    scope = Scope(f'job="{service}",instance=~"$instance"', "instance")
    rows = tuple(_row(group, scope) for group in dashboard.groups)
    return GrafanaDashboard(service, service.capitalize(), (service,), rows, by_instance=True)


def _nats(title: str, unit: Unit, name: str, text: str = "") -> GrafanaPanel:
    """A metric by the exporter's default name, or by the name that NATS's Helm chart configures."""
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
    "The share of the replies at the edges that are errors of ours: the service level.",
)
"""From the recording rules of its alerts."""
_SEND_SUCCESS = GrafanaPanel(
    "Messages acknowledged of those taken", Unit.SHARE,
    ((f"{_ACKNOWLEDGED} / ({_ACKNOWLEDGED} + {_LOST})", "success"),),
    "The share of posted messages that message acknowledged; rejections that are the sender's do not count.",
)
_FAILED = rate(_ANSWERED, f'{_ALL},outcome=~"internal|late|overloaded|unavailable"', "job")
_REQUESTS_FAILED = one(
    "Requests failed", Unit.SHARE, f"{_FAILED} / {rate(_ANSWERED, _ALL, 'job')}", "job",
    "The share of the requests to a service that failed for reasons of its own.",
)
_UP = one(
    "Processes that answer", Unit.NUMBER, f"sum by (job) (up{{{_ALL}}})", "job", "Processes that Prometheus can scrape."
)
_OPEN_FILES = one(
    "Open files of those allowed", Unit.SHARE, f"process_open_fds{{{_ALL}}} / process_max_fds{{{_ALL}}}", "instance",
    "Open file descriptors of those that the process may have.",
)
_CLOCK = f"dragoman_clock_seconds{{{_ALL}}}"
_CLOCKS = one(  # a sample's timestamp is the time of the scrape
    "Clocks apart from Prometheus's", Unit.SECONDS, f"abs({_CLOCK} - timestamp({_CLOCK}))", "instance",
    "How far a process's clock is ahead of Prometheus's, or behind it.",
)
_PYTHON = (
    *_some((
        panels.rate("Collections of garbage", "python_gc_collections"),
        panels.rate("Objects collected", "python_gc_objects_collected"),
        panels.rate("Objects that could not be collected", "python_gc_objects_uncollectable", bad=True),
        panels.gauge("Virtual memory", "process_virtual_memory_bytes", Unit.BYTES),
    )),
    GrafanaPanel(
        "Versions of Python", Unit.NUMBER,
        ((f"count by (job, version) (python_info{{{_ALL}}})", "{{job}} {{version}}"),),
    ),
)
"""Of metrics that the client library exports for every Python process."""
_ANSWERED_BY_SUBJECT = one(
    "Time until answered, p99 by subject", Unit.SECONDS, quantile(0.99, "dragoman_bus_ask_seconds", _ALL, "subject"),
    "subject",
)
_TRANSACTIONS = (
    panels.count("Transactions", "dragoman_database_seconds"),
    panels.count("Transactions by kind", "dragoman_database_seconds", by="kind"),
)
_NATS_SERVERS = (
    _nats("NATS is well", Unit.NUMBER, "healthz_status_value", "Whether a server reports that it is well (1)."),
    _nats("Connections of a server", Unit.NUMBER, "varz_connections"),
    _nats("Memory of a server", Unit.BYTES, "varz_mem"),
    _nats("Slow consumers so far", Unit.NUMBER, "varz_slow_consumers", "Connections that did not read fast enough."),
    GrafanaPanel(
        "How full streams are", Unit.SHARE,
        ((" or ".join(
            f'{prefix}_stream_total_bytes{{job="nats"}} / ({prefix}_stream_limit_bytes{{job="nats"}} > 0)'
            for prefix in ("jetstream", "nats")
        ), "{{stream_name}} {{server_name}}"),),
        "Bytes in a stream of those allowed.",
    ),
)
_VALKEY_SERVER = (
    _valkey("Valkey answers", Unit.NUMBER, "up", "Whether the exporter can log in (1)."),
    _valkey("Clients", Unit.NUMBER, "connected_clients"),
    _valkey_growth("Commands", "commands_processed"),
    _valkey("Memory of the server", Unit.BYTES, "memory_used_bytes"),
    _valkey("Memory it may use", Unit.BYTES, "memory_max_bytes", "0: there is no limit."),
    _valkey_growth("Keys evicted", "evicted_keys", "Removed for want of memory: edges lose their presence.", bad=True),
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
    _per_database("Deadlocks", "deadlocks", "Transactions ended for a deadlock, per second.", bad=True),
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
            *_of(MESSAGE, "Time to fan out", "Envelopes", "Size of an envelope", "Fan-outs lost"),
            *_of(EDGE, "Re-syncs after a loss", "Gaps fetched", "Duplicate deliveries"),
            *_of(SESSION, "Notices", "Not sent to NATS"),
        )),
        _row(EVENTS, _across("auth", "session", "message")),
        ("Servers", _NATS_SERVERS),
    )),
    GrafanaDashboard("valkey", "Valkey", JOBS, (
        _row(PRESENCE, _across("edge", "message", "session")),
        ("What is missed when it is away", (
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
