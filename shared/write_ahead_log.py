"""Limits the length of a SQLite database's write-ahead log: moves the log into the database on a thread, beside the
writer."""

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from shared.telemetry import log

LOG_BYTES = 64 * 2**20
"""A longer log is moved at once. SQLite cuts the file to this length when the log begins again (`journal_size_limit`):
if the file is longer, it has a longer log in it."""

_log = log(__name__)
_INTERVAL_SECONDS = 1.0
_ROUNDS = 2
"""The second round moves only the pages written during the first, so the writer waits briefly."""
_RESTART_PAGES = 8_192
"""Fewer than LOG_BYTES: under constant posts the file is not cut, because cutting would cost posts more than the file's
length does."""


class LogMover:
    """`database`: its file. `connect`: opens a connection that the mover has for itself."""

    def __init__(self, database: str, connect: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
        self._log_file = f"{database}-wal"
        self._connect = connect
        self._is_due = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    def after_commit(self) -> None:
        """The writer thread calls this after each transaction, because some transactions write hundreds of megabytes
        within an interval."""
        with suppress(OSError):
            if os.stat(self._log_file).st_size > LOG_BYTES:
                self._is_due.set()

    def close(self) -> None:
        self._closing.set()
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

    def _keep_moving(self) -> None:
        with self._connect() as connection:
            connection.execute("PRAGMA busy_timeout=500")
            while self._wait():
                while not _move(connection):
                    if self._closing.wait(_INTERVAL_SECONDS):
                        return

    def _wait(self) -> bool:
        """Returns whether the log is to be moved now; False: nothing is left to do."""
        if not self._closing.is_set():
            self._is_due.wait(_INTERVAL_SECONDS)
        self._is_due.clear()
        return not self._closing.is_set()


def _move(connection: sqlite3.Connection) -> bool:
    """Under constant writes a passive checkpoint never finishes and the log grows: above _RESTART_PAGES a restart
    checkpoint makes the writer wait. False: this is given up because a transaction takes long, and must not be tried
    again at once."""
    for _ in range(_ROUNDS):
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages < _RESTART_PAGES:
            return True
    is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    return not is_busy
