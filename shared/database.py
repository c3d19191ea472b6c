"""One service's database: SQLite or PostgreSQL by URL, transactions as plain functions on their own threads.

A transaction is a function of a SQLAlchemy connection, run off the event loop. SQLite has one writer thread
(BEGIN IMMEDIATE, WAL, synchronous=FULL: a commit survives a power cut) and a few readers; PostgreSQL a small pool.
A brief SQLite transaction may run on the event loop: switching to a thread and back takes longer.
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
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from sqlalchemy.pool import QueuePool

from shared.contract.errors import ErrorCode, RequestError
from shared.database_proof import (
    HEALTH_SLOTS,
    DatabaseMetrics,
    UnfinishedWork,
    find_lock_holders,
    is_lock_timeout,
    prove_writable,
)
from shared.errors import StartupError
from shared.telemetry import log
from shared.write_ahead_log import LOG_BYTES, LogMover

if TYPE_CHECKING:
    from shared.tracing import Tracer

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
SqliteParameters = Sequence[Any] | Mapping[str, Any]

_IMMEDIATE = {"begin": "BEGIN IMMEDIATE"}
"""For SQLite: a writer takes the write lock at BEGIN."""

_log = log(__name__)
_PAUSE_SECONDS = 1.0
_IDLE_SECONDS = 2
"""Of a transaction, on PostgreSQL: a frozen process must not hold its locks for longer."""
_NESTED_LOOPS = "-c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off"
IS_CITUS = "is_citus"
"""In the `info` of a connection to PostgreSQL."""
_BRIEF_SECONDS = 0.003
"""Above this average, no transaction runs on the event loop: the disk is slow or busy."""
_AVERAGED = 8
_STUCK_SECONDS = 4.0
"""A transaction that waits for so long will hardly be carried out: PostgreSQL and SQLite end it after five."""


class DatabaseUnavailable(RequestError):
    """The database cannot be reached, is full, locked or too slow. Whether a transaction was committed is unknown."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the database does not answer, please try again")


class DatabaseStuck(Exception):
    """The database answers, but the service's transactions are not carried out."""


class _Locked(Exception):
    """Another process holds the write lock; the transaction did nothing."""


class Database:
    """`read` and `write` run one transaction each. Raises DatabaseUnavailable; re-raises other exceptions of the
    transaction after a rollback."""

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
        """`nested_loops`: PostgreSQL joins a set of keys row by row through an index, whatever its statistics are."""
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
        """In SQLite, held by the transaction that writes."""
        self._background = asyncio.Lock()
        """Held by the only background transaction that writes or waits for its turn."""
        self._health_slot = secrets.randbelow(HEALTH_SLOTS)
        self._unfinished = UnfinishedWork()
        self._log_mover: LogMover | None = None
        if self.is_sqlite:
            self._log_mover = LogMover(self.url.database or "", self._connect_detached)

    async def read(self, work: Callable[[sa.Connection, *Ts], T], *args: *Ts, brief: bool = False) -> T:
        """Runs `work` in a read-only transaction on one snapshot. `brief` as in `write`."""
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
        """Runs `work` in a transaction that is durably committed on return. A usually `brief` transaction may run
        inline on the event loop, and again on a thread if the database is locked. `background`: in SQLite, any other
        transaction waits for at most one of these."""
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
                        return self._run_inline(self._writing, work)
                return await self._write_on_thread(work, brief)

    @property
    def commits_inline(self) -> bool:
        """Whether a brief transaction would run at once, inline on the event loop."""
        return self.inline_is_quicker and not self._turn.locked()

    @property
    def inline_is_quicker(self) -> bool:
        """Whether a brief transaction runs inline on the event loop when its turn comes."""
        return self.is_sqlite and self._writing.is_quicker

    async def _write_on_thread(self, work: Callable[[sa.Connection], T], brief: bool) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._writers, copy_context().run, self._write, work, brief
        )

    async def check(self, tables: Collection[str] = ()) -> None:
        """Proves that commits work, that these tables can be written, and that no transaction has waited for long.
        Raises DatabaseUnavailable, DatabaseStuck."""
        if (seconds := self._unfinished.seconds()) > _STUCK_SECONDS:
            holders = await self._find_lock_holders(tables)
            raise DatabaseStuck(holders or f"a transaction was not carried out for {seconds:.0f} s")
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
        if self._log_mover is not None:
            self._log_mover.close()
        self._engine.dispose()

    def _read(self, work: Callable[[sa.Connection], T], brief: bool = False) -> T:
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        timed = self._reading.timed() if brief else nullcontext()
        with self._unavailable_on_error(), timed, self._engine.connect() as connection:
            return _transact(connection.execution_options(**options), work)

    def _write(self, work: Callable[[sa.Connection], T], brief: bool = False) -> T:
        timed = self._writing.timed() if brief else nullcontext()
        with self._unavailable_on_error(), timed, self._engine.connect() as connection:
            result = _transact(connection.execution_options(**_IMMEDIATE), work)
        if self._log_mover is not None:
            self._log_mover.after_commit()
        return result

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
        """A connection that no other user gets afterwards."""
        with self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            connection.detach()
            yield raw


