"""Shows every statement that a database executes, either by SQLAlchemy, or by SQLite's driver alone
(shared.database)."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from shared import database

Look = Callable[[Any, str, Any, bool], None]
"""A function that gets the driver's connection, the statement, its parameters, and whether there are several sets of
parameters.
"""


@contextmanager
def watched(look: Look) -> Iterator[None]:
    """Calls `look` before each statement that is executed inside this context, in any thread."""
    execute = database._execute_sqlite

    def by_sqlalchemy(_: Any, cursor: Any, statement: str, parameters: Any, _context: Any, several: bool) -> None:
        look(cursor.connection, statement, parameters, several)

    def by_driver(connection: sa.Connection, statement: str, parameters: database.SqliteParameters) -> sqlite3.Cursor:
        look(connection.connection.driver_connection, statement, parameters, False)
        return execute(connection, statement, parameters)

    sa.event.listen(sa.Engine, "before_cursor_execute", by_sqlalchemy)
    database._execute_sqlite = by_driver
    try:
        yield
    finally:
        database._execute_sqlite = execute
        sa.event.remove(sa.Engine, "before_cursor_execute", by_sqlalchemy)


@contextmanager
def executed() -> Iterator[list[str]]:
    """Yields the statements that are executed inside this context, except those that begin transactions or check
    connections.
    """
    statements: list[str] = []

    def note(_connection: Any, statement: str, _parameters: Any, _several: bool) -> None:
        if not statement.strip().startswith(("BEGIN", "PRAGMA", "SELECT pg_")):
            statements.append(statement)

    with watched(note):
        yield statements
