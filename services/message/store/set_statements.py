"""Statements over a set of rows, in the words of both databases.

SQLite takes the set as JSON (`:rows`), PostgreSQL as the text of one array a column (`:a`, `:b`, `:c`, `:d`), which is
far cheaper to write than what the driver makes of a list. The statement is always the same, so it is prepared once.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

Rows = Sequence[Sequence[int | str]]

_HEX = r'"\\x%s"'
_json = msgspec.json.Encoder().encode
_unpack = msgspec.json.Decoder(list[Any]).decode


class SetStatement:
    """The rows given hold integers, or texts without quotes and backslashes; there must be one at least.

    `packed`: SQLite hands over all that is selected as one array in JSON. For every row that it is asked for, the
    interpreter's lock is given away, and comes back late.
    """

    def __init__(self, *, sqlite: str, postgresql: str, packed: bool = False) -> None:
        self._texts = {"sqlite": sqlite, "postgresql": postgresql}
        self._compiled = sa.text(postgresql)
        self._packed = packed

    def run(self, connection: sa.Connection, rows: Rows, **others: object) -> None:
        """`others` are further parameters."""
        self._execute(connection, rows, others)

    def fetch(self, connection: sa.Connection, rows: Rows, **others: object) -> Sequence[Any]:
        """As `run`; returns what is selected."""
        result = self._execute(connection, rows, others)
        if self._packed and connection.dialect.name == "sqlite":
            unpacked: list[Any] = _unpack(result.scalar_one())
            return unpacked
        return result.all()

    def _execute(self, connection: sa.Connection, rows: Rows, others: dict[str, object]) -> sa.CursorResult[Any]:
        """SQLite's driver takes the statement as it stands: half of what a brief one costs is the way there."""
        name = connection.dialect.name
        parameters = _parameters(name, rows) | others
        if name == "sqlite":
            return connection.exec_driver_sql(self._texts[name], parameters)
        return connection.execute(self._compiled, parameters)


def _parameters(dialect: str, rows: Rows) -> dict[str, object]:
    if dialect == "sqlite":
        return {"rows": _json(rows).decode()}
    return dict(zip("abcd", map(array, zip(*rows, strict=True)), strict=False))


def array(values: Sequence[int | str]) -> str:
    """PostgreSQL's text of an array."""
    if isinstance(values[0], str):
        values = [f'"{value}"' for value in values]
    return f"{{{','.join(map(str, values))}}}"


def byte_array(values: Iterable[bytes]) -> str:
    """PostgreSQL's text of bytea[]."""
    return f"{{{','.join([_HEX % value.hex() for value in values])}}}"


def singles(numbers: Iterable[int]) -> list[tuple[int]]:
    """A set of one column."""
    return [(number,) for number in numbers]
