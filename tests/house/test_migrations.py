"""The migrations of a service form one chain.

Two migrations with the same predecessor come from two branches that were merged into main.
"""

import runpy
from pathlib import Path

import pytest

import services

_MIGRATIONS = sorted(Path(services.__file__).parent.glob("*/migrations/versions"))


@pytest.mark.parametrize("versions", _MIGRATIONS, ids=lambda path: path.parts[-3])
def test_each_migration_follows_the_one_before_it(versions: Path) -> None:
    files = sorted(versions.glob("*.py"))
    migrations = [runpy.run_path(str(file)) for file in files]
    revisions = [migration["revision"] for migration in migrations]
    assert revisions == [file.name.split("_")[0] for file in files]
    assert [migration["down_revision"] for migration in migrations] == [None, *revisions[:-1]]


def test_every_service_with_a_database_is_looked_at() -> None:
    assert [path.parts[-3] for path in _MIGRATIONS] == ["auth", "message", "session"]
