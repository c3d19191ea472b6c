"""Stores a client's login, positions in chats, and outbox. They can outlive the program."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from dragoman_client.errors import ClientError

Changes = Mapping[str, bytes | None]
"""New values of entries, by their names. The value None removes an entry."""


class StoreInUse(ClientError):
    """The store cannot be opened, because another program has it open."""


class Store(Protocol):
    """A store of a client's entries, by name. Two clients that run at the same time need two stores."""

    def load(self) -> dict[str, bytes]: ...

    def write(self, changes: Changes) -> None:
        """Write all entries or none, even if the program crashes."""

    def close(self) -> None: ...


class MemoryStore:
    """A store in memory. Its entries are lost when the program ends."""

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}

    def load(self) -> dict[str, bytes]:
        return dict(self._entries)

    def write(self, changes: Changes) -> None:
        for name, value in changes.items():
            if value is None:
                self._entries.pop(name, None)
            else:
                self._entries[name] = value

    def close(self) -> None:
        return


class FileStore:
    """A store in an SQLite file, for one program at a time. The file contains secrets, because it contains the tokens
    of the login."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises StoreInUse."""
        path.touch(mode=0o600)
        self._database = sqlite3.connect(path, isolation_level=None, timeout=0)
        try:
            for statement in (
                "PRAGMA locking_mode = EXCLUSIVE",
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "CREATE TABLE IF NOT EXISTS entries (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
            ):
                self._database.execute(statement)
        except sqlite3.OperationalError as error:
            self._database.close()
            raise StoreInUse(f"{path} cannot be opened, or another program uses it: {error}") from error

    def load(self) -> dict[str, bytes]:
        return dict(self._database.execute("SELECT name, value FROM entries"))

    def write(self, changes: Changes) -> None:
        set_to = [(name, value) for name, value in changes.items() if value is not None]
        removed = [(name,) for name, value in changes.items() if value is None]
        with self._database:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", set_to)
            self._database.executemany("DELETE FROM entries WHERE name = ?", removed)

    def close(self) -> None:
        self._database.close()
