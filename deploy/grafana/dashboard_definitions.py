"""Grafana's dashboards: one per service with the panels of its own page, and others across services."""

from dataclasses import dataclass

from deploy.grafana.queries import GrafanaPanel, Query, Scope, Section, panel, quantile, rate, section
from deploy.grafana.servers import NATS, POSTGRESQL, VALKEY
from services.auth.dashboard import DASHBOARD as AUTH
from services.edge.dashboard import DASHBOARD as EDGE
from services.message.dashboard import DASHBOARD as MESSAGE
from services.session.dashboard import DASHBOARD as SESSION
from shared.dashboard.panels import Dashboard, Panel, PanelGroup, PanelKind, Unit, gauge
from shared.dashboard.panels import rate as rate_panel
from shared.dashboard.presets import DATABASE, EVENTS, PRESENCE, PROCESS, REQUESTS, REQUESTS_SENT

JOBS = ("auth", "edge", "message", "session")
_STORES = ("auth", "message", "session")
_LOST = 'code=~"internal|rate_limited|unavailable"'


@dataclass(frozen=True)
class GrafanaDashboard:
    """`by_instance`: a variable selects single processes of the dashboard's only job."""

    name: str
    title: str
    jobs: tuple[str, ...]
    sections: tuple[Section, ...]
    by_instance: bool = False

    @property
    def uid(self) -> str:
        return f"dragoman-{self.name}"


def dashboards() -> tuple[GrafanaDashboard, ...]:
    return (_overview(), *map(_service_dashboard, (EDGE, AUTH, SESSION, MESSAGE)), _nats(), _valkey(), _database())


def _service_dashboard(dashboard: Dashboard) -> GrafanaDashboard:
    service = dashboard.service
    scope = Scope(f'job="{service}",instance=~"$instance"', "instance")
    sections = tuple(section(group, scope) for group in dashboard.groups)
    return GrafanaDashboard(service, service.capitalize(), (service,), sections, by_instance=True)


def _across(*jobs: str) -> Scope:
    return Scope(f'job=~"{"|".join(jobs)}"', "job")


def _panels(dashboard: Dashboard, *titles: str) -> tuple[GrafanaPanel, ...]:
    """Panels of a service by title, over all its processes. Raises LookupError for a title that it does not have."""
    if unknown := set(titles) - {one.title for one in dashboard.panels}:
        raise LookupError(f"{dashboard.service} has no panels {sorted(unknown)}")
    return tuple(panel(one, _across(dashboard.service)) for one in dashboard.panels if one.title in titles)


def _overview() -> GrafanaDashboard:
    everywhere = _across(*JOBS)
    sections = (
        Section(
            "Promises", (_failed_replies(), _send_success(), *_panels(EDGE, "Time to acknowledge", "Time to deliver"))
        ),
        Section(
            "Traffic",
            (
                *_panels(EDGE, "Connections", "Frames in", "Frames out", "Deliveries"),
                *_panels(MESSAGE, "Acknowledged"),
                *_panels(AUTH, "Logins"),
                *_panels(EDGE, "Requests", "Closed by us"),
                _up(),
            ),
        ),
        Section(
            "Trouble",
            (
                *(
                    panel(one, everywhere)
                    for one in (*REQUESTS.panels, *REQUESTS_SENT.panels, *EVENTS.panels)
                    if one.bad
                ),
                _requests_failed(),
                *_panels(EDGE, "Re-syncs after a loss", "Closed as too slow", "Messages lost"),
            ),
        ),
        Section("Saturation", (*section(PROCESS, everywhere).panels, _open_files(), _clocks())),
        _python(),
    )
    return GrafanaDashboard("overview", "Overview", JOBS, sections)


def _failed_replies() -> GrafanaPanel:
    """The service level, from the recording rules of its alerts."""
    ratios = (Query(f"dragoman:failed_replies:ratio_rate{span}", span) for span in ("5m", "30m", "1h", "6h"))
    text = "The share of the replies at the edges that are errors of ours: the service level."
    return GrafanaPanel("Failed replies", Unit.SHARE, tuple(ratios), text=text)


def _send_success() -> GrafanaPanel:
    acknowledged = rate("dragoman_message_acknowledged_total", 'job="message"')
    lost = rate("dragoman_message_refused_total", f'job="message",{_LOST}')
    return GrafanaPanel(
        "Messages acknowledged of those taken",
        Unit.SHARE,
        (Query(f"{acknowledged} / ({acknowledged} + {lost})", "success"),),
        text="The share of posted messages that message acknowledged; rejections that are the sender's do not count.",
    )


