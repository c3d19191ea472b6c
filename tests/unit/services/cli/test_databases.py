"""Tests `dragoman migrate`: all databases get one identity.

A lost or older database is rejected until the operator accepts its loss.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from dragoman.main import main
from local.installation import Installation, find
from local.up_plan import SERVICES
from services.auth.store.installation import database_state as auth_state
from services.cli.databases import check_together, database_urls, skip_numbers
from services.cli.migrations import migrate_all
from services.session.store.installation import database_state as session_state
from shared.contract.ids import SYSTEM_ACCOUNT
from shared.database import open_engine
from shared.errors import StartupError
from shared.identity import Identity, read_identity
from tests.support.servers import PostgresServer

_ACCOUNT = """
    INSERT INTO accounts (uuid, created, question_id, nickname, icon_id, signature, vip, lobby)
    VALUES (:name, 1, 0, :name, 0, '', 0, false) RETURNING id"""
_PROFILE = """
    INSERT INTO profile (id, uuid, nickname, avatar, avatar_hash, icon_id, signature, vip, status, created,
                         public_updated, private_updated, deleted)
    VALUES (:id, 'u', 'n', '', '', 0, '', 0, 0, 1, 1, 1, false)"""
_CHAT = """
    INSERT INTO chat (kind, name, owner, join_policy, avatar, avatar_hash, created, updated, version, size, seats)
    VALUES ('group', '', 0, 'closed', '', '', 1, 1, 1, 0, 0) RETURNING id"""
_CURSOR = "INSERT INTO cursors (account_id, chat_id, read_index, above) VALUES (:account, 1, 1, '')"
_HEAD = "INSERT INTO heads (chat_id, last_index, last_time) VALUES (:id, 1, 1)"


def execute(installation: Installation, service: str, statement: str, **values: object) -> int:
    with open_engine(database_urls(installation.settings)[service]) as engine, engine.begin() as connection:
        found = connection.execute(sa.text(statement), values)
        number = found.scalar() if found.returns_rows else 0
    assert isinstance(number, int)
    return number


def fill(installation: Installation) -> None:
    """Writes three accounts, a chat, and its messages."""
    for number in range(3):
        execute(installation, "session", _PROFILE, id=execute(installation, "auth", _ACCOUNT, name=f"a{number}"))
    execute(installation, "message", _HEAD, id=execute(installation, "session", _CHAT))


ON_BOTH = pytest.mark.parametrize("installation", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """An installation whose databases do not exist yet. They are SQLite's, unless the test is `ON_BOTH`."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield find(None, (), {"data": str(tmp_path / "data")})
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url:
        yield find(None, (), {"data": str(tmp_path / "data"), "database.url": url.replace("+psycopg", "")})


@pytest.fixture
def used(installation: Installation) -> Installation:
    (installation.settings.data).mkdir()
    migrate_all(installation, SERVICES)
    fill(installation)
    return installation


def lose(installation: Installation, name: str) -> None:
    url = database_urls(installation.settings)[name]
    if url.startswith("sqlite"):
        for file in installation.settings.data.glob(f"{name}.db*"):  # this includes the database's log
            file.unlink()
        return
    with open_engine(url) as engine, engine.begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {name} CASCADE"))


def identities(installation: Installation) -> set[Identity]:
    found = set()
    for url in database_urls(installation.settings).values():
        with open_engine(url) as engine, engine.connect() as connection:
            found.add(read_identity(connection))
    return found


@ON_BOTH
def test_databases_get_one_identity_which_stays(used: Installation) -> None:
    (made,) = identities(used)
    assert made == Identity(made.value, True)
    migrate_all(used, SERVICES)
    assert identities(used) == {made}


def test_databases_of_a_version_before_adopt_one(used: Installation) -> None:
    for name in SERVICES:
        execute(used, name, "DELETE FROM installation")
    execute(used, "auth", "INSERT INTO installation VALUES (1, 'begun', false)")
    migrate_all(used, SERVICES)
    assert identities(used) == {Identity("begun", True)}


@pytest.mark.parametrize("name", SERVICES)
def test_a_lost_database_is_not_made_again(used: Installation, name: str) -> None:
    lose(used, name)
    for _ in range(2):
        with pytest.raises(StartupError, match=f"{name} is new, .* {name}'s was lost or replaced"):
            migrate_all(used, SERVICES)
        with pytest.raises(StartupError, match="was lost or replaced"):
            migrate_all(used, [name])


