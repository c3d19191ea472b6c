"""Tests when SQLite's write-ahead log is moved into the database, by which statements, and when a failed attempt is
repeated.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.write_ahead_log import LogMover
from tests.support.waiting import WAIT_SECONDS

PASSIVE, RESTART = "PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(RESTART)"
PAUSE = 0.3


class MovedDatabase:
    """A database, and the mover of its log.

    `done` are the statements that the mover has executed, with their times. `failures` are the failures of its next
    attempts to connect.
    """

    def __init__(self, file: Path, *failures: Exception) -> None:
        self.file = file
        self.log_file = file.with_name(f"{file.name}-wal")
        self.done = SimpleQueue[tuple[str, float]]()
        self.failures = list(failures)
        self.writer = sqlite3.connect(file, isolation_level=None)
        for pragma in ("journal_mode=WAL", "wal_autocheckpoint=0"):
            self.writer.execute(f"PRAGMA {pragma}")
        self.writer.execute("CREATE TABLE notes (text)")
        self.mover = LogMover(str(file), self.connect)

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        if self.failures:
            raise self.failures.pop(0)
        done = self.done

        class Watched(sqlite3.Connection):
            def execute(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
                cursor = super().execute(statement, parameters)
                done.put((statement, time.monotonic()))
                return cursor

        connection = sqlite3.connect(self.file, factory=Watched, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    def write(self) -> None:
        self.writer.execute("INSERT INTO notes VALUES (?)", ("x" * 100_000,))

    def next_done(self, count: int) -> list[str]:
        return [self.done.get(timeout=WAIT_SECONDS)[0] for _ in range(count)]

    def move_at_once(self, count: int) -> list[str]:
        """Wakes the mover, which connects first, and returns the next `count` statements."""
        for made in (1, count):
            self.mover.after_commit()
            statements = self.next_done(made)
        return statements

    @contextmanager
    def long_transaction(self) -> Iterator[None]:
        """Inside this context, a reader needs a part of the log."""
        reader = sqlite3.connect(self.file, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM notes").fetchone()
        self.write()
        yield
        reader.close()

    def close(self) -> bool:
        """Closes the database. Returns whether the mover has ended."""
        closing = threading.Thread(target=self.mover.close, daemon=True)
        closing.start()
        closing.join(WAIT_SECONDS)
        self.writer.close()
        return not closing.is_alive()


Begin = Callable[..., MovedDatabase]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Opens a database. A log of `long` pages is moved completely, and one of `restart` pages is restarted. A log of
    more than `at_once` bytes is moved at once."""

    def begin(
        *failures: Exception, interval: float, long: int = 1_000, restart: int = 2_000, at_once: int = 2**30
    ) -> MovedDatabase:
        monkeypatch.setattr("shared.write_ahead_log._INTERVAL_SECONDS", interval)
        monkeypatch.setattr("shared.write_ahead_log._LONG_PAGES", long)
        monkeypatch.setattr("shared.write_ahead_log._RESTART_PAGES", restart)
        monkeypatch.setattr("shared.write_ahead_log.LOG_BYTES", at_once)
        return MovedDatabase(tmp_path / "test.db", *failures)

    return begin


def test_a_short_log_is_moved_and_not_restarted(begin: Begin) -> None:
    """The writer waits at most half a second for a restart."""
    database = begin(interval=0.01)
    assert database.next_done(2) == ["PRAGMA busy_timeout=500", PASSIVE]
    for _ in range(2):
        database.write()
        database.mover.is_written.set()
        assert database.next_done(1) == [PASSIVE]
    assert database.close()


def test_the_mover_rests_while_nothing_is_written(begin: Begin) -> None:
    database = begin(interval=0.01)
    database.next_done(2)
    with pytest.raises(Empty):
        database.done.get(timeout=PAUSE)
    assert database.close()


def test_the_mover_does_not_rest_until_all_is_moved(begin: Begin) -> None:
    database = begin(interval=0.01)
    database.next_done(2)
    with database.long_transaction():
        database.mover.is_written.set()
        assert database.next_done(3) == [PASSIVE] * 3
    assert database.close()


