"""SQL statements whose parameter is a set of rows, for SQLite and PostgreSQL.

SQLite gets the set as JSON (`:rows`). PostgreSQL gets one array literal per column (`:a` to `:i`), which can be encoded
much faster than lists by the driver. The text of a statement never changes, so it is prepared once.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec
import sqlalchemy as sa

from shared.database import IS_CITUS, fetch_sqlite

StatementRows = Sequence[Sequence[int | str]] | Sequence[int]
"""The rows that a statement handles together. Rows with a single column may be plain integers, which saves work if
there are thousands of rows. In SQLite's statement, `value` is then the integer."""

_FOR_CITUS = re.compile(r"/\* citus: (.*?) \*/")
_HEX = r'"\\x%s"'
_json = msgspec.json.Encoder().encode
_unpack = msgspec.json.Decoder(list[Any]).decode


class SetStatement:
    """Rows hold integers, or texts without quotes and backslashes; at least one row is needed.

    `packed`: SQLite returns all selected rows as one JSON array. Fetching single rows would release the interpreter's
    lock for each row, and then wait to get it again. `selected`: the statement by which SQLite selects the rows that
    `sqlite` has changed. PostgreSQL's statement uses RETURNING instead.

    On Citus, PostgreSQL's statement is executed with the text in comments like `/* citus: … */`, by which Citus finds
    the shards. If `citus` is given, it is executed instead. In it, {rows} is replaced by rows of VALUES, which Citus
    sends to the workers that hold them. {name} is replaced by a further integer. Citus would need 30 times as long for
    an INSERT … SELECT.
    """

    def __init__(
        self, *, sqlite: str, postgresql: str, packed: bool = False, selected: str = "", citus: str = ""
    ) -> None:
        self._sqlite = sqlite
        self._selected = selected
        self._postgresql = sa.text(_FOR_CITUS.sub("", postgresql))
        self._citus = sa.text(_FOR_CITUS.sub(r"\1", postgresql))
        self._citus_values = citus
        self._packed = packed

    def run(self, connection: sa.Connection, rows: StatementRows, **others: object) -> None:
        """Execute the statement. `others`: further parameters."""
        if connection.dialect.name == "sqlite":
            self._fetch_sqlite(connection, rows, others)
        else:
            self._execute_postgresql(connection, rows, others)

    def fetch(self, connection: sa.Connection, rows: StatementRows, **others: object) -> Sequence[Any]:
        """Execute the statement as `run` does, and return the selected rows."""
        if connection.dialect.name != "sqlite":
            return self._execute_postgresql(connection, rows, others).all()
        found = self._fetch_sqlite(connection, rows, others)
        if self._packed:
            unpacked: list[Any] = _unpack(found[0][0])
            return unpacked
        return found

    def _fetch_sqlite(self, connection: sa.Connection, rows: StatementRows, others: dict[str, object]) -> list[Any]:
        parameters = {"rows": _json(rows).decode(), **others}
        found = fetch_sqlite(connection, self._sqlite, parameters)
        return fetch_sqlite(connection, self._selected, parameters) if self._selected else found

    def _execute_postgresql(
        self, connection: sa.Connection, rows: StatementRows, others: dict[str, object]
    ) -> sa.CursorResult[Any]:
        if not connection.info[IS_CITUS]:
            return connection.execute(self._postgresql, array_texts(rows) | others)
        if self._citus_values:
            values = values_text(cast("Sequence[Sequence[int | str]]", rows))
            return connection.exec_driver_sql(self._citus_values.format(rows=values, **others))
        return connection.execute(self._citus, array_texts(rows) | others)


def array_texts(rows: StatementRows) -> dict[str, object]:
    """The array parameters of PostgreSQL, by name."""
    if isinstance(rows[0], int):
        return {"a": array_text(cast("Sequence[int]", rows))}
    columns = zip(*cast("Sequence[Sequence[int | str]]", rows), strict=True)
    return dict(zip("abcdefghi", map(array_text, columns), strict=False))


def values_text(rows: Iterable[Iterable[object]]) -> str:
    """The text of the rows in VALUES."""
    return ", ".join(f"({', '.join(map(_literal, row))})" for row in rows)


def _literal(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def array_text(values: Sequence[int | str]) -> str:
    """An array literal of PostgreSQL."""
    if isinstance(values[0], str):
        values = [f'"{value}"' for value in values]
    return f"{{{','.join(map(str, values))}}}"


def bytea_array_text(values: Iterable[bytes]) -> str:
    """A bytea[] literal of PostgreSQL."""
    return f"{{{','.join([_HEX % value.hex() for value in values])}}}"


def single_column(numbers: Iterable[int]) -> list[tuple[int]]:
    """The numbers as rows of one column."""
    return [(number,) for number in numbers]
