"""Types with which a service declares its panels: the name of a metric, and the way to show it."""

from dataclasses import dataclass
from enum import StrEnum


class PanelKind(StrEnum):
    GAUGE = "now"
    """The value of a gauge."""
    RATE = "rate"
    """The increase of a counter per second."""
    COUNT = "count"
    """The number of observations of a histogram per second."""
    PERCENTILES = "spread"
    """A histogram's median and 99th percentile."""
    MEAN = "mean"
    """A histogram's mean."""
    SHARE = "share"
    """The increase of the counter `metric` as a share of the increase of the counter `of`."""
    AGE = "age"
    """Seconds since the Unix time that a gauge holds."""


class Unit(StrEnum):
    NUMBER = ""
    PER_SECOND = "/s"
    SECONDS = "s"
    BYTES = "B"
    BYTES_PER_SECOND = "B/s"
    SHARE = "%"
    """A share from 0 to 1."""


@dataclass(frozen=True)
class Panel:
    """One row of a dashboard, which shows one metric. `metric`: the name of the metric's family in a scrape, without
    `_total`. `by`: the label whose values are shown separately, except the value `but`. `bad`: a number above zero
    needs attention."""

    title: str
    metric: str
    kind: PanelKind
    unit: Unit = Unit.NUMBER
    by: str = ""
    but: str = ""
    of: str = ""
    bad: bool = False


@dataclass(frozen=True)
class PanelGroup:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    """The dashboard of one process. `name`, if it is given, distinguishes the process from others of the same
    service."""

    service: str
    groups: tuple[PanelGroup, ...] = ()
    name: str = ""

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(row for group in self.groups for row in group.panels)


def dashboard(service: str, *groups: PanelGroup) -> Dashboard:
    return Dashboard(service, groups)


def group(title: str, *panels: Panel) -> PanelGroup:
    return PanelGroup(title, panels)


def gauge(title: str, metric: str, unit: Unit = Unit.NUMBER, *, by: str = "", bad: bool = False) -> Panel:
    return Panel(title, metric, PanelKind.GAUGE, unit, by, bad=bad)


def rate(
    title: str, metric: str, unit: Unit = Unit.PER_SECOND, *, by: str = "", but: str = "", bad: bool = False
) -> Panel:
    return Panel(title, metric, PanelKind.RATE, unit, by, but, bad=bad)


def count(title: str, metric: str, *, by: str = "", but: str = "", bad: bool = False) -> Panel:
    return Panel(title, metric, PanelKind.COUNT, Unit.PER_SECOND, by, but, bad=bad)


def percentiles(title: str, metric: str, unit: Unit = Unit.SECONDS) -> Panel:
    return Panel(title, metric, PanelKind.PERCENTILES, unit)


def mean(title: str, metric: str, unit: Unit = Unit.NUMBER) -> Panel:
    return Panel(title, metric, PanelKind.MEAN, unit)


def share(title: str, metric: str, of: str) -> Panel:
    return Panel(title, metric, PanelKind.SHARE, Unit.SHARE, of=of)


REQUESTS = group(
    "Requests served",
    count("Requests", "dragoman_bus_request_seconds", by="subject"),
    count("Not answered well", "dragoman_bus_request_seconds", by="outcome", but="ok", bad=True),
    percentiles("Time to answer", "dragoman_bus_request_seconds"),
)
REQUESTS_SENT = group(
    "Requests to other services",
    count("Requests asked", "dragoman_bus_ask_seconds", by="subject"),
    count("Refused or without answer", "dragoman_bus_ask_seconds", by="outcome", but="ok", bad=True),
    percentiles("Time until answered", "dragoman_bus_ask_seconds"),
    rate("Errors of the broker", "dragoman_bus_errors", by="kind", bad=True),
    gauge("Waiting to be sent to NATS", "dragoman_bus_unsent_bytes", Unit.BYTES),
    gauge("Services that answer", "dragoman_service_available", by="service"),
)
EVENTS = group(
    "Durable events",
    rate("Events handled", "dragoman_bus_events", by="outcome"),
    rate("Dead letters", "dragoman_bus_dead_letters", by="subject", bad=True),
)
DATABASE = group(
    "Database",
    count("Transactions", "dragoman_database_seconds", by="kind"),
    percentiles("Time of a transaction", "dragoman_database_seconds"),
    gauge("Waiting or under way", "dragoman_database_transactions", by="kind"),
    rate("Database did not answer", "dragoman_database_failures", bad=True),
)
PRESENCE = group(
    "Presence in Redis",
    count("Calls", "dragoman_presence_seconds", by="call"),
    percentiles("Time of a call", "dragoman_presence_seconds"),
    rate("Redis did not answer", "dragoman_presence_failures", by="call", bad=True),
)
PROCESS = group(
    "Process",
    rate("CPU time", "process_cpu_seconds", Unit.SHARE),
    gauge("Memory", "process_resident_memory_bytes", Unit.BYTES),
    percentiles("Delay of the event loop", "dragoman_loop_lag_seconds"),
    gauge("Tasks", "dragoman_loop_tasks"),
    gauge("Open files", "process_open_fds"),
    gauge("Dependencies that work", "dragoman_ready", by="dependency"),
    Panel("Up for", "process_start_time_seconds", PanelKind.AGE, Unit.SECONDS),
)
