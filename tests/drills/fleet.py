"""A system whose processes start and end one by one.

It can have any number of processes of each service, from any build.
"""

import asyncio
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from local.process_group import ProcessGroup
from shared.settings.servers import NatsSettings, RedisSettings
from tests.drills.archive import read_history, read_presence
from tests.drills.device import Edge
from tests.drills.links import Links
from tests.drills.recorded_connection import Journal
from tests.drills.records import Ended, Entry, Fault
from tests.drills.rolling import GRACE_SECONDS
from tests.support.citus import CitusCluster
from tests.support.commands import ROOT, CommandServer
from tests.support.servers import NatsServer, PostgresServer, Server, ValkeyServer
from tests.support.stack import Build, ChangeSettings, ServiceProcess, Stack

DATABASES = ("sqlite", "postgresql")
_POSTGRES = {"synchronous_commit": "on", "max_connections": "120"}
"""PostgreSQL must keep a commit when the server process crashes, but need not keep it when the machine does."""
Builds = Callable[[str], Build]
"""Returns the build that is started for a service."""
_STORED = "dragoman_message_acknowledged_total"
_LOOK_SECONDS = 1.0
_STORING_SECONDS = 30.0
"""A replica of a broken build may store nothing for this time."""


class Fleet:
    """The processes and servers of a system.

    `edges` are the edges in rotation, as behind a load balancer: an edge is added when it is ready, and removed before
    it gets SIGTERM. `journal` gets a record of each process that ends. With `links`, processes and clients reach their
    servers through proxies. A `kind` of process is the name of a service.
    """

    def __init__(
        self, stack: Stack, nats: NatsServer, valkey: ValkeyServer, postgres: PostgresServer | None, journal: Journal,
        links: Links | None = None,
    ) -> None:  # fmt: skip
        self.edges: list[Edge] = []
        self.nodes: list[Edge] = []
        """The edges at their own addresses, without proxies."""
        self.postgres = postgres
        self.links = links
        self.running: dict[str, ServiceProcess] = {}
        self._stack = stack
        self.servers: dict[str, Server] = {"nats": nats, "valkey": valkey}
        if postgres is not None:
            self.servers["postgresql"] = postgres
        if isinstance(postgres, CitusCluster):
            self.servers |= {f"worker-{number}": worker for number, worker in enumerate(postgres.workers, 1)}
        self._journal = journal
        self._numbers: Counter[str] = Counter()
        self.operator: NatsSettings = nats.settings("admin")
        self.presence_store: RedisSettings = valkey.settings("edge")

    async def history(self, chats: list[int]) -> dict[int, list[Entry]]:
        """Returns all stored messages of these chats. Raises RequestError."""
        return await read_history(self.operator, chats)

    async def presence(self) -> dict[int, frozenset[str]]:
        """Returns the edges of each account. Raises RedisError."""
        return await read_presence(self.presence_store, self.nodes)

    async def migrate(self, build: Build) -> None:
        await asyncio.to_thread(self._stack.migrate, build)

    async def start(self, kind: str, builds: Builds) -> None:
        """Starts a process of this kind. Returns when the process is ready."""
        self._numbers[kind] += 1
        name = f"{kind}-{self._numbers[kind]}"
        running = self.running[name] = self._stack.start(kind, builds(kind), await self._link(name))
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

    async def end(self, kind: str) -> None:
        """Ends the oldest process of a kind with SIGTERM, and returns when it has ended."""
        name = self._names(kind)[0]
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

    async def kill_leader(self, kind: str) -> None:
        """Kills one replica of message that leads partitions with chats in use. Other replicas remain."""
        name = await self._leader(kind)
        self._journal(Fault(time.monotonic(), name, "kill"))
        process = self.running.pop(name).process
        process.kill()
        await asyncio.to_thread(process.wait)

    async def freeze_leader(self, kind: str, seconds: float) -> None:
        """Freezes the process that `kill_leader` would kill, for this time."""
        name = await self._leader(kind)
        process = self.running[name].process
        self._journal(Fault(time.monotonic(), name, "stop"))
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            process.send_signal(signal.SIGCONT)

    async def _leader(self, kind: str) -> str:
        """Returns the replica that stores the most messages at present.

        Raises TimeoutError if no replica stores any for too long.
        """
        before = await asyncio.to_thread(self._stored, kind)
        assert len(before) > 1, f"one {kind} only is running"
        async with asyncio.timeout(_STORING_SECONDS):
            while True:
                await asyncio.sleep(_LOOK_SECONDS)
                after = await asyncio.to_thread(self._stored, kind)
                name = max(before, key=lambda one: after[one] - before[one])
                if after[name] > before[name]:
                    return name

    def _stored(self, kind: str) -> dict[str, float]:
        """Returns the number of messages that each replica has stored."""
        return {name: self.running[name].metric(_STORED) for name in self._names(kind)}

    def _names(self, kind: str) -> list[str]:
        """Returns the names of the running processes of a kind, the oldest first."""
        return [name for name in self.running if name.startswith(f"{kind}-")]

    async def restart(self, server: str) -> None:
        """Restarts a server. It is unavailable for a moment, because there is only one of its kind."""
        self._journal(Fault(time.monotonic(), server, "restart"))
        await asyncio.to_thread(self.servers[server].stop)
        await asyncio.to_thread(self.servers[server].start)

    def kill_all(self) -> None:
        for service in self.running.values():
            service.process.kill()
            service.process.wait()


@contextmanager
def fleet(directory: Path, database: str, journal: Journal, links: Links | None = None) -> Iterator[Fleet]:
    """Starts NATS, Valkey and an empty database, but no service.

    All users must be able to read the directory, because PostgreSQL may run as another user.
    """
    with ExitStack() as stack:
        process_group = stack.enter_context(ProcessGroup())
        nats = NatsServer(directory / "nats", process_group)
        valkey = ValkeyServer(directory / "valkey", process_group, seconds=RedisSettings().timeout_seconds)
        for server in (nats, valkey):
            stack.callback(server.stop)
        valkey.start()
        asyncio.run(nats.make_fresh())
        url, postgres = f"sqlite:///{directory}/{{service}}.db", None
        if database != "sqlite":
            postgres = stack.enter_context(_postgresql(directory, process_group, database))
            url = stack.enter_context(postgres.databases())
        fork_server = CommandServer(process_group)
        stack.callback(fork_server.close)
        services = Stack(directory, nats, valkey, url, process_group, fork_server=fork_server)
        running = Fleet(services, nats, valkey, postgres, journal, links)
        stack.callback(running.kill_all)
        yield running


@contextmanager
def postgresql_databases(directory: Path) -> Iterator[str]:
    """Starts a PostgreSQL server for this drill. Returns the URL of empty databases for all services. See `fleet`."""
    with ProcessGroup() as process_group, _postgresql(directory, process_group) as server, server.databases() as url:
        yield url


@contextmanager
def _postgresql(directory: Path, process_group: ProcessGroup, database: str = "postgresql") -> Iterator[PostgresServer]:
    make = CitusCluster if database == "citus" else PostgresServer
    server = make(directory / "postgresql", process_group, **_POSTGRES)
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
    if (directory / "dragoman").is_dir():
        return Build(directory)
    return Build(directory, ("services.cli.main",))  # in earlier versions, the command line was in this module
