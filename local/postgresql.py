"""A PostgreSQL server with a new cluster of its own, for benchmarks and tests."""

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from typing import TypedDict

import psycopg

_START_SECONDS = 60.0
_PACKAGES = Path("/usr/lib/postgresql")
"""Debian's packages install there, and put nothing else on the path."""


class ServerUser(TypedDict):
    """Arguments for subprocess: PostgreSQL never runs as root, but then as nobody. None: this user."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


def server_user() -> ServerUser:
    if os.geteuid():
        return ServerUser(user=None, group=None, extra_groups=None)
    nobody = pwd.getpwnam("nobody")
    return ServerUser(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])


def installed_programs() -> Path | None:
    """The directory of initdb and postgres; None if this machine has none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    packaged = sorted(_PACKAGES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return packaged[-1].parent if packaged else None


def initialise(programs: Path, home: Path, password: str) -> Path:
    """Creates a cluster in the directory, which becomes the server's, with this password of `postgres`. Returns its
    data directory. Raises OSError; the message is that of initdb."""
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
    """How the server is started: on loopback alone, without a socket in the file system."""
    options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200", **settings}
    return [
        str(programs / "postgres"), "-D", str(data), "-p", str(port),
        *(text for name, value in options.items() for text in ("-c", f"{name}={value}")),
    ]  # fmt: skip


def connect(url: str) -> psycopg.Connection:
    """Waits until a server that starts accepts connections. Raises psycopg.OperationalError."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return psycopg.connect(url, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
