"""The migrations create exactly the tables that the code declares."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from services.session.tables import metadata


def test_migrated_tables_equal_declared_tables(migrated_url: str) -> None:
    engine = sa.create_engine(migrated_url)  # without the time-outs of a service
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
    engine.dispose()
