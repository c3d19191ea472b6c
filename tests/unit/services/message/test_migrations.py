"""The migrations create exactly the declared tables."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from services.message.tables import metadata
from shared.database import make_engine


def test_migrations_create_the_declared_tables(migrated_url: str) -> None:
    engine = make_engine(migrated_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
    engine.dispose()