@ON_BOTH
def test_numbers_are_not_given_again_after_a_loss_is_accepted(used: Installation) -> None:
    lose(used, "auth")
    migrate_all(used, SERVICES, accept=True)
    assert execute(used, "auth", _ACCOUNT, name="new") > 3
    lose(used, "session")
    migrate_all(used, SERVICES, accept=True)
    assert execute(used, "session", _CHAT) > execute(used, "message", "SELECT max(chat_id) FROM heads")
    migrate_all(used, SERVICES)


@ON_BOTH
def test_an_older_database_is_rejected(used: Installation) -> None:
    execute(used, "session", _PROFILE, id=7)
    with pytest.raises(StartupError, match="it ends with account 3, but session knows account 7 of 1970-01-01"):
        migrate_all(used, SERVICES)
    migrate_all(used, SERVICES, accept=True)
    assert execute(used, "auth", _ACCOUNT, name="new") > 7


@ON_BOTH
def test_a_number_without_an_account_was_given(used: Installation) -> None:
    execute(used, "auth", "DELETE FROM accounts WHERE id = 3")
    with open_engine(database_urls(used.settings)["auth"]) as engine, engine.connect() as connection:
        assert auth_state(connection).account == 3


@ON_BOTH
def test_restored_installations_skip_numbers(used: Installation) -> None:
    before = execute(used, "session", "SELECT max(id) FROM chat")
    account, chat = skip_numbers(used.settings)
    assert execute(used, "auth", _ACCOUNT, name="new") == account + 1
    assert execute(used, "session", _CHAT) == chat + 1 > before + 1
    check_together(used.settings)
    with open_engine(database_urls(used.settings)["session"]) as engine, engine.connect() as connection:
        assert session_state(connection).chat == chat + 1


@ON_BOTH
def test_the_numbers_of_accounts_that_have_read_messages_are_not_given_again(used: Installation) -> None:
    for account in (90, SYSTEM_ACCOUNT):
        execute(used, "message", _CURSOR, account=account)
    skip_numbers(used.settings)
    assert 90 < execute(used, "auth", _ACCOUNT, name="new") < SYSTEM_ACCOUNT


# The tests below are about the command line, on SQLite.


@pytest.fixture
def backed_up(tmp_path: Path) -> Installation:
    """An installation with three accounts, and in `kept` its backup with two of them."""
    made = find(None, (), {"data": str(tmp_path / "data")})
    made.settings.data.mkdir()
    migrate_all(made, SERVICES)
    made.settings.auth.keys.mkdir(parents=True)
    fill(made)
    execute(made, "auth", "DELETE FROM sqlite_sequence")
    execute(made, "auth", "DELETE FROM accounts WHERE id = 3")
    execute(made, "session", "DELETE FROM profile WHERE id = 3")
    assert dragoman("backup", tmp_path / "kept", "--data", made.settings.data)[0] == 0
    execute(made, "session", _PROFILE, id=execute(made, "auth", _ACCOUNT, name="third"))
    return made


def dragoman(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    return result.exit_code, result.output


def test_restoring_one_database_names_what_is_lost(backed_up: Installation, tmp_path: Path) -> None:
    data = backed_up.settings.data
    restore = ("restore", "--only", "auth", tmp_path / "kept", "--data", data)
    status, output = dragoman(*restore)
    assert (status, "auth.db exists, and nothing is overwritten" in output) == (2, True)
    lose(backed_up, "auth")
    status, output = dragoman(*restore)
    assert status == 1
    assert "accounts, new passwords, disabled accounts, logouts and bots since then are lost" in output
    assert "it ends with account 2, but session knows account 3" in output
    migrate_all(backed_up, SERVICES, accept=True)
    assert execute(backed_up, "auth", _ACCOUNT, name="new") > 3


def test_restoring_a_database_that_lacks_nothing(backed_up: Installation, tmp_path: Path) -> None:
    lose(backed_up, "message")
    status, output = dragoman("restore", "--only", "message", tmp_path / "kept", "--data", backed_up.settings.data)
    assert (status, "messages, edits, reactions and read positions since then are lost" in output) == (0, True)
    migrate_all(backed_up, SERVICES)


def test_a_restored_installation_gives_no_number_of_before_again(backed_up: Installation, tmp_path: Path) -> None:
    fresh = find(None, (), {"data": str(tmp_path / "fresh")})
    assert dragoman("restore", tmp_path / "kept", "--data", fresh.settings.data)[0] == 0
    migrate_all(fresh, SERVICES)
    assert execute(fresh, "auth", _ACCOUNT, name="new") > 3


def test_a_log_that_is_lost_makes_a_database_older(backed_up: Installation) -> None:
    place = backed_up.settings.data / "auth.db"
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("DELETE FROM accounts WHERE id = 3")
        connection.execute("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'accounts'")
    with pytest.raises(StartupError, match="it ends with account 2"):
        check_together(backed_up.settings)
