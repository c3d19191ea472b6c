"""One service's database, which is SQLite or PostgreSQL as its URL says. Transactions are plain functions, which run on
threads.

A transaction is a function of a SQLAlchemy connection. SQLite has one thread that writes and a few that read. It uses
BEGIN IMMEDIATE, WAL and synchronous=FULL, so that a commit survives a power cut. PostgreSQL has a small pool of
connections. A brief SQLite transaction may run on the event loop, because switching to a thread and back would take
longer.
"""

import asyncio
import os
import secrets
import socket
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, TypeVarTuple

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy.pool import QueuePool

from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.errors import StartupError
from shared.plain_histogram import LATENCY_BUCKETS, PlainHistogram
from shared.telemetry import log
from shared.write_ahead_log import LOG_BYTES, LogMover

if TYPE_CHECKING:
    from shared.tracing import Tracer

HEALTH_SLOTS = 64
"""The number of rows in the table `health`. Replicas share the table, and each process overwrites one row."""
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
    """The table whose rows health checks overwrite. Each process uses the row of its own slot."""
    slot = sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False)
    return sa.Table("health", metadata, slot, sa.Column("checked", sa.BigInteger, nullable=False))


class LockHolder(NamedTuple):
    """A session of PostgreSQL that blocks others. `tables`: the tables that the session has locked; `seconds`: the age
    of the session's transaction. A database user sees program and state only of its own sessions."""

    pid: int
    tables: str
    program: str
    state: str
    seconds: int

    def __str__(self) -> str:
        about = ", ".join(filter(None, (self.program, self.state and f"{self.state}, for {self.seconds} s")))
        return f"process {self.pid}{f' ({about})' if about else ''} has locked {self.tables or 'rows'}"


def prove_writable(connection: sa.Connection, slot: int, tables: Collection[str]) -> None:
    """Overwrites a row of the table `health`, to test that commits work. In PostgreSQL, it also takes the locks for
    writing to `tables`. SQLite has one lock for all tables. Each process uses another slot, so that a frozen process
    does not block other processes."""
    if tables and connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
        connection.exec_driver_sql(f"LOCK TABLE {', '.join(tables)} IN ROW EXCLUSIVE MODE")
    connection.execute(_OVERWRITE, {"slot": slot, "checked": now_ms()})


def is_lock_timeout(error: BaseException | None) -> bool:
    """Whether PostgreSQL has stopped waiting for a lock because of the time limit."""
    return getattr(getattr(error, "orig", None), "sqlstate", "") == LOCK_NOT_AVAILABLE


def find_lock_holders(connection: sa.Connection, tables: Collection[str]) -> list[LockHolder]:
    """The sessions that keep other sessions from writing to `tables`, or have blocked others for a second. The list is
    empty for SQLite, which has no such information."""
    if connection.dialect.name != "postgresql":
        return []
    found = connection.execute(_HOLDERS, {"tables": list(tables), "waited": _WAITED_SECONDS})
    return [LockHolder(*row) for row in found]


class UnfinishedWork:
    """Measures how long transactions have waited. No other check notices a locked row or a stuck queue."""

    def __init__(self) -> None:
        self._started: dict[object, float] = {}
        self._failing_since: float | None = None
        """The start of the first failed transaction since the last successful one; None if none has failed."""
        self._failed_at = 0.0

    @contextmanager
    def tracked(self, failure: type[Exception]) -> Iterator[None]:
        """Measures the transaction in this block. `failure`: the exception of a transaction that was not carried
        out."""
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
        """The seconds since the start of the oldest transaction that was not carried out: it still waits, or has failed
        a moment ago."""
        now = time.monotonic()
        since = min(self._started.values(), default=now)
        if self._failing_since is not None and now - self._failed_at < _STREAK_SECONDS:
            since = min(since, self._failing_since)
        return now - since


class DatabaseMetrics:
    """Metrics of transactions. Their time includes the time in the queue."""

    def __init__(self, registry: CollectorRegistry, tracer: "Tracer | None", system: str) -> None:
        self._tracer = tracer
        self._system = {"db.system.name": system}
        self._seconds = PlainHistogram(
            "dragoman_database_seconds", "Time of a transaction", LATENCY_BUCKETS, registry, ("kind",)
        )
        in_progress = Gauge(
            "dragoman_database_transactions", "Transactions that wait or run now", ["kind"], registry=registry
        )
        self.failures = Counter(
            "dragoman_database_failures", "Transactions that the database did not answer", registry=registry
        )
        self._in_progress = {"read": 0, "write": 0}
        for kind in self._in_progress:
            self._seconds.observe(0.0, 0, (kind,))
            in_progress.labels(kind).set_function(partial(self._in_progress.__getitem__, kind))

    @contextmanager
    def running(self, kind: str) -> Iterator[None]:
        started = time.perf_counter()
        self._in_progress[kind] += 1
        tracer = self._tracer
        try:
            with nullcontext() if tracer is None else tracer.span(f"database {kind}", "client", self._system):
                yield
        finally:
            self._in_progress[kind] -= 1
            self._seconds.observe(time.perf_counter() - started, of=(kind,))


