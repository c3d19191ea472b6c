"""SQL that differs between databases."""

import subprocess
import sys
from typing import Any

import pytest
import sqlalchemy as sa

from shared.sql import partial_index
from tests.support.commands import ROOT


@pytest.mark.parametrize("url", ["sqlite://", "postgresql+psycopg://"])
def test_a_partial_index_has_its_condition_on_both_databases(url: str) -> None:
    metadata, statements = sa.MetaData(), list[str]()
    sa.Table("notes", metadata, sa.Column("id", sa.Integer), partial_index("high", "id", where=sa.text("id > 5")))

    def execute(statement: Any, *_: Any, **_options: Any) -> None:
        statements.append(str(statement.compile(dialect=engine.dialect)))

    engine = sa.create_mock_engine(url, execute)
    metadata.create_all(engine, checkfirst=False)
    assert statements[-1] == "CREATE INDEX high ON notes (id) WHERE id > 5"


@pytest.mark.parametrize("service", ["auth", "session", "message"])
def test_a_service_starts_without_the_dialect_of_postgresql(service: str) -> None:
    code = f"import services.{service}.app, sys; sys.exit('sqlalchemy.dialects.postgresql' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
