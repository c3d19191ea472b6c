"""One service's database: SQLite or PostgreSQL by URL, transactions as plain functions on their own threads.

A transaction is a function of a SQLAlchemy connection, run off the event loop. SQLite has one writer thread
(BEGIN IMMEDIATE, WAL, synchronous=FULL: a commit survives a power cut) and a few readers; PostgreSQL a small pool.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy.pool import QueuePool

from shared.clock import now_ms
from shared.contract.errors import ErrorCode, Refused
from shared.telemetry import log

T = TypeVar("T")

_log = log(__name__)
_CHECKPOINT_SECONDS = 1.0
_PAUSE_SECONDS = 1.0
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class DatabaseUnavailable(Refused):
    """The database cannot be reached, is full, locked or too slow. Whether a transaction was committed is unknown."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the database does not answer, please try again")


class Database:
    """`read` and `write` run one transaction each. Raises DatabaseUnavailable; other exceptions of the work come
    through, after a rollback."""

    def __init__(self, url: str, *, pool_size: int = 8, registry: CollectorRegistry | None = None) -> None:
        self._numbers = _Numbers(registry or CollectorRegistry())
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
        self._engine = make_engine(url, pool_size=pool_size)
        self._writers = ThreadPoolExecutor(1 if self.is_sqlite else pool_size, "write")
        self._readers = ThreadPoolExecutor(4, "read") if self.is_sqlite else self._writers
        self._closing = threading.Event()
        self._checkpointer: threading.Thread | None = None
        if self.is_sqlite:
            self._checkpointer = threading.Thread(target=self._checkpoint, name="checkpoint", daemon=True)
            self._checkpointer.start()

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a read-only transaction: all it reads is one snapshot."""
        with self._numbers.under_way("read"):
            return await asyncio.get_running_loop().run_in_executor(self._readers, copy_context().run, self._read, work)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction that is durably committed when this returns."""
        with self._numbers.under_way("write"):
            return await asyncio.get_running_loop().run_in_executor(
                self._writers, copy_context().run, self._write, work
            )

    async def check(self) -> None:
        """A real round trip. Raises DatabaseUnavailable."""
        await self.read(lambda connection: connection.execute(sa.text("SELECT 1")).scalar())

    async def close(self) -> None:
        self._closing.set()
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        self._writers.shutdown()
        self._readers.shutdown()
        if self._checkpointer is not None:
            self._checkpointer.join()
        self._engine.dispose()

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        return self._transact(work, {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"})

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        return self._transact(work, {"begin": "BEGIN IMMEDIATE"} if self.is_sqlite else {})

    def _transact(self, work: Callable[[sa.Connection], T], options: dict[str, Any]) -> T:
        try:
            with self._engine.connect() as connection:
                connection = connection.execution_options(**options)
                with connection.begin():
                    return work(connection)
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError, sa.exc.TimeoutError) as error:
            self._numbers.failures.inc()
            _log.warning("database unavailable", error=repr(getattr(error, "orig", error)))
            raise DatabaseUnavailable from error

    def _checkpoint(self) -> None:
        """Move the write-ahead log into the database beside the writer, never in its way."""
        with self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            while not self._closing.wait(_CHECKPOINT_SECONDS):
                try:
                    raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                except Exception:
                    _log.exception("checkpoint failed")


class _Numbers:
    """Transactions, from when they are asked for until they are done, with the wait for their turn."""

    def __init__(self, registry: CollectorRegistry) -> None:
        seconds = Histogram(
            "dragoman_database_seconds", "Time of a transaction", ["kind"], buckets=_SECONDS, registry=registry
        )
        open_ones = Gauge(
            "dragoman_database_transactions", "Transactions waiting or under way", ["kind"], registry=registry
        )
        self.failures = Counter(
            "dragoman_database_failures", "Transactions the database did not answer", registry=registry
        )
        self._of = {kind: (seconds.labels(kind), open_ones.labels(kind)) for kind in ("read", "write")}

    @contextmanager
    def under_way(self, kind: str) -> Iterator[None]:
        seconds, open_ones = self._of[kind]
        with seconds.time(), open_ones.track_inprogress():
            yield


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do the work as soon as the database answers. Raises what the work raises."""
    while True:
        try:
            return await work()
        except DatabaseUnavailable:
            await asyncio.sleep(_PAUSE_SECONDS)


def make_engine(url: str, *, pool_size: int = 8) -> sa.Engine:
    """An engine with this project's pragmas; also what migrations run on."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        # A process that is frozen in the middle of a transaction must not keep others from what it has locked.
        limits = "-c statement_timeout=5000 -c idle_in_transaction_session_timeout=3000"
        options = f"{parsed.query.get('options', '')} {limits}"
        return sa.create_engine(
            url,
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=5,
            hide_parameters=True,
            connect_args={"connect_timeout": 5, "options": options},
        )
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": 5},
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by us alone
    for pragma in (
        "journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON", "wal_autocheckpoint=0",
    ):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


__all__ = ["Database", "DatabaseUnavailable", "make_engine", "now_ms"]
