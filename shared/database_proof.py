"""Proves that a service can do its work on its database, names the sessions that keep it from it, and counts
transactions."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.clock import now_ms
from shared.telemetry import LATENCY_BUCKETS

if TYPE_CHECKING:
    from shared.tracing import Tracer

HEALTH_SLOTS = 64
"""Rows of the table `health`: replicas share it, and each process overwrites one."""
_OVERWRITE = sa.text(
    "INSERT INTO health (slot, checked) VALUES (:slot, :checked) ON CONFLICT (slot) DO UPDATE SET checked = :checked"
)
_LOCK_WAIT = "1500ms"
_STREAK_SECONDS = 10.0
LOCK_NOT_AVAILABLE = "55P03"
_WAITED_SECONDS = 1.0
_HOLDERS = sa.text("""
    WITH blocking AS (
        SELECT l.pid, l.relation FROM pg_locks AS l
        WHERE l.granted AND l.pid <> pg_backend_pid()
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.relation = ANY(
            SELECT to_regclass(quote_ident(name)) FROM unnest(CAST(:tables AS text[])) AS name)
        AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        UNION
        SELECT by.pid, NULL FROM pg_stat_activity AS waiting, unnest(pg_blocking_pids(waiting.pid)) AS by (pid)
        WHERE waiting.datname = current_database() AND waiting.wait_event_type = 'Lock'
        AND clock_timestamp() - waiting.query_start > :waited * interval '1 second'
        AND cardinality(pg_blocking_pids(by.pid)) = 0)
    SELECT pid, coalesce(string_agg(DISTINCT relation::regclass::text, ', '), ''), coalesce(max(application_name), ''),
        coalesce(max(state), ''), coalesce(extract(epoch FROM clock_timestamp() - max(xact_start))::int, 0)
    FROM blocking LEFT JOIN pg_stat_activity USING (pid) GROUP BY pid ORDER BY pid LIMIT 8""")


def health_table(metadata: sa.MetaData) -> sa.Table:
    """Overwritten by health checks, each process in a slot of its own."""
    slot = sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False)
    return sa.Table("health", metadata, slot, sa.Column("checked", sa.BigInteger, nullable=False))


class LockHolder(NamedTuple):
    """A session of PostgreSQL for which others wait. `tables`: those that it has locked; `seconds`: the age of its
    transaction. A database user sees the program and the state of its own sessions only."""

    pid: int
    tables: str
    program: str
    state: str
    seconds: int

    def __str__(self) -> str:
        about = ", ".join(filter(None, (self.program, self.state and f"{self.state}, for {self.seconds} s")))
        return f"process {self.pid}{f' ({about})' if about else ''} has locked {self.tables or 'rows'}"


def prove_writable(connection: sa.Connection, slot: int, tables: Collection[str]) -> None:
    """Overwrites a row of the table `health`: commits work. In PostgreSQL a transaction also gets the locks with which
    it would write to `tables`; SQLite has one lock for all tables. Processes use different slots, so that a frozen one
    stops no other."""
    if tables and connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
        connection.exec_driver_sql(f"LOCK TABLE {', '.join(tables)} IN ROW EXCLUSIVE MODE")
    connection.execute(_OVERWRITE, {"slot": slot, "checked": now_ms()})


def is_lock_timeout(error: BaseException | None) -> bool:
    """Whether PostgreSQL gave up waiting for a lock."""
    return getattr(getattr(error, "orig", None), "sqlstate", "") == LOCK_NOT_AVAILABLE


def find_lock_holders(connection: sa.Connection, tables: Collection[str]) -> list[LockHolder]:
    """Sessions that keep others from writing to `tables`, or for which others have waited for a second. Empty in
    SQLite, which does not know them."""
    if connection.dialect.name != "postgresql":
        return []
    found = connection.execute(_HOLDERS, {"tables": list(tables), "waited": _WAITED_SECONDS})
    return [LockHolder(*row) for row in found]


class UnfinishedWork:
    """How long transactions have waited: a row that is locked, or a queue that stands, is seen by no other check."""

    def __init__(self) -> None:
        self._started: dict[object, float] = {}
        self._failing_since: float | None = None
        """The start of the first that failed since one was carried out."""
        self._failed_at = 0.0

    @contextmanager
    def tracked(self, failure: type[Exception]) -> Iterator[None]:
        """`failure`: raised by a transaction that was not carried out."""
        key, started = object(), time.monotonic()
        self._started[key] = started
        try:
            yield
        except failure:
            self._failing_since = started if self._failing_since is None else self._failing_since
            self._failed_at = time.monotonic()
            raise
        else:
            self._failing_since = None
        finally:
            del self._started[key]

    def seconds(self) -> float:
        """Since the start of the oldest one that was not carried out, or that failed a moment ago without a success
        since."""
        now = time.monotonic()
        since = min(self._started.values(), default=now)
        if self._failing_since is not None and now - self._failed_at < _STREAK_SECONDS:
            since = min(since, self._failing_since)
        return now - since


class DatabaseMetrics:
    """Metrics of transactions, from request to completion, waiting included."""

    def __init__(self, registry: CollectorRegistry, tracer: "Tracer | None", system: str) -> None:
        self._tracer = tracer
        self._system = {"db.system.name": system}
        seconds = Histogram(
            "dragoman_database_seconds", "Time of a transaction", ["kind"], buckets=LATENCY_BUCKETS, registry=registry
        )
        in_progress = Gauge(
            "dragoman_database_transactions", "Transactions waiting or under way", ["kind"], registry=registry
        )
        self.failures = Counter(
            "dragoman_database_failures", "Transactions the database did not answer", registry=registry
        )
        self._of = {kind: (seconds.labels(kind), in_progress.labels(kind)) for kind in ("read", "write")}

    @contextmanager
    def running(self, kind: str) -> Iterator[None]:
        seconds, in_progress = self._of[kind]
        with seconds.time(), in_progress.track_inprogress():
            if self._tracer is None:
                yield
            else:
                with self._tracer.span(f"database {kind}", "client", self._system):
                    yield