def _requests_failed() -> GrafanaPanel:
    selector, metric = _across(*JOBS).selector, "dragoman_bus_request_seconds_count"
    failed = rate(metric, f'{selector},outcome=~"internal|late|overloaded|unavailable"', "job")
    ratio = Query(f"{failed} / {rate(metric, selector, 'job')}", "{{job}}")
    text = "The share of the requests to a service that failed for reasons of its own."
    return GrafanaPanel("Requests failed", Unit.SHARE, (ratio,), text=text)


def _open_files() -> GrafanaPanel:
    selector = _across(*JOBS).selector
    used = Query(f"process_open_fds{{{selector}}} / process_max_fds{{{selector}}}", "{{instance}}")
    text = "Open file descriptors of those that the process may have."
    return GrafanaPanel("Open files of those allowed", Unit.SHARE, (used,), text=text)


def _up() -> GrafanaPanel:
    jobs = _across(*JOBS).selector
    answering = Query(f"sum by (job) (up{{{jobs}}})", "{{job}}")
    return GrafanaPanel(
        "Processes that answer", Unit.NUMBER, (answering,), text="Processes that Prometheus can scrape."
    )


def _clocks() -> GrafanaPanel:
    """Compared with Prometheus's clock: a sample's timestamp is the time of the scrape."""
    clock = f"dragoman_clock_seconds{{{_across(*JOBS).selector}}}"
    apart = Query(f"abs({clock} - timestamp({clock}))", "{{instance}}")
    text = "How far a process's clock is ahead of Prometheus's, or behind it."
    return GrafanaPanel("Clocks apart from Prometheus's", Unit.SECONDS, (apart,), text=text)


def _python() -> Section:
    """Metrics that the client library exports for every Python process."""
    selector = _across(*JOBS).selector
    sources = (
        rate_panel("Collections of garbage", "python_gc_collections"),
        rate_panel("Objects collected", "python_gc_objects_collected"),
        rate_panel("Objects that could not be collected", "python_gc_objects_uncollectable", bad=True),
        gauge("Virtual memory", "process_virtual_memory_bytes", Unit.BYTES),
    )
    versions = Query(f"count by (job, version) (python_info{{{selector}}})", "{{job}} {{version}}")
    panels = tuple(panel(one, _across(*JOBS)) for one in sources)
    return Section("Python", (*panels, GrafanaPanel("Versions of Python", Unit.NUMBER, (versions,))))


def _nats() -> GrafanaDashboard:
    everywhere = _across(*JOBS)
    by_subject = GrafanaPanel(
        "Time until answered, p99 by subject", Unit.SECONDS,
        (Query(quantile(0.99, "dragoman_bus_ask_seconds", everywhere.selector, "subject"), "{{subject}}"),),
    )  # fmt: skip
    fan_out = _panels(MESSAGE, "Time to fan out", "Envelopes", "Size of an envelope", "Fan-outs lost")
    mended = _panels(EDGE, "Re-syncs after a loss", "Gaps fetched", "Duplicate deliveries")
    sections = (
        section(REQUESTS_SENT, everywhere),
        Section("Requests served", (*section(REQUESTS, everywhere).panels, by_subject)),
        Section("Fan-out", (*fan_out, *mended, *_panels(SESSION, "Notices", "Not sent to NATS"))),
        section(EVENTS, _across("auth", "session", "message")),
        NATS,
    )
    return GrafanaDashboard("nats", "NATS", JOBS, sections)


def _valkey() -> GrafanaDashboard:
    without = (
        *_panels(MESSAGE, "Presence unknown", "Membership requests"),
        *_panels(EDGE, "Lost from presence"),
        *_panels(AUTH, "Limits without Redis"),
        *_panels(SESSION, "Versions missing in Redis", "Versions dropped"),
    )
    sections = (
        section(PRESENCE, _across("edge", "message", "session")),
        Section("What is missed when it is away", without),
        VALKEY,
    )
    return GrafanaDashboard("valkey", "Valkey", JOBS, sections)


def _database() -> GrafanaDashboard:
    scope = _across(*_STORES)
    by_kind = Panel("Transactions by kind", "dragoman_database_seconds", PanelKind.COUNT, Unit.PER_SECOND, "kind")
    by_job = Panel("Transactions", "dragoman_database_seconds", PanelKind.COUNT, Unit.PER_SECOND)
    sources = (by_job, by_kind, *DATABASE.panels[1:])
    commits = _panels(
        MESSAGE, "Time to commit", "Messages in a batch", "Batches", "Messages in flight", "Batches retried"
    )
    sections = (
        section(PanelGroup("Transactions", sources), scope),
        Section("Messages", commits),
        Section("Outbox", _panels(AUTH, "Events not published")),
        POSTGRESQL,
    )
    return GrafanaDashboard("database", "Databases", _STORES, sections)