T = TypeVar("T")
Ts = TypeVarTuple("Ts")
SqliteParameters = Sequence[Any] | Mapping[str, Any]

_IMMEDIATE = {"begin": "BEGIN IMMEDIATE"}
"""The options of a transaction that writes in SQLite. It takes the write lock at BEGIN."""

_log = log(__name__)
_PAUSE_SECONDS = 1.0
_IDLE_SECONDS = 2
"""PostgreSQL ends a transaction that is idle for this time. A frozen process must not hold its locks for longer."""
_PAGES_KIB = 500
"""The pages that a SQLite connection caches, of which a service has eight. SQLite's default is 2,000 KiB, but it
empties the cache whenever another connection has committed."""
_STATEMENTS = 64
"""The statements that a SQLite connection keeps prepared. With Python's default of 128, session's statements take
13 MB. Preparing one again takes 10 to 90 µs."""
_NESTED_LOOPS = "-c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off"
IS_CITUS = "is_citus"
"""The key in the `info` of a PostgreSQL connection that says whether the server is Citus."""
_BRIEF_SECONDS = 0.003
"""If transactions take longer than this on average, none runs on the event loop, because the disk is slow or busy."""
_AVERAGED = 8
_STUCK_SECONDS = 4.0
"""A transaction that has waited this long will hardly be carried out, because PostgreSQL and SQLite end it after five
seconds."""


class DatabaseUnavailable(RequestError):
    """The database cannot be reached, is full, locked or too slow. It is unknown whether the transaction was
    committed."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the database does not answer, please try again")


class DatabaseStuck(Exception):
    """The database answers, but the service's transactions are not carried out."""


class _Locked(Exception):
    """Another process holds SQLite's write lock, so the transaction had no effect."""