class _InlineExecutor:
    """Runs one kind of SQLite transaction (read or write) on the event loop; never waits for a lock."""

    def __init__(self, engine: sa.Engine, options: Mapping[str, str]) -> None:
        self._engine = engine
        self._options = options
        self._connection: sa.Connection | None = None
        self._seconds = 0.0

    @property
    def is_quicker(self) -> bool:
        """Than a thread."""
        return self._seconds < _BRIEF_SECONDS

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Updates the average time of the kind's brief transactions, inline and on threads."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += (time.perf_counter() - started - self._seconds) / _AVERAGED

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        """Raises _Locked."""
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
    """An engine with this project's pragmas, for services and migrations. `name`: of the process, for PostgreSQL's
    list of sessions, unless the URL has another. Raises StartupError."""
    if sa.make_url(url).get_backend_name() != "sqlite":
        return _postgresql_engine(url, name, pool_size, _NESTED_LOOPS if nested_loops else "")
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=0,
        pool_use_lifo=True,  # each connection has a cache of its own: few are used, and their caches are warm
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": 5},
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql_engine(url: str, name: str, pool_size: int, planner: str) -> sa.Engine:
    limits = f"{planner} -c statement_timeout=5000 -c idle_in_transaction_session_timeout={_IDLE_SECONDS * 1000}"
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
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
    """The driver would reject others with each connection. Raises StartupError."""
    import psycopg
    from psycopg.conninfo import make_conninfo  # only where it is used: it takes memory

    try:
        make_conninfo("", **{name: str(value) for name, value in engine.url.query.items()})
    except psycopg.Error as error:
        raise StartupError(f"database.url cannot be used: {error}") from error


def fetch_sqlite(connection: sa.Connection, statement: str, parameters: SqliteParameters = ()) -> list[Any]:
    """The rows of a short statement in SQLite, in the transaction of `connection`. SQLAlchemy's layers would cost more
    than the statement. Raises the errors of `connection.execute`."""
    try:
        return _execute_sqlite(connection, statement, parameters).fetchall()
    except sqlite3.Error as error:
        raise _translated(connection, statement, error) from error


def insert_sqlite(connection: sa.Connection, statement: str, parameters: SqliteParameters) -> int:
    """As `fetch_sqlite`, for an INSERT; returns the id of the last row."""
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
    connection.isolation_level = None  # only _begin_sqlite begins transactions
    for pragma in (
        "journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON", "wal_autocheckpoint=0",
        "secure_delete=ON", f"journal_size_limit={LOG_BYTES}",
    ):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    fetch_sqlite(connection, connection.get_execution_options().get("begin", "BEGIN"))
