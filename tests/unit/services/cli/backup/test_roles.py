"""A database with the roles and schemas of `dragoman secrets` is restored with its owners and permissions."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from dragoman.main import main
from local.up_plan import SERVICES
from services.auth.adapters.signing_keys import ensure_keys
from tests.support.servers import PostgresServer
from tests.support.service_roles import connected, drop_roles, prepared


def dragoman(*arguments: str | Path) -> None:
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output


@pytest.fixture
def roles(postgres_server: PostgresServer) -> Iterator[None]:
    """Drops the roles after the test."""
    yield
    drop_roles(postgres_server)


@pytest.mark.usefixtures("roles")
def test_restore_brings_back_owners_and_rights(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(postgres_server.tools), prepend=os.pathsep)
    ensure_keys(tmp_path / "data" / "keys")
    kept, secrets = tmp_path / "kept", tmp_path / "secrets"
    with postgres_server.database() as first, postgres_server.database() as second:
        settings = prepared(postgres_server, first, secrets) / "migrate" / "dragoman.toml"
        dragoman("migrate", "--config", settings, *SERVICES)
        dragoman("backup", kept, "--config", settings, "--data", tmp_path / "data")
        prepared(postgres_server, second, secrets)
        superuser = second.replace("+psycopg", "")
        dragoman("restore", kept, "--set", f"database.url={superuser}", "--data", tmp_path / "fresh")
        with connected(secrets, "auth") as connection:
            connection.execute("UPDATE auth.state SET value = 1")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("CREATE TABLE auth.intruder (number int)")
        with connected(secrets, "session") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM auth.state")
        with connected(secrets, "migrate") as connection:
            connection.execute("CREATE TABLE auth.newcomer (number int)")
        with connected(secrets, "auth") as connection:
            connection.execute("INSERT INTO auth.newcomer VALUES (1)")
