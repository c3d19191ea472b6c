"""Limits the length of a SQLite database's write-ahead log. A thread of its own moves the log into the database, while
another thread writes."""

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from shared.telemetry import log

LOG_BYTES = 64 * 2**20
"""If the log is longer than this, it is moved at once. When the log begins again, SQLite cuts the file to this length
(`journal_size_limit`). So a longer file means a longer log."""

_log = log(__name__)
_INTERVAL_SECONDS = 1.0
_LONG_PAGES = 8_192
"""A longer log is moved completely, so that it begins again. This is less than LOG_BYTES, so that the file is not cut
while messages are posted all the time. Cutting would delay posts more than a long file does."""
_RESTART_PAGES = 16_000
"""A longer log is restarted, for which the writer also waits until transactions that read have ended."""
_ROUNDS = 3
"""A long log is moved in this number of rounds beside the writer, before the writer waits for the last one. Each round
moves the pages that were written during the round before. SQLite syncs the database in a round only if nothing is
committed while the pages are copied. So the second round might not sync the many pages of the first."""


class LogMover:
    """Moves the log of a database. `database`: the file of the database. `connect`: opens a connection that only the
    mover uses."""

    def __init__(self, database: str, connect: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
        self._log_file = f"{database}-wal"
        self._connect = connect
        self.is_written = threading.Event()
        """Set while the log may have pages that are not moved yet. Otherwise the mover sleeps. Each transaction that
        writes sets it."""
        self.is_written.set()
        self._is_due = threading.Event()
        self._closing = threading.Event()
        self.turn = threading.Lock()
        """Each transaction that writes holds this lock. The mover holds it while it moves the last pages. A thread that
        waits for this lock continues at once, and one that waits for SQLite's lock sleeps in between."""
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    def after_commit(self) -> None:
        """The writer thread calls this after each transaction, because some transactions write hundreds of megabytes
        within an interval."""
        self.is_written.set()
        with suppress(OSError):
            if os.stat(self._log_file).st_size > LOG_BYTES:
                self._is_due.set()

    def close(self) -> None:
        self._closing.set()
        self.is_written.set()
        self._is_due.set()
        self._thread.join()

    def _run(self) -> None:
        while self._wait():
            try:
                self._keep_moving()
            except sqlite3.Error as error:
                _log.warning("checkpoint failed", error=repr(error))
            except Exception:
                _log.exception("checkpoint failed")
            self.is_written.set()

    def _keep_moving(self) -> None:
        with self._connect() as connection:
            connection.execute("PRAGMA busy_timeout=500")
            while self._wait():
                self.is_written.clear()
                while not self._move(connection):
                    if self._closing.wait(_INTERVAL_SECONDS):
                        return

    def _wait(self) -> bool:
        """Waits until the log must be moved, and then returns True. Returns False when the mover must end."""
        self.is_written.wait()
        if not self._closing.is_set():
            self._is_due.wait(_INTERVAL_SECONDS)
        self._is_due.clear()
        return not self._closing.is_set()

    def _move(self, connection: sqlite3.Connection) -> bool:
        """Moves the log into the database. While there are writes all the time, a passive checkpoint never moves the
        whole log, and the log grows. So a long log is moved completely while the writer waits; the next transaction
        then begins the log again. Returns False if this fails because a transaction takes long. Then it must not be
        tried again at once."""
        for _ in range(_ROUNDS):
            _, pages, moved = _checkpoint(connection, "PASSIVE")
            if pages < _LONG_PAGES:
                if moved < pages:  # a transaction still reads what it would overwrite
                    self.is_written.set()
                return True
        with self.turn:
            is_busy, pages, moved = _checkpoint(connection, "PASSIVE")
            if pages >= _RESTART_PAGES:
                is_busy, pages, moved = _checkpoint(connection, "RESTART")
        return not is_busy and moved == pages


def _checkpoint(connection: sqlite3.Connection, mode: str) -> tuple[int, int, int]:
    """Returns whether it failed (1 or 0), the number of pages in the log, and how many of these are moved."""
    found: tuple[int, int, int] = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    return found
