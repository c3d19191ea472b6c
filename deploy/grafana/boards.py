"""Which dashboards there are. Each service's is what its own page shows; the others look across services."""

from dataclasses import dataclass

from deploy.grafana.queries import Panel, Query, Scope, Section, panel, quantile, rate, section
from deploy.grafana.servers import NATS, POSTGRESQL, VALKEY
from services.auth.dashboard import BOARD as AUTH
from services.edge.dashboard import BOARD as EDGE
from services.message.dashboard import BOARD as MESSAGE
from services.session.dashboard import BOARD as SESSION
from shared.dashboard.panels import Board, Group, Kind, Row, Unit, now
from shared.dashboard.panels import rate as rate_row
from shared.dashboard.presets import ASKED, DATABASE, EVENTS, PRESENCE, PROCESS, REQUESTS

JOBS = ("auth", "edge", "message", "session")
_STORES = ("auth", "message", "session")
_LOST = 'code=~"internal|rate_limited|unavailable"'


@dataclass(frozen=True)
class Dashboard:
    """`by_instance`: whether single processes can be chosen, of the only job."""

    name: str
    title: str
    jobs: tuple[str, ...]
    sections: tuple[Section, ...]
    by_instance: bool = False

    @property
    def uid(self) -> str:
        return f"dragoman-{self.name}"


def dashboards() -> tuple[Dashboard, ...]:
    return (_overview(), *map(_of_service, (EDGE, AUTH, SESSION, MESSAGE)), _nats(), _valkey(), _database())


def _of_service(board: Board) -> Dashboard:
    scope = Scope(f'job="{board.service}",instance=~"$instance"', "instance")
    sections = tuple(section(group, scope) for group in board.groups)
    return Dashboard(board.service, board.service.capitalize(), (board.service,), sections, by_instance=True)


def _across(*jobs: str) -> Scope:
    return Scope(f'job=~"{"|".join(jobs)}"', "job")


def _pick(board: Board, *titles: str) -> tuple[Panel, ...]:
    """Some panels of a service, over all its processes."""
    return tuple(panel(row, _across(board.service)) for row in board.rows if row.title in titles)


def _overview() -> Dashboard:
    everywhere = _across(*JOBS)
    saturation = Group("Saturation", (*PROCESS.rows, now("Open files allowed", "process_max_fds")))
    sections = (
        Section("Promises", (_send_success(), *_pick(EDGE, "Time to acknowledge", "Time to deliver", "Connections"))),
        Section(
            "Traffic",
            (
                *_pick(EDGE, "Frames in", "Frames out", "Deliveries"),
                *_pick(MESSAGE, "Acknowledged"),
                *_pick(AUTH, "Logins"),
                *_pick(EDGE, "Requests", "Closed by us"),
                _up(),
            ),
        ),
        Section(
            "Trouble",
            (
                *(panel(row, everywhere) for row in (*REQUESTS.rows, *ASKED.rows, *EVENTS.rows) if row.bad),
                *_pick(EDGE, "Re-syncs after a loss", "Closed as too slow"),
            ),
        ),
        Section("Saturation", (*section(saturation, everywhere).panels, _clocks())),
        _python(),
    )
    return Dashboard("overview", "Overview", JOBS, sections)


def _send_success() -> Panel:
    said = rate("dragoman_message_acknowledged_total", 'job="message"')
    lost = rate("dragoman_message_refused_total", f'job="message",{_LOST}')
    return Panel("Messages acknowledged of those taken", Unit.SHARE, (Query(f"{said} / ({said} + {lost})", "success"),))


def _up() -> Panel:
    jobs = _across(*JOBS).selector
    return Panel("Processes that answer", Unit.NUMBER, (Query(f"sum by (job) (up{{{jobs}}})", "{{job}}"),))


def _clocks() -> Panel:
    """Beside the one of Prometheus, which notes when it asked."""
    clock = f"dragoman_clock_seconds{{{_across(*JOBS).selector}}}"
    ahead = Query(f"{clock} - timestamp({clock})", "{{instance}}")
    return Panel("Clocks ahead of Prometheus's", Unit.SECONDS, (ahead,))


def _python() -> Section:
    """What the client library exports of every Python process."""
    selector = _across(*JOBS).selector
    rows = (
        rate_row("Collections of garbage", "python_gc_collections"),
        rate_row("Objects collected", "python_gc_objects_collected"),
        rate_row("Objects that could not be collected", "python_gc_objects_uncollectable", bad=True),
        now("Virtual memory", "process_virtual_memory_bytes", Unit.BYTES),
    )
    versions = Query(f"count by (job, version) (python_info{{{selector}}})", "{{job}} {{version}}")
    panels = tuple(panel(row, _across(*JOBS)) for row in rows)
    return Section("Python", (*panels, Panel("Versions of Python", Unit.NUMBER, (versions,))))


def _nats() -> Dashboard:
    everywhere = _across(*JOBS)
    by_subject = Panel(
        "Time until answered, p99 by subject", Unit.SECONDS,
        (Query(quantile(0.99, "dragoman_bus_ask_seconds", everywhere.selector, "subject"), "{{subject}}"),),
    )  # fmt: skip
    fan_out = _pick(MESSAGE, "Time to fan out", "Envelopes", "Size of an envelope", "Fan-outs given up")
    mended = _pick(EDGE, "Re-syncs after a loss", "Gaps fetched", "Seen before")
    sections = (
        section(ASKED, everywhere),
        Section("Requests served", (*section(REQUESTS, everywhere).panels, by_subject)),
        Section("Fan-out", (*fan_out, *mended, *_pick(SESSION, "Notices", "Not handed to NATS"))),
        section(EVENTS, _across("auth", "session", "message")),
        NATS,
    )
    return Dashboard("nats", "NATS", JOBS, sections)


def _valkey() -> Dashboard:
    without = (
        *_pick(MESSAGE, "Presence unknown", "Memberships asked for"),
        *_pick(EDGE, "Vanished from presence"),
        *_pick(AUTH, "Limits without Redis"),
        *_pick(SESSION, "Versions Redis lacks", "Versions without a place"),
    )
    sections = (
        section(PRESENCE, _across("edge", "message", "session")),
        Section("What is missed when it is away", without),
        VALKEY,
    )
    return Dashboard("valkey", "Valkey", JOBS, sections)


def _database() -> Dashboard:
    scope = _across(*_STORES)
    by_kind = Row("Transactions by kind", "dragoman_database_seconds", Kind.COUNT, Unit.PER_SECOND, "kind")
    by_job = Row("Transactions", "dragoman_database_seconds", Kind.COUNT, Unit.PER_SECOND)
    rows = (by_job, by_kind, *DATABASE.rows[1:])
    commits = _pick(
        MESSAGE, "Time to commit", "Messages in a batch", "Batches", "Not answered yet", "Batches tried again"
    )
    sections = (
        section(Group("Transactions", rows), scope),
        Section("Messages", commits),
        Section("Outbox", _pick(AUTH, "Events not told")),
        POSTGRESQL,
    )
    return Dashboard("database", "Databases", _STORES, sections)
