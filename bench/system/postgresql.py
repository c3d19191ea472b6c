"""A disposable PostgreSQL with its default settings: commits are synced."""

import asyncio
import contextlib
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import sqlalchemy as sa

from bench.errors import BenchError
from bench.system.processes import parent_of
from local import postgresql
from local.ports import free_port
from local.process_group import ProcessGroup
from shared.database import make_engine

_STOP_SECONDS = 40.0
_SERVICES = ("auth", "session", "message")
_MISSING = (
    "several replicas of message run on PostgreSQL: install it (initdb and postgres), or give empty databases by "
    "--set database.url=postgresql+psycopg://…/dragoman_{service}"
)


@contextlib.asynccontextmanager
async def disposable_postgresql(process_group: ProcessGroup) -> AsyncIterator[str]:
    """Start a server with an empty database for each service; yields their URL, with {service}. Raises BenchError."""
    if (programs := postgresql.installed_programs()) is None:
        raise BenchError(_MISSING)
    port, password = free_port(), secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="dragoman-bench-") as directory:
        try:
            data = await asyncio.to_thread(postgresql.initialise, programs, Path(directory), password)
        except OSError as error:
            raise BenchError(str(error)) from error
        server = await asyncio.create_subprocess_exec(
            *postgresql.command(programs, data, port), cwd="/", stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL, **process_group.spawn_options, **postgresql.server_user(),
        )  # fmt: skip
        try:
            await asyncio.to_thread(_create_databases, f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres")
            yield f"postgresql+psycopg://postgres:{password}@127.0.0.1:{port}/dragoman_{{service}}"
        finally:
            await _stop(server)


def main_process(url: str) -> int:
    """The pid of PostgreSQL's main process if it runs on this machine, else 0. Raises SQLAlchemyError."""
    url = url.replace("{service}", _SERVICES[-1])
    if not url.startswith("postgresql"):
        return 0
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            return parent_of(connection.scalar(sa.text("SELECT pg_backend_pid()")) or 0, "postgres")
    finally:
        engine.dispose()


def _create_databases(url: str) -> None:
    """Raises BenchError."""
    try:
        with postgresql.connect(url) as connection:
            for service in _SERVICES:
                connection.execute(f"CREATE DATABASE dragoman_{service} TEMPLATE template0".encode())
    except psycopg.OperationalError as error:
        raise BenchError(f"PostgreSQL does not answer: {error}") from error


async def _stop(server: asyncio.subprocess.Process) -> None:
    """A fast shutdown ends all connections."""
    with contextlib.suppress(ProcessLookupError):
        server.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(server.wait(), _STOP_SECONDS)
    except TimeoutError:
        server.kill()
        await server.wait()
