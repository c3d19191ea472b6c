"""A disposable PostgreSQL with its default settings: commits are synced."""

import asyncio
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypedDict

import psycopg
import sqlalchemy as sa

from bench.errors import BenchError
from bench.measurement.processes import parent_of
from local.ports import free_port
from local.process_group import ProcessGroup
from shared.database import make_engine

_START_SECONDS = 60.0
_STOP_SECONDS = 40.0
_SERVICES = ("auth", "session", "message")
_PACKAGES = Path("/usr/lib/postgresql")
"""Debian's packages install there, and put nothing else on the path."""
_MISSING = (
    "several replicas of message run on PostgreSQL: install it (initdb and postgres), or give empty databases by "
    "--set database.url=postgresql+psycopg://…/dragoman_{service}"
)


class _Owner(TypedDict):
    """The user of the server, which never runs as root; None: this one."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


@contextlib.asynccontextmanager
async def disposable_postgresql(process_group: ProcessGroup) -> AsyncIterator[str]:
    """Start a server with an empty database for each service; yields their URL, with {service}. Raises BenchError."""
    programs, owner, port, password = _programs(), _owner(), free_port(), secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="dragoman-bench-") as directory:
        data, password_file = Path(directory) / "data", Path(directory) / "password"
        password_file.write_text(password)
        for path in (directory, password_file):
            if owner["user"] is not None:
                os.chown(path, owner["user"], -1)
        options = f"-c max_connections=200 -c listen_addresses=127.0.0.1 -c unix_socket_directories= -p {port}".split()
        await _initialise(programs / "initdb", data, password_file, owner)
        server = await asyncio.create_subprocess_exec(
            programs / "postgres", "-D", data, *options, cwd="/", stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL, **process_group.spawn_options, **owner,
        )  # fmt: skip
        try:
            await asyncio.to_thread(_create_databases, f"host=127.0.0.1 port={port} user=postgres password={password}")
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


def _programs() -> Path:
    """The directory of initdb and postgres. Raises BenchError."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    packaged = sorted(_PACKAGES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not packaged:
        raise BenchError(_MISSING)
    return packaged[-1].parent


def _owner() -> _Owner:
    if os.geteuid():
        return _Owner(user=None, group=None, extra_groups=None)
    nobody = pwd.getpwnam("nobody")
    return _Owner(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])


async def _initialise(initdb: Path, data: Path, password_file: Path, owner: _Owner) -> None:
    process = await asyncio.create_subprocess_exec(
        initdb, "-D", data, "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8",
        "--locale=C", cwd="/", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, **owner,
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode:
        raise BenchError(f"initdb failed: {output.decode(errors='replace').strip()}")


def _create_databases(conninfo: str) -> None:
    with _connected(conninfo) as connection:
        for service in _SERVICES:
            connection.execute(f"CREATE DATABASE dragoman_{service} TEMPLATE template0".encode())


def _connected(conninfo: str) -> psycopg.Connection:
    """Wait until the server accepts connections. Raises BenchError."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return psycopg.connect(conninfo, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise BenchError(f"PostgreSQL does not answer: {error}") from error
            time.sleep(0.05)


async def _stop(server: asyncio.subprocess.Process) -> None:
    """A fast shutdown ends all connections."""
    with contextlib.suppress(ProcessLookupError):
        server.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(server.wait(), _STOP_SECONDS)
    except TimeoutError:
        server.kill()
        await server.wait()
