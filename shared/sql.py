"""What SQLite and PostgreSQL write differently. A process imports only the dialect of its database, because the other
one would take 2 MiB."""

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert(connection: sa.Connection, table: sa.Table) -> "sqlite.Insert | postgresql.Insert":
    """An INSERT of this database's dialect, which supports ON CONFLICT."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def partial_index(
    name: str, *columns: Any, where: sa.ColumnElement[bool] | sa.TextClause, unique: bool = False
) -> sa.Index:
    """An index of the rows for which `where` holds. It gets the option of its database only when it is created there,
    because options of a dialect import the dialect."""
    index = sa.Index(name, *columns, unique=unique)

    @sa.event.listens_for(index, "before_create")
    def set_where(_index: sa.Index, connection: sa.Connection, **_options: Any) -> None:
        index.dialect_kwargs[f"{connection.dialect.name}_where"] = where

    return index
