"""The record of a move in the two databases that take part, and of the rows that change in its source meanwhile.

The record holds the token of the command that carries the move out. Each transaction of the command compares it, so
that a later command, which replaces it, is the only one to write: also if the earlier one was only frozen.
"""

from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa

from shared.placement import PartitionRange, parse_ranges

_LOAD = sa.text("SELECT source, target, moved FROM moves WHERE id = 1")
_SAVE = sa.text("""
    INSERT INTO moves (id, source, target, moved, token) VALUES (1, :source, :target, :moved, :token)
    ON CONFLICT (id) DO UPDATE SET source = :source, target = :target, moved = :moved, token = :token""")
_TOKEN = sa.text("SELECT token FROM moves WHERE id = 1")
_LOCK_TOKEN = sa.text("SELECT token FROM moves WHERE id = 1 FOR SHARE")
_DELETE = sa.text("DELETE FROM moves WHERE id = 1")

_LAST_CHANGE = sa.text("SELECT max(id) FROM changes")
_CHANGES = sa.text("SELECT id, account_id, chat_id FROM changes WHERE id <= :last ORDER BY id LIMIT :page")
_DELETE_CHANGE = sa.text("DELETE FROM changes WHERE id = :id")
_EVENTS = ("INSERT", "UPDATE", "DELETE")
_ACCOUNTS = {"heads": "0", "cursors": "account_id"}
"""By table: the account of a change."""
_LOCK_SECONDS = 1
"""Transactions that come later wait as long as this one does."""


class MoveError(Exception):
    """A move is rejected, or cannot go on; the message says why, and what to do."""


class Move(NamedTuple):
    """`moved`: the ranges of partitions as text."""

    source: str
    target: str
    moved: str

    @property
    def ranges(self) -> list[PartitionRange]:
        return parse_ranges(self.moved)

    def __str__(self) -> str:
        return f"the move of partitions {self.moved} from {self.source} to {self.target}"


def load_move(connection: sa.Connection) -> Move | None:
    """The unfinished move in which the database takes part."""
    row = connection.execute(_LOAD).one_or_none()
    return None if row is None else Move(*row)


def save_move(connection: sa.Connection, move: Move, token: str) -> None:
    """Waits for the transactions of an earlier command, and ends it. Raises MoveError while the database takes part in
    another move."""
    if (other := load_move(connection)) not in (None, move):
        raise MoveError(f"{other} is unfinished")
    connection.execute(_SAVE, {**move._asdict(), "token": token})


def delete_move(connection: sa.Connection) -> None:
    connection.execute(_DELETE)


def require_token(connection: sa.Connection, token: str) -> None:
    """Raises MoveError. No other command has written before the end of this transaction."""
    statement = _LOCK_TOKEN if connection.dialect.name == "postgresql" else _TOKEN
    if connection.execute(statement).scalar_one_or_none() != token:
        raise MoveError("another command has continued this move, or ended it")


def limit_lock_waits(connection: sa.Connection) -> None:
    """For this transaction, on PostgreSQL."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")


# Changes


class Change(NamedTuple):
    """A changed row of `heads` (`account` 0) or `cursors`."""

    id: int
    account: int
    chat: int


def record_changes(connection: sa.Connection) -> None:
    """From the end of this transaction on. The triggers also see the writes of replicas of earlier versions."""
    limit_lock_waits(connection)
    stop_recording(connection)
    _for_each_trigger(connection, _create_postgresql if connection.dialect.name == "postgresql" else _create_sqlite)


def stop_recording(connection: sa.Connection) -> None:
    """Idempotent."""
    limit_lock_waits(connection)
    _for_each_trigger(connection, _drop_postgresql if connection.dialect.name == "postgresql" else _drop_sqlite)


def last_change(connection: sa.Connection) -> int:
    """The changes that are committed by now have this number or a lower one."""
    return int(connection.execute(_LAST_CHANGE).scalar_one() or 0)


def load_changes(connection: sa.Connection, last: int, page: int) -> list[Change]:
    return [Change(*row) for row in connection.execute(_CHANGES, {"last": last, "page": page})]


def delete_changes(connection: sa.Connection, changes: list[Change]) -> None:
    if changes:
        connection.execute(_DELETE_CHANGE, [{"id": change.id} for change in changes])


def _for_each_trigger(connection: sa.Connection, work: Callable[[str, str], str]) -> None:
    for table in _ACCOUNTS:
        for event in _EVENTS:
            connection.exec_driver_sql(work(table, event))


def _name(table: str, event: str) -> str:
    return f"record_{table}_{event.lower()}"


def _drop_sqlite(table: str, event: str) -> str:
    return f"DROP TRIGGER IF EXISTS {_name(table, event)}"


def _drop_postgresql(table: str, event: str) -> str:
    """Together with its trigger."""
    return f"DROP FUNCTION IF EXISTS {_name(table, event)} CASCADE"


def _create_sqlite(table: str, event: str) -> str:
    row = "OLD" if event == "DELETE" else "NEW"
    account = _ACCOUNTS[table].replace("account_id", f"{row}.account_id")
    return f"""
        CREATE TRIGGER {_name(table, event)} AFTER {event} ON {table} BEGIN
            INSERT INTO changes (account_id, chat_id) VALUES ({account}, {row}.chat_id);
        END"""  # noqa: S608


def _create_postgresql(table: str, event: str) -> str:
    """One execution for each statement."""
    rows = "OLD" if event == "DELETE" else "NEW"
    return f"""
        CREATE OR REPLACE FUNCTION {_name(table, event)}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO changes (account_id, chat_id) SELECT {_ACCOUNTS[table]}, chat_id FROM changed;
            RETURN NULL;
        END $$;
        CREATE TRIGGER {_name(table, event)} AFTER {event} ON {table} REFERENCING {rows} TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION {_name(table, event)}()"""  # noqa: S608
