"""Services that start one by one, each by its own command. They use servers that already run."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from pydantic import SecretStr

from local.fork_server import ForkServer
from local.ports import free_port
from local.process_group import ProcessGroup
from local.up_plan import variables
from shared.settings import Settings
from shared.settings.accounts import AuthSettings, MailSettings
from shared.settings.edge import EdgeSettings
from shared.settings.limits import LimitsSettings
from shared.settings.messages import MediaSettings
from shared.settings.servers import DatabaseSettings, OpsSettings, RedisSettings, TracingSettings
from tests.support.commands import ROOT, forkable
from tests.support.forked import ForkedService
from tests.support.servers import NatsServer, ValkeyServer

Spawned = subprocess.Popen[bytes] | ForkedService

_DATABASES = ("auth", "session", "message")
_READY_SECONDS = 90.0
_open = build_opener(ProxyHandler({})).open


@dataclass(frozen=True)
class Build:
    """The code to start. It is a checkout at `root`. Its services are started by `module` with arguments."""

    root: Path = ROOT
    module: tuple[str, ...] = ("dragoman.main",)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", *self.module, *arguments]


PRESENT = Build()
ChangeSettings = Callable[[Settings], Settings]


@dataclass
class ServiceProcess:
    """A running process of a service. If it is an edge, clients connect to `port`."""

    process: Spawned
    ops: int
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    def metric(self, name: str) -> float:
        """Returns the sum of a metric over all its labels."""
        with _open(f"http://127.0.0.1:{self.ops}/metrics", timeout=5) as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def is_ready(self) -> bool:
        with suppress(URLError, OSError), _open(f"http://127.0.0.1:{self.ops}/readyz", timeout=2) as response:
            return bool(response.status == 200)
        return False


class Stack:
    """Starts services that share NATS, Valkey and databases. `database_url` contains `{service}`.

    If there is a `collector`, the services send spans to its address. If there is a fork server, it starts the
    processes of the present build.
    """

    def __init__(
        self,
        directory: Path,
        nats: NatsServer,
        valkey: ValkeyServer,
        database_url: str,
        process_group: ProcessGroup,
        collector: str = "",
        fork_server: ForkServer | None = None,
    ) -> None:
        self._directory = directory
        self._nats = nats
        self._valkey = valkey
        self._database = database_url
        self._process_group = process_group
        self._fork_server = fork_server
        self._tracing = TracingSettings(endpoint=collector)

    def migrate(self, build: Build = PRESENT) -> None:
        process = self.operate("setup", build, "migrate", *_DATABASES)
        assert process.wait() == 0, (self._directory / "setup.log").read_text()

    def operate(self, name: str, build: Build, *arguments: str) -> Spawned:
        """Starts a command of the operator. `name` is the name of its log."""
        return self._spawn(build, name, self._environment("setup", 0, 0), *arguments)

    def start(
        self, service: str, build: Build = PRESENT, change: ChangeSettings = lambda settings: settings
    ) -> ServiceProcess:
        ops, port = free_port(), free_port() if service == "edge" else 0
        process = self._spawn(build, f"{service}-{ops}", self._environment(service, ops, port, change), service)
        return ServiceProcess(process, ops, port)

    @contextmanager
    def running(
        self, *services: str, change: ChangeSettings = lambda settings: settings
    ) -> Iterator[list[ServiceProcess]]:
        """Starts these services in this order, with migrated databases.

        Yields them when they are ready, and kills them at the end.
        """
        self.migrate()
        started = [self.start(service, change=change) for service in services]
        try:
            self.await_ready(*started)
            yield started
        finally:
            for one in started:
                one.process.kill()
                one.process.wait()

    def _spawn(self, build: Build, name: str, environment: Mapping[str, str], *arguments: str) -> Spawned:
        with (self._directory / f"{name}.log").open("wb") as log:
            command = build.command(*arguments)
            if build.root == ROOT and self._fork_server is not None:
                pid = self._fork_server.fork(name, forkable(command), environment, log.fileno())
                if pid is not None:
                    return ForkedService(pid)
            return subprocess.Popen(
                command, cwd=build.root, env=environment, stdout=log, stderr=log,
                **self._process_group.spawn_options,
            )  # fmt: skip

    def await_ready(self, *services: ServiceProcess) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not all(service.is_ready() for service in services):
            given_up = time.monotonic() > deadline or any(service.process.poll() is not None for service in services)
            assert not given_up, [log.read_text()[-2000:] for log in self._directory.glob("*.log")]
            time.sleep(0.05)

    def _environment(
        self, service: str, ops: int, port: int, change: ChangeSettings = lambda settings: settings
    ) -> Mapping[str, str]:
        redis = RedisSettings() if service == "setup" else self._valkey.settings(service)
        settings = Settings(
            nats=self._nats.settings(service),
            redis=redis,
            database=DatabaseSettings(url=SecretStr(self._database)),
            ops=OpsSettings(port=ops),
            tracing=self._tracing,
            limits=LimitsSettings(rates=False),
            mail=MailSettings(outbox=self._directory / "outbox"),
            auth=AuthSettings(keys=self._directory / "keys", argon2_memory_kib=8, argon2_iterations=1),
            edge=EdgeSettings(port=port or 8080, name=f"edge-{port}"),
            media=MediaSettings(directory=self._directory / "media"),
        )
        return {**os.environ, **variables(change(settings))}
