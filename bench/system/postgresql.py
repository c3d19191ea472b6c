"""Starts a disposable PostgreSQL with default settings, so commits are synced to disk. Each start makes a new
cluster."""

import asyncio
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypedDict

import psycopg
import sqlalchemy as sa

from bench.errors import BenchError
from bench.system.processes import parent_of
from local.ports import free_port
from local.process_group import ProcessGroup
from shared.database import open_engine

_START_SECONDS = 60.0
_PACKAGES = Path("/usr/lib/postgresql")
"""Debian installs PostgreSQL in this directory, and adds none of its programs to the path."""


class ServerUser(TypedDict):
    """Arguments for subprocess. PostgreSQL does not run as root, so root starts it as the user nobody. None means the
    present user."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


def server_user() -> ServerUser:
    if os.geteuid():
        return ServerUser(user=None, group=None, extra_groups=None)
    nobody = pwd.getpwnam("nobody")
    return ServerUser(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])


def installed_programs() -> Path | None:
    """The directory of initdb and postgres. None if they are not installed on this machine."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    packaged = sorted(_PACKAGES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return packaged[-1].parent if packaged else None


def initialise(programs: Path, home: Path, password: str) -> Path:
    """Make a cluster in this directory. The directory then belongs to the user of the server. `password`: the password
    of the user `postgres`. Returns the data directory. Raises OSError with the message of initdb."""
    user, password_file = server_user(), home / "password"
    password_file.write_text(password)
    if user["user"] is not None:
        for path in (home, password_file):
            os.chown(path, user["user"], -1)
    initdb: list[str | Path] = [
        programs / "initdb", "-D", home / "data", "-U", "postgres", "--auth=scram-sha-256",
        f"--pwfile={password_file}", "--no-sync", "--encoding=UTF8", "--locale=C",
    ]  # fmt: skip
    done = subprocess.run(
        initdb, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd="/", **user
    )
    if done.returncode:
        raise OSError(f"initdb failed: {done.stdout.strip()}")
    return home / "data"


def command(programs: Path, data: Path, port: int, **settings: str) -> list[str]:
    """The command of a server that listens only on loopback, without a socket in the file system."""
    options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200", **settings}
    return [
        str(programs / "postgres"), "-D", str(data), "-p", str(port),
        *(text for name, value in options.items() for text in ("-c", f"{name}={value}")),
    ]  # fmt: skip


def connect(url: str) -> psycopg.Connection:
    """Connect to a server, and wait if it is still starting. Raises psycopg.OperationalError."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return psycopg.connect(url, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


_STOP_SECONDS = 40.0
_SERVICES = ("auth", "session", "message")
_MISSING = (
    "several replicas of the message service run on PostgreSQL: install it (initdb and postgres), or give empty "
    "databases by --set database.url=postgresql+psycopg://…/dragoman_{service}"
)


@contextlib.asynccontextmanager
async def disposable_postgresql(process_group: ProcessGroup) -> AsyncIterator[str]:
    """Start a server with an empty database for each service. Yields the URL of the databases, with {service} in it.
    Raises BenchError."""
    if (programs := installed_programs()) is None:
        raise BenchError(_MISSING)
    port, password = free_port(), secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="dragoman-bench-") as directory:
        try:
            data = await asyncio.to_thread(initialise, programs, Path(directory), password)
        except OSError as error:
            raise BenchError(str(error)) from error
        server = await asyncio.create_subprocess_exec(
            *command(programs, data, port), cwd="/", stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL, **process_group.spawn_options, **server_user(),
        )  # fmt: skip
        try:
            await asyncio.to_thread(_create_databases, f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres")
            yield f"postgresql+psycopg://postgres:{password}@127.0.0.1:{port}/dragoman_{{service}}"
        finally:
            await _stop(server)


def main_process(url: str) -> int:
    """The pid of PostgreSQL's main process, or 0 if it does not run on this machine. Raises SQLAlchemyError."""
    url = url.replace("{service}", _SERVICES[-1])
    if not url.startswith("postgresql"):
        return 0
    with open_engine(url) as engine, engine.connect() as connection:
        return parent_of(connection.scalar(sa.text("SELECT pg_backend_pid()")) or 0, "postgres")


def _create_databases(url: str) -> None:
    """Create a database for each service. Raises BenchError."""
    try:
        with connect(url) as connection:
            for service in _SERVICES:
                connection.execute(f"CREATE DATABASE dragoman_{service} TEMPLATE template0".encode())
    except psycopg.OperationalError as error:
        raise BenchError(f"PostgreSQL does not answer: {error}") from error


async def _stop(server: asyncio.subprocess.Process) -> None:
    """Stop the server by a fast shutdown, which ends all connections."""
    with contextlib.suppress(ProcessLookupError):
        server.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(server.wait(), _STOP_SECONDS)
    except TimeoutError:
        server.kill()
        await server.wait()
