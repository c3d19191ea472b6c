"""The use cases run on SQLite. Those whose statements no test of the store runs are `ON_BOTH`."""

import pytest

ON_BOTH = pytest.mark.parametrize("migrated_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(params=["sqlite"])
def migrated_url(migrated_url: str) -> str:
    return migrated_url