class Database:
    """`read` and `write` each run one transaction. They raise DatabaseUnavailable. After another exception in the
    transaction, they roll it back and raise the exception again."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "",
        pool_size: int = 8,
        registry: CollectorRegistry | None = None,
        tracer: "Tracer | None" = None,
        nested_loops: bool = False,
    ) -> None:
        """`nested_loops`: makes PostgreSQL join a set of keys with a table row by row through an index, whatever its
        statistics say."""
        self.url = sa.make_url(url)
        self._numbers = DatabaseMetrics(registry or CollectorRegistry(), tracer, self.url.get_backend_name())
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
        self._engine = make_engine(url, name=name, pool_size=pool_size, nested_loops=nested_loops)
        self._writers = ThreadPoolExecutor(1 if self.is_sqlite else pool_size, "write")
        self._readers = ThreadPoolExecutor(4, "read") if self.is_sqlite else self._writers
        self._reading = _InlineExecutor(self._engine, {})
        self._writing = _InlineExecutor(self._engine, _IMMEDIATE)
        self._turn = asyncio.Lock()
        """In SQLite, the transaction that writes holds this lock."""
        self._background = asyncio.Lock()
        """One background transaction at a time holds this lock, while it writes or waits for `_turn`."""
        self._health_slot = secrets.randbelow(HEALTH_SLOTS)
        self._unfinished = UnfinishedWork()
        self.log_mover: LogMover | None = None
        """Moves SQLite's write-ahead log."""
        if self.is_sqlite:
            self.log_mover = LogMover(self.url.database or "", self._connect_detached)

    async def read(self, work: Callable[[sa.Connection, *Ts], T], *args: *Ts, brief: bool = False) -> T:
        """Execute `work` in a read-only transaction on one snapshot. `brief`: see `write`."""
        step = _with_arguments(work, args)
        with self._numbers.running("read"):
            if brief and self.is_sqlite and self._reading.is_quicker:
                with suppress(_Locked):
                    return self._run_inline(self._reading, step)
            return await asyncio.get_running_loop().run_in_executor(
                self._readers, copy_context().run, self._read, step, brief
            )

    async def write(
        self, work: Callable[[sa.Connection, *Ts], T], *args: *Ts, brief: bool = False, background: bool = False
    ) -> T:
        """Execute `work` in a transaction that is durably committed on return. A transaction that is usually `brief`
        may run on the event loop. If the database is locked, it runs again on a thread. `background`: only one such
        transaction waits or writes at a time, so that in SQLite other transactions wait for at most one of them."""
        with self._unfinished.tracked(DatabaseUnavailable):
            step = _with_arguments(work, args)
            return await self._write_in_turn(step, brief=brief, background=background)

    async def _write_in_turn(
        self, work: Callable[[sa.Connection], T], *, brief: bool = False, background: bool = False
    ) -> T:
        with self._numbers.running("write"):
            if not self.is_sqlite:
                return await self._write_on_thread(work, brief)
            async with self._background if background else nullcontext(), self._turn:
                if brief and self.inline_is_quicker:
                    with suppress(_Locked):
                        return self._write_inline(work)
                return await self._write_on_thread(work, brief)

    @property
    def commits_inline(self) -> bool:
        """Whether a brief transaction would run at once on the event loop."""
        return self.inline_is_quicker and not self._turn.locked()

    @property
    def inline_is_quicker(self) -> bool:
        """Whether a brief transaction runs on the event loop when its turn comes."""
        return self.is_sqlite and self._writing.is_quicker

    async def _write_on_thread(self, work: Callable[[sa.Connection], T], brief: bool) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._writers, copy_context().run, self._write, work, brief
        )

    async def clock(self) -> int:
        """Unix milliseconds. SQLite has the clock of this process."""
        if self.is_sqlite:
            return now_ms()
        time = sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")
        return await self.read(lambda connection: int(connection.execute(time).scalar_one()))

    async def check(self, tables: Collection[str] = ()) -> None:
        """Check that commits work, that these tables are writable, and that no transaction has waited for long. Raises
        DatabaseUnavailable, DatabaseStuck."""
        if (seconds := self._unfinished.seconds()) > _STUCK_SECONDS:
            holders = await self._find_lock_holders(tables)
            raise DatabaseStuck(holders or f"a transaction was not carried out within {seconds:.0f} s")
        try:
            await self._write_in_turn(partial(prove_writable, slot=self._health_slot, tables=tables))
        except DatabaseUnavailable as error:
            if is_lock_timeout(error.__cause__):
                raise DatabaseStuck(await self._find_lock_holders(tables) or "a table is locked") from error
            raise

    async def _find_lock_holders(self, tables: Collection[str]) -> str:
        return "; ".join(map(str, await self.read(partial(find_lock_holders, tables=tables))))

    async def close(self) -> None:
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        self._writers.shutdown()
        self._readers.shutdown()
        self._reading.close()
        self._writing.close()
        if self.log_mover is not None:
            self.log_mover.close()
        self._engine.dispose()

    def _read(self, work: Callable[[sa.Connection], T], brief: bool = False) -> T:
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        timed = self._reading.timed() if brief else nullcontext()
        with self._unavailable_on_error(), timed, self._engine.connect() as connection:
            return _transact(connection.execution_options(**options), work)

    def _write(self, work: Callable[[sa.Connection], T], brief: bool = False) -> T:
        timed = self._writing.timed() if brief else nullcontext()
        turn = nullcontext() if self.log_mover is None else self.log_mover.turn
        with self._unavailable_on_error(), self._engine.connect() as connection, turn, timed:
            result = _transact(connection.execution_options(**_IMMEDIATE), work)
        if self.log_mover is not None:
            self.log_mover.after_commit()
        return result

    def _write_inline(self, work: Callable[[sa.Connection], T]) -> T:
        """Raises _Locked."""
        assert self.log_mover is not None
        turn = self.log_mover.turn
        if not turn.acquire(blocking=False):
            raise _Locked
        try:
            return self._run_inline(self._writing, work)
        finally:
            turn.release()
            self.log_mover.is_written.set()

    def _run_inline(self, place: "_InlineExecutor", work: Callable[[sa.Connection], T]) -> T:
        with self._unavailable_on_error(), place.timed():
            return place.transact(work)

    @contextmanager
    def _unavailable_on_error(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError, sa.exc.TimeoutError) as error:
            self._numbers.failures.inc()
            _log.warning("database unavailable", error=repr(getattr(error, "orig", error)))
            raise DatabaseUnavailable from error

    @contextmanager
    def _connect_detached(self) -> Iterator[sqlite3.Connection]:
        """Yields a connection that does not return to the pool."""
        with self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            connection.detach()
            yield raw


