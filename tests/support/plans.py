"""Records the query plan of every statement that a database executes, and the number of rows that the statement
reads."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.statements import watched

_PLANNED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
_SQLITE_SCAN = re.compile(r"SCAN (\w+)")
_SQLITE_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"

_SMALL = 100
"""A table with at most this number of rows may be read from end to end."""


@dataclass
class Plan:
    """The plan of a statement. `scans` are the tables that it reads from end to end.

    `most` is the greatest number of rows that one step of the plan has read. For SQLite, it counts tens of steps of
    SQLite's virtual machine, which are more.
    """

    statement: str
    scans: list[str] = field(default_factory=list)
    most: int = 0


@contextmanager
def observed() -> Iterator[list[Plan]]:
    """Yields the plans of all statements that are executed inside this context, in any thread."""
    plans: list[Plan] = []

    def look(connection: Any, statement: str, parameters: Any, several: bool) -> None:
        if _PLANNED.match(statement) and not several:
            explain = _sqlite if type(connection).__module__.startswith("sqlite3") else _postgresql
            plans.append(explain(connection, statement, parameters))

    with watched(look):
        yield plans


def _sqlite(connection: Any, statement: str, parameters: Any) -> Plan:
    tables = {name for (name,) in connection.execute(_SQLITE_TABLES)}
    lines = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    scanned = [found[1] for line in lines if (found := _SQLITE_SCAN.match(line))]
    plan = Plan(statement, [name for name in scanned if name in tables])

    def count() -> None:
        plan.most += 1

    connection.execute("SAVEPOINT plan")
    connection.set_progress_handler(count, 10)
    connection.execute(statement, parameters).fetchall()
    connection.set_progress_handler(None, 0)
    connection.execute("ROLLBACK TO plan")
    return plan


def _postgresql(connection: Any, statement: str, parameters: Any) -> Plan:
    plan = Plan(statement)
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT plan")
        ((found,),) = cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).fetchall()
        cursor.execute("ROLLBACK TO SAVEPOINT plan")
    for node in _nodes(found[0]["Plan"]):
        rows = round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        plan.most = max(plan.most, rows)
        if node["Node Type"] == "Seq Scan" and rows > _SMALL:
            plan.scans.append(node["Relation Name"])
    return plan


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
