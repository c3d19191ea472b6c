"""The migrations create exactly the declared tables."""

from services.session.tables import metadata
from tests.support.migrating import differences


def test_migrated_tables_equal_declared_tables(migrated_url: str) -> None:
    assert differences(migrated_url, metadata) == []
