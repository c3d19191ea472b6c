"""The drill of `deploy/compose/trial.sh --chaos`: users chat through the balancer while each container is killed,
frozen and restarted, while the disks of servers are full, and while the installation is upgraded and taken back.

`python -m tests.deploy.compose_trial PROJECT URL DISKS TAG [STEP …]`, as root of the host of the containers. DISKS: the
directory where the disk of each of FILLED is mounted, on which nothing else is. TAG: of the image to upgrade to. Exit
status 0: proven, 1: violated, 2: inconclusive. With the address of a Prometheus in DRAGOMAN_PROMETHEUS, a freeze lasts
until an alert fires, a full disk until DISK_ALERT does, and the table names the alerts.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from shared.settings import LogSettings
from shared.settings_loader import load
from shared.telemetry import configure_logging
from tests.deploy.alarms import Alarms, named_alarms
from tests.deploy.disturbed_trial import (
    EDGE,
    PAUSE_SECONDS,
    STEP_SECONDS,
    CommandFailed,
    Disturbance,
    lasting,
    next_log_file,
    run,
    trial,
    until_quiet,
    use_up_log,
)
from tests.drills.archive import read_history
from tests.drills.records import Entry
from tests.support.small_disk import SmallDisk

CONTAINERS = ("nats", "postgres", "session", "auth", "message-1", "edge-1", "balancer", "valkey", "search")
OF_CONNECTIONS = ("edge-1", "balancer")
"""Their end is that of users' connections."""
SINGLE = ("session", "auth", "balancer", "nats", "postgres")
"""While one of them is away, users are without service."""
FILLED = {"nats": "", "postgres": "postgres", "search": ""}
"""Those that store on a disk, and whether users are without service while it is full: see Disturbance.outage."""
DISK_ALERT = "DragomanDiskFull"
UPGRADE = "deploy/compose/upgrade.sh"
BOUND_SECONDS = 10.0
"""The longest time without service besides."""


class Project:
    """A running project of Compose on this host."""

    def __init__(self, name: str, disks: Path) -> None:
        self._name = name
        self._disks = disks

    async def kill(self, service: str) -> None:
        """Ends the container's first process as a fault does: Docker restarts it, as it does not after `docker kill`.
        Raises CommandFailed."""
        before = await self.state(service)
        os.kill(before["Pid"], signal.SIGKILL)
        await self._until_healthy(service, before["StartedAt"])

    @asynccontextmanager
    async def frozen(self, service: str) -> AsyncIterator[None]:
        """Until it is healthy again. Raises CommandFailed."""
        container = await self._container(service)
        await run("docker", "pause", container)
        try:
            yield
        finally:
            await run("docker", "unpause", container)
        await self._until_healthy(service)

    @asynccontextmanager
    async def full(self, service: str) -> AsyncIterator[None]:
        """No byte is free on its disk; then, until it is healthy again. Raises CommandFailed."""
        disk, over = SmallDisk(self._disks / service), asyncio.Event()
        execute = partial(run, "docker", "exec", await self._container(service))
        if service == "postgres":
            await next_log_file(execute)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_keep_full(disk, over))
                try:
                    if service == "postgres":
                        await use_up_log(execute)
                    yield
                finally:
                    over.set()
        finally:
            await asyncio.to_thread(disk.free)
        await self._until_healthy(service)

    async def restart(self, service: str) -> None:
        """Raises CommandFailed."""
        before = await self.state(service)
        await run("docker", "restart", await self._container(service))
        await self._until_healthy(service, before["StartedAt"])

    async def history(self, chats: list[int]) -> dict[int, list[Entry]]:
        """All messages of these chats, by the operator's user. Raises RequestError, CommandFailed."""
        volume = await run("docker", "volume", "inspect", "--format", "{{.Mountpoint}}", f"{self._name}_secrets-admin")
        admin = load(Path(volume.strip()) / "dragoman.toml", {})[0].nats
        networks = (await self._inspect("nats"))["NetworkSettings"]["Networks"]
        (address,) = (network["IPAddress"] for network in networks.values())
        return await read_history(admin.model_copy(update={"url": f"nats://{address}:4222", "tls_name": "nats"}), chats)

    async def state(self, service: str) -> dict[str, Any]:
        """Docker's `State`. Raises CommandFailed."""
        found: dict[str, Any] = (await self._inspect(service))["State"]
        return found

    async def _until_healthy(self, service: str, last_start: str = "") -> None:
        """`last_start`: of a container that starts again, when it had started before."""
        async with asyncio.timeout(STEP_SECONDS):
            while True:
                state = await self.state(service)
                if state["StartedAt"] != last_start and state["Health"]["Status"] == "healthy":
                    return
                await asyncio.sleep(PAUSE_SECONDS)

    async def _inspect(self, service: str) -> dict[str, Any]:
        (found,) = json.loads(await run("docker", "inspect", await self._container(service)))
        assert isinstance(found, dict)
        return found

    async def _container(self, service: str) -> str:
        label = "label=com.docker.compose"
        filters = f"--filter={label}.project={self._name}", f"--filter={label}.service={service}"
        found = (await run("docker", "ps", "--all", "--quiet", *filters)).split()
        if len(found) != 1:
            raise CommandFailed(f"the project {self._name} has {len(found)} containers of {service}, not one")
        return found[0]


async def _keep_full(disk: SmallDisk, over: asyncio.Event) -> None:
    """Servers free some of it again, such as old parts of a log."""
    while not over.is_set():
        await asyncio.to_thread(disk.fill)
        await asyncio.sleep(PAUSE_SECONDS)


async def replace(alarms: Alarms | None, *arguments: str) -> None:
    """Then, until no alert fires any more. Raises CommandFailed."""
    await run(UPGRADE, *arguments)
    if alarms:
        await until_quiet(alarms)


async def steps(project: Project, alarms: Alarms | None, tag: str) -> AsyncIterator[Disturbance]:
    """`tag`: of the image to upgrade to."""
    for service, outage in FILLED.items():
        fill = partial(lasting, partial(project.full, service), alarms, DISK_ALERT)
        yield Disturbance(f"fill {service}", service, "stop", fill, outage)
    for service in CONTAINERS:
        target, outage = service, service if service in SINGLE else ""
        silence = outage
        if service in OF_CONNECTIONS:
            target, silence = EDGE, f"{EDGE}~clients"
        yield Disturbance(f"kill {service}", target, "kill", partial(project.kill, service), outage)
        freeze = partial(lasting, partial(project.frozen, service), alarms)
        yield Disturbance(f"freeze {service}", target, "stop", freeze, silence)
        yield Disturbance(f"restart {service}", target, "restart", partial(project.restart, service), outage)
    yield Disturbance("upgrade", EDGE, "restart", partial(replace, alarms, tag))
    yield Disturbance("back", EDGE, "restart", partial(replace, alarms, "--back"))


async def main(name: str, url: str, disks: str, tag: str, *only: str) -> int:
    configure_logging(LogSettings(level="error", json_lines=False), "trial")
    project = Project(name, Path(disks))
    alarms = named_alarms(disks)
    course = steps(project, alarms, tag)
    return await trial(url, project.history, course, list(only), BOUND_SECONDS, alarms, proxied=True)


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(*sys.argv[1:])))
    except CommandFailed as error:
        sys.exit(f"trial.sh: {error}")
