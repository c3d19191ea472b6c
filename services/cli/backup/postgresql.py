"""Backs up PostgreSQL by pg_dump and pg_restore, which must be on the PATH and no older than the server."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import sqlalchemy as sa

from local.options import CommandFailed, OperatorError
from shared.database import open_engine

_TABLES = """
    SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
    WHERE schemaname = ANY(current_schemas(false))"""


def back_up(urls: Mapping[str, str], directory: Path) -> None:
    """Back up the databases `urls`, which are copied in this order. The copy of each database is a consistent snapshot.
    Raises OperatorError, CommandFailed."""
    for url, schemas in _databases(urls).items():
        chosen = [f"--schema={schema}" for schema in schemas.values() if schema]
        _run("pg_dump", url, "--format=custom", *chosen, f"--file={directory / _dump(schemas)}")


def restore(urls: Mapping[str, str], directory: Path, undo: ExitStack, only: str = "") -> None:
    """Restore into databases whose schemas have no tables. The PostgreSQL user needs the permission to recreate these
    schemas. `undo` gets callbacks that remove the restored tables. `only`: the name of the database to restore; empty
    for all. Raises OperatorError, CommandFailed, sqlalchemy.exc.SQLAlchemyError."""
    for name, place in urls.items():
        if only in ("", name):
            _require_no_tables(name, place)
    undo.callback(_drop_tables, [place for name, place in urls.items() if only in ("", name)])
    for url, schemas in _databases(urls).items():
        if only and only not in schemas:
            continue
        if not (dump := directory / _dump(schemas)).is_file():
            raise OperatorError(
                f"{dump} does not exist: the backup divides the services among databases differently",
                "Give the settings with which the backup was made",
            )
        chosen = []
        if only and schemas[only]:
            # pg_restore with --schema does not create the schema
            _create_schema(urls[only], schemas[only])
            chosen = [f"--schema={schemas[only]}"]
        _run("pg_restore", url, "--clean", "--if-exists", "--single-transaction", *chosen, str(dump))


def _databases(urls: Mapping[str, str]) -> dict[sa.URL, dict[str, str]]:
    """The schema of each name, by database. An empty schema means the whole database."""
    found: dict[sa.URL, dict[str, str]] = {}
    for name, text in urls.items():
        url = sa.make_url(text)
        whole = url.set(drivername="postgresql").difference_update_query(["options"])
        *_, schema = ["", *re.findall(r"search_path=(\S+)", str(url.query.get("options", "")))]
        found.setdefault(whole, {})[name] = schema
    return found


def _dump(names: Iterable[str]) -> str:
    """The name of the file with these databases, such as auth-session-message.dump."""
    return f"{'-'.join(reversed(list(names)))}.dump"


def _require_no_tables(name: str, url: str) -> None:
    with open_engine(url) as engine, engine.connect() as connection:
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = ANY(current_schemas(false))"
        count = connection.execute(sa.text(tables)).scalar_one()
    if count:
        raise OperatorError(
            f"the database of {name} has tables, and nothing is overwritten", "Restore into a new database"
        )


def _drop_tables(urls: Iterable[str]) -> None:
    for url in urls:
        with open_engine(url) as engine, engine.begin() as connection:
            for table in connection.execute(sa.text(_TABLES)).scalars().all():
                connection.exec_driver_sql(f"DROP TABLE {table} CASCADE")


def _create_schema(url: str, schema: str) -> None:
    with open_engine(url) as engine, engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))


def _run(tool: str, url: sa.URL, *arguments: str) -> None:
    """Run a tool of PostgreSQL. The password is passed in the environment, because other users can see the command
    line."""
    found = shutil.which(tool)
    if found is None:
        raise OperatorError(
            f"{tool} is not on the PATH", "Install PostgreSQL's client programs, no older than the server"
        )
    command = [found, "--dbname", url._replace(password=None).render_as_string(), *arguments]
    environment = os.environ | ({"PGPASSWORD": str(url.password)} if url.password else {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        reason = done.stderr.strip().partition("\n")[0]
        raise CommandFailed(f"{tool} failed: {reason}", "Correct database.url, or the permissions of its user")