class _InlineExecutor:
    """Executes one kind of SQLite transaction (read or write) on the event loop. It never waits for a lock."""

    def __init__(self, engine: sa.Engine, options: Mapping[str, str]) -> None:
        self._engine = engine
        self._options = options
        self._connection: sa.Connection | None = None
        self._seconds = 0.0

    @property
    def is_quicker(self) -> bool:
        """Whether transactions of this kind are quicker on the event loop than on a thread."""
        return self._seconds < _BRIEF_SECONDS

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Updates the average time of this kind's brief transactions, on the event loop and on threads."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += (time.perf_counter() - started - self._seconds) / _AVERAGED

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        """Runs a transaction. Raises _Locked."""
        try:
            return _transact(self._connected(), work)
        except sa.exc.DBAPIError as error:
            self.close()
            if getattr(error.orig, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise _Locked from error
            raise

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(**self._options)
            raw = self._connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA busy_timeout=0")
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


async def wait_until_available(work: Callable[[], Awaitable[T]]) -> T:
    """Repeats `work` until the database is available. Re-raises its other exceptions."""
    while True:
        try:
            return await work()
        except DatabaseUnavailable:
            await asyncio.sleep(_PAUSE_SECONDS)


def make_engine(url: str, *, name: str = "", pool_size: int = 8, nested_loops: bool = False) -> sa.Engine:
    """A SQLAlchemy engine with the settings of this project, for services and migrations. The last used connection is
    used first, because each connection caches its statements and, in PostgreSQL, what it has read of the catalog.
    `name`: the name of the process in PostgreSQL's list of sessions, unless the URL has another name. Raises
    StartupError."""
    if sa.make_url(url).get_backend_name() != "sqlite":
        return _postgresql_engine(url, name, pool_size, _NESTED_LOOPS if nested_loops else "")
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=0,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": 5, "cached_statements": _STATEMENTS},
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def open_engine(url: str, name: str = "") -> Iterator[sa.Engine]:
    """An engine for the duration of the context."""
    engine = make_engine(url, name=name)
    try:
        yield engine
    finally:
        engine.dispose()


def _postgresql_engine(url: str, name: str, pool_size: int, planner: str) -> sa.Engine:
    limits = f"{planner} -c statement_timeout=5000 -c idle_in_transaction_session_timeout={_IDLE_SECONDS * 1000}"
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,
        pool_pre_ping=True,
        pool_timeout=5,
        hide_parameters=True,
        connect_args={
            "connect_timeout": 5,
            "options": f"{sa.make_url(url).query.get('options', '')} {limits}",
            "fallback_application_name": f"dragoman {name or 'tool'} {socket.gethostname()} {os.getpid()}",
        },
    )
    _require_known_options(engine)
    sa.event.listen(engine, "connect", _recognise_citus)
    return engine


def _recognise_citus(connection: Any, record: Any) -> None:
    found = connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'citus'").fetchone()
    connection.rollback()
    record.info[IS_CITUS] = found is not None


def _require_known_options(engine: sa.Engine) -> None:
    """Checks the options of the URL. Otherwise, the driver would reject unknown options only when it connects. Raises
    StartupError."""
    import psycopg
    from psycopg.conninfo import make_conninfo  # the import is here because the module takes memory

    try:
        make_conninfo("", **{name: str(value) for name, value in engine.url.query.items()})
    except psycopg.Error as error:
        raise StartupError(
            f"database.url cannot be used: {error}", "Write it as postgresql+psycopg://USER:PASSWORD@HOST:PORT/NAME"
        ) from error


def fetch_sqlite(connection: sa.Connection, statement: str, parameters: SqliteParameters = ()) -> list[Any]:
    """The rows of a short statement in SQLite, in the transaction of `connection`. The call bypasses SQLAlchemy's
    layers, which would cost more than the statement. Raises the errors of `connection.execute`."""
    try:
        return _execute_sqlite(connection, statement, parameters).fetchall()
    except sqlite3.Error as error:
        raise _translated(connection, statement, error) from error


def insert_sqlite(connection: sa.Connection, statement: str, parameters: SqliteParameters) -> int:
    """Like `fetch_sqlite`, for an INSERT; returns the id of the last row."""
    try:
        last = _execute_sqlite(connection, statement, parameters).lastrowid
    except sqlite3.Error as error:
        raise _translated(connection, statement, error) from error
    assert last is not None
    return last


def _execute_sqlite(connection: sa.Connection, statement: str, parameters: SqliteParameters) -> sqlite3.Cursor:
    raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment] # of SQLite
    return raw.execute(statement, parameters)


def _translated(connection: sa.Connection, statement: str, error: sqlite3.Error) -> BaseException:
    return sa.exc.DBAPIError.instance(
        statement, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
    )


def _with_arguments(work: Callable[[sa.Connection, *Ts], T], args: tuple[*Ts]) -> Callable[[sa.Connection], T]:
    return lambda connection: work(connection, *args)


def _transact(connection: sa.Connection, work: Callable[[sa.Connection], T]) -> T:
    with connection.begin():
        return work(connection)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # _begin_sqlite begins transactions, not the driver
    for pragma in (
        "journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON", "wal_autocheckpoint=0",
        "secure_delete=ON", f"journal_size_limit={LOG_BYTES}", f"cache_size={-_PAGES_KIB}",
    ):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    fetch_sqlite(connection, connection.get_execution_options().get("begin", "BEGIN"))
