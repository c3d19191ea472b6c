"""A system whose processes are started and ended one by one: any number of each service, of any build."""

import asyncio
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from services.cli.fork_server import ForkServer
from services.cli.process_group import ProcessGroup
from shared.settings import NatsSettings, RedisSettings
from tests.drills.cluster import ROOT
from tests.drills.device import Edge
from tests.drills.links import Links
from tests.drills.recorded_connection import Journal
from tests.drills.records import Ended, Fault
from tests.drills.rolling import GRACE_SECONDS
from tests.support.servers import NatsServer, PostgresServer, Server, ValkeyServer
from tests.system.databases import databases
from tests.system.stack import Build, ChangeSettings, ServiceProcess, Stack

DATABASES = ("sqlite", "postgresql")
_POSTGRES = {"synchronous_commit": "on", "max_connections": "60"}
"""A commit must survive a crash of the server, though not of the machine."""
Builds = Callable[[str], Build]
"""The build to start for a service."""


class Fleet:
    """`edges` are those in rotation: an edge is added once it is ready, and removed before it gets SIGTERM, as behind a
    load balancer. `journal` gets a record of every end. With `links`, each process and each client reaches its servers
    by proxies."""

    def __init__(
        self, stack: Stack, nats: NatsServer, valkey: ValkeyServer, postgres: PostgresServer | None, journal: Journal,
        links: Links | None = None,
    ) -> None:  # fmt: skip
        self.edges: list[Edge] = []
        self.nodes: list[Edge] = []
        """The edges at their own addresses."""
        self.postgres = postgres
        self.links = links
        self.running: dict[str, ServiceProcess] = {}
        self._stack = stack
        self.servers: dict[str, Server] = {"nats": nats, "valkey": valkey}
        if postgres is not None:
            self.servers["postgresql"] = postgres
        self._journal = journal
        self._numbers: Counter[str] = Counter()
        self.operator: NatsSettings = nats.settings("admin")
        self.presence_store: RedisSettings = valkey.settings("edge")

    async def migrate(self, build: Build) -> None:
        await asyncio.to_thread(self._stack.migrate, build)

    async def start(self, service: str, build: Build) -> None:
        """Returns when the new process is ready."""
        self._numbers[service] += 1
        name = f"{service}-{self._numbers[service]}"
        running = self.running[name] = self._stack.start(service, build, await self._link(name))
        await asyncio.to_thread(self._stack.await_ready, running)
        if port := running.port:
            self.nodes.append((name, f"ws://127.0.0.1:{port}"))
            if self.links is not None:
                port = await self.links.admit(name, port)
            self.edges.append((name, f"ws://127.0.0.1:{port}"))

    async def _link(self, name: str) -> ChangeSettings:
        if self.links is None:
            return lambda settings: settings
        return await self.links.connect(name, {server: one.port for server, one in self.servers.items()})

    async def end(self, service: str) -> None:
        """Ends the oldest process of a service in order; returns when it is gone."""
        name = next(name for name in self.running if name.startswith(f"{service}-"))
        process = self.running.pop(name).process
        self.edges[:] = [edge for edge in self.edges if edge[0] != name]
        self._journal(Fault(time.monotonic(), name, "end"))
        process.terminate()
        try:
            status = await asyncio.to_thread(process.wait, GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            status = await asyncio.to_thread(process.wait)
        self._journal(Ended(time.monotonic(), name, status))

    async def restart(self, server: str) -> None:
        """Restarts a server: there is one of each, so it is away for a moment."""
        self._journal(Fault(time.monotonic(), server, "restart"))
        await asyncio.to_thread(self.servers[server].stop)
        await asyncio.to_thread(self.servers[server].start)

    def kill(self) -> None:
        for service in self.running.values():
            service.process.kill()
            service.process.wait()


@contextmanager
def fleet(directory: Path, database: str, journal: Journal, links: Links | None = None) -> Iterator[Fleet]:
    """NATS, Valkey and an empty database, without any service. The directory must be readable by all users: PostgreSQL
    may run as another one."""
    with ExitStack() as stack:
        process_group = stack.enter_context(ProcessGroup())
        nats, valkey = NatsServer(directory / "nats", process_group), ValkeyServer(directory / "valkey", process_group)
        for server in (nats, valkey):
            stack.callback(server.stop)
        valkey.start()
        asyncio.run(nats.make_fresh())
        url, postgres = f"sqlite:///{directory}/{{service}}.db", None
        if database == "postgresql":
            postgres = stack.enter_context(_postgresql(directory, process_group))
            url = stack.enter_context(databases(postgres))
        fork_server = ForkServer(process_group)
        stack.callback(fork_server.close)
        services = Stack(directory, nats, valkey, url, process_group, fork_server=fork_server)
        running = Fleet(services, nats, valkey, postgres, journal, links)
        stack.callback(running.kill)
        yield running


@contextmanager
def postgresql_databases(directory: Path) -> Iterator[str]:
    """The URL of empty databases for all services, of a PostgreSQL server for this drill. See `fleet`."""
    with ProcessGroup() as process_group, _postgresql(directory, process_group) as server, databases(server) as url:
        yield url


@contextmanager
def _postgresql(directory: Path, process_group: ProcessGroup) -> Iterator[PostgresServer]:
    server = PostgresServer(directory / "postgresql", process_group, **_POSTGRES)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def checkout(revision: str, directory: Path) -> Build:
    """Extracts a revision of the repository. Raises LookupError for an unknown one."""
    directory.mkdir()
    archive = directory.with_suffix(".tar")
    done = subprocess.run(["git", "archive", f"--output={archive}", revision], cwd=ROOT, check=False)  # noqa: S607
    if done.returncode:
        raise LookupError(revision)
    shutil.unpack_archive(archive, directory)
    archive.unlink()
    return Build(directory)