def test_the_writer_waits_only_for_the_last_round_of_a_long_log(begin: Begin) -> None:
    database = begin(interval=3_600.0, long=1, at_once=1)
    with database.mover.turn:
        assert database.move_at_once(3) == [PASSIVE] * 3
        with pytest.raises(Empty):
            database.done.get(timeout=PAUSE)
    assert database.next_done(1) == [PASSIVE]
    assert database.close()


def test_a_log_that_is_moved_completely_begins_again(begin: Begin) -> None:
    database = begin(interval=3_600.0, long=1, at_once=1)
    database.write()
    length = database.log_file.stat().st_size
    assert database.move_at_once(4) == [PASSIVE] * 4
    database.write()
    assert database.log_file.stat().st_size == length
    assert database.close()


def test_a_long_transaction_that_reads_does_not_delay_the_writer(begin: Begin) -> None:
    database = begin(interval=3_600.0, long=1, at_once=1)
    with database.long_transaction():
        assert database.move_at_once(4) == [PASSIVE] * 4
        assert database.close()
    assert database.done.empty()


def test_a_very_long_log_is_restarted(begin: Begin) -> None:
    database = begin(interval=3_600.0, long=1, restart=1, at_once=1)
    assert database.move_at_once(5)[-1] == RESTART
    assert database.close()


def test_a_short_log_is_moved_after_a_pause(begin: Begin) -> None:
    """The pause does not depend on the number of transactions that end during it."""
    database = begin(interval=PAUSE)
    database.next_done(1)
    times = list[float]()
    for _ in range(3):
        statement, end = database.done.get(timeout=WAIT_SECONDS)
        assert statement == PASSIVE
        times.append(end)
        database.mover.after_commit()
    assert all(later - earlier >= PAUSE for earlier, later in pairwise(times))
    assert database.close()


def test_a_long_log_is_moved_once(begin: Begin) -> None:
    database = begin(interval=PAUSE, at_once=1)
    database.next_done(1)
    database.mover.after_commit()
    _, first = database.done.get(timeout=WAIT_SECONDS)
    database.mover.is_written.set()
    _, second = database.done.get(timeout=WAIT_SECONDS)
    assert second - first >= PAUSE
    assert database.close()


def test_a_restart_that_a_long_transaction_prevents_is_not_tried_again_at_once(begin: Begin) -> None:
    """Each attempt makes the writer wait."""
    database = begin(interval=PAUSE, long=1, restart=1, at_once=1)
    with database.long_transaction():
        (statement, end), *_ = [database.done.get(timeout=WAIT_SECONDS) for _ in range(6)][5:]
        database.mover.after_commit()
        next_statement, next_end = database.done.get(timeout=WAIT_SECONDS)
        assert (statement, next_statement) == (RESTART, PASSIVE)
        assert next_end - end >= PAUSE
        assert database.close()


def test_the_end_does_not_wait_for_a_long_transaction(begin: Begin) -> None:
    database = begin(interval=3_600.0, long=1, restart=1, at_once=1)
    with database.long_transaction():
        assert database.move_at_once(5)[-1] == RESTART
        assert database.close()


@pytest.mark.parametrize(
    ("failure", "level"), [(sqlite3.OperationalError("disk I/O error"), "warning"), (RuntimeError("a bug"), "error")]
)
def test_a_failure_is_logged_and_the_log_is_moved_later(begin: Begin, failure: Exception, level: str) -> None:
    with capture_logs() as logs:
        database = begin(failure, interval=0.01)
        assert PASSIVE in database.next_done(2)
        assert database.close()
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("checkpoint failed", level)]


def test_a_transaction_does_not_fail_because_there_is_no_log(begin: Begin, tmp_path: Path) -> None:
    database = begin(interval=3_600.0)
    database.writer.close()  # closing the last connection removes the log
    assert not (tmp_path / "test.db-wal").exists()
    database.mover.after_commit()
    assert database.close()
