"""Databases that are migrated once in a test process and emptied for each test."""

from collections.abc import Iterable

import sqlalchemy as sa

from shared.database import make_engine


def empty(url: str, tables: Iterable[str], *statements: str) -> None:
    """Empty these tables of a PostgreSQL database, whose numbers begin anew; then do what its migration does beside
    making them."""
    engine = make_engine(url)
    with engine.begin() as connection:
        for statement in (f"TRUNCATE {', '.join(tables)} RESTART IDENTITY", *statements):
            connection.execute(sa.text(statement))
    engine.dispose()
