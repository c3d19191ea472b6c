"""Backs up PostgreSQL by pg_dump and pg_restore, which must be on the PATH and no older than the server."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from services.cli.options import OperatorError
from services.cli.up_plan import SERVICES
from shared.database import make_engine
from shared.settings import Settings


def back_up(settings: Settings, directory: Path) -> None:
    """Each database is a consistent snapshot. Raises OperatorError, ToolFailed."""
    for url, schemas in _databases(settings).items():
        chosen = [f"--schema={schema}" for schema in schemas.values() if schema]
        _run("pg_dump", url, "--format=custom", *chosen, f"--file={directory / _dump(schemas)}")


def restore(settings: Settings, directory: Path) -> None:
    """Restore into databases whose schemas have no tables; the user needs the right to recreate these schemas.
    Raises OperatorError, ToolFailed, sqlalchemy.exc.SQLAlchemyError."""
    for service in SERVICES:
        _require_no_tables(settings, service)
    for url, schemas in _databases(settings).items():
        if not (dump := directory / _dump(schemas)).is_file():
            raise OperatorError(f"{dump} does not exist: the backup divides the services among databases differently")
        _run("pg_restore", url, "--clean", "--if-exists", "--single-transaction", str(dump))


class ToolFailed(Exception):
    """pg_dump or pg_restore failed; the message is its first line of output."""


def _databases(settings: Settings) -> dict[sa.URL, dict[str, str]]:
    """The schema of each service, by database. An empty schema: the service has the whole database."""
    found: dict[sa.URL, dict[str, str]] = {}
    for service in SERVICES:
        url = sa.make_url(settings.database_url(service))
        whole = url.set(drivername="postgresql").difference_update_query(["options"])
        found.setdefault(whole, {})[service] = str(url.query.get("options", "")).partition("search_path=")[2]
    return found


def _dump(services: Iterable[str]) -> str:
    return f"{'-'.join(services)}.dump"


def _require_no_tables(settings: Settings, service: str) -> None:
    engine = make_engine(settings.database_url(service))
    try:
        with engine.connect() as connection:
            tables = "SELECT count(*) FROM pg_tables WHERE schemaname = ANY(current_schemas(false))"
            count = connection.execute(sa.text(tables)).scalar_one()
    finally:
        engine.dispose()
    if count:
        raise OperatorError(f"the database of {service} has tables: nothing is overwritten, restore into a new one")


def _run(tool: str, url: sa.URL, *arguments: str) -> None:
    """The password is passed by the environment: other users can see the command line."""
    found = shutil.which(tool)
    if found is None:
        raise OperatorError(f"{tool} is not on the PATH: it comes with PostgreSQL's client programs")
    command = [found, "--dbname", url._replace(password=None).render_as_string(), *arguments]
    environment = os.environ | ({"PGPASSWORD": str(url.password)} if url.password else {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise ToolFailed(f"{tool} failed: {done.stderr.strip().partition(chr(10))[0]}")
