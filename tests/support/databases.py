"""Databases that are migrated once in a test process and emptied for each test."""

from collections.abc import Iterable

import sqlalchemy as sa

from shared.database import make_engine


def empty(url: str, tables: Iterable[str], *statements: str) -> None:
    """Empties these tables of a PostgreSQL database and restarts their sequences; then repeats the migration's inserts
    (`statements`)."""
    engine = make_engine(url)
    with engine.begin() as connection:
        for statement in (f"TRUNCATE {', '.join(tables)} RESTART IDENTITY", *statements):
            connection.execute(sa.text(statement))
    engine.dispose()
