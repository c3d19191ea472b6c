"""The drill of `deploy/compose/end_to_end.sh --chaos`. Users chat through the balancer of a Compose installation while
it is disturbed.

Each container is killed, frozen and restarted; disks of servers are filled; the installation is upgraded and rolled
back.

Usage: `python -m tests.deploy.compose_drill PROJECT URL DISKS TAG [STEP …]`, as root of the host of the containers.
DISKS is the directory where the disk of each service of FILLED is mounted, with nothing else on these disks. TAG is the
tag of the image to which the drill upgrades. The exit status is 0 if the drill has passed, 1 if it has failed, and 2 if
it is inconclusive.

DRAGOMAN_PROMETHEUS may name a Prometheus. Then a freeze lasts until an alert fires, a full disk lasts until DISK_ALERT
fires, and the table names the alerts.
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

from local.options import load
from shared.settings.servers import LogSettings
from shared.telemetry import configure_logging
from tests.deploy.alarms import Alarms, named_alarms
from tests.deploy.disturbed_drill import (
    EDGE,
    PAUSE_SECONDS,
    SEARCH,
    STEP_SECONDS,
    CommandFailed,
    Disturbance,
    kept_full,
    lasting,
    next_log_file,
    run,
    run_drill,
    until_quiet,
    use_up_log,
)
from tests.drills.archive import read_history
from tests.drills.records import Entry
from tests.support.small_disk import SmallDisk

CONTAINERS = ("nats", "postgres", "session", "auth", "message-1", "edge-1", "balancer", "valkey", SEARCH)
OF_CONNECTIONS = ("edge-1", "balancer")
"""When one of these containers ends, the connections of users end, too."""
SINGLE = ("session", "auth", "balancer", "nats", "postgres")
"""While one of these containers is unavailable, users are without service."""
FILLED = {"nats": "", "postgres": "postgres", SEARCH: ""}
"""The services that store data on a disk, each with the outage (see Disturbance) while this disk is full."""
DISK_ALERT = "DragomanDiskFull"
UPGRADE = "deploy/compose/upgrade.sh"
BOUND_SECONDS = 10.0
"""The longest time in which users may be without service in all other cases."""


class Project:
    """A running project of Compose on this host."""

    def __init__(self, name: str, disks: Path) -> None:
        self._name = name
        self._disks = disks

    async def kill(self, service: str) -> None:
        """Ends the container's first process as a fault does.

        Docker then restarts the container; after `docker kill` it would not. Raises CommandFailed.
        """
        before = await self.state(service)
        os.kill(before["Pid"], signal.SIGKILL)
        await self._until_healthy(service, before["StartedAt"])

    async def lose_index(self) -> None:
        """Deletes the search index, and kills the container of search. Raises CommandFailed."""
        await run("docker", "exec", await self._container(SEARCH), "rm", "-r", "/data/search/index")
        await self.kill(SEARCH)

    @asynccontextmanager
    async def frozen(self, service: str) -> AsyncIterator[None]:
        """The service is frozen inside this context.

        At its end, waits until the service is healthy. Raises CommandFailed.
        """
        container = await self._container(service)
        await run("docker", "pause", container)
        try:
            yield
        finally:
            await run("docker", "unpause", container)
        await self._until_healthy(service)

    @asynccontextmanager
    async def full(self, service: str) -> AsyncIterator[None]:
        """The service's disk is full inside this context.

        At its end, waits until the service is healthy. Raises CommandFailed.
        """
        execute = partial(run, "docker", "exec", await self._container(service))
        if service == "postgres":
            await next_log_file(execute)
        async with kept_full(SmallDisk(self._disks / service)):
            if service == "postgres":
                await use_up_log(execute)
            yield
        await self._until_healthy(service)

    async def restart(self, service: str) -> None:
        """Raises CommandFailed."""
        before = await self.state(service)
        await run("docker", "restart", await self._container(service))
        await self._until_healthy(service, before["StartedAt"])

    async def history(self, chats: list[int]) -> dict[int, list[Entry]]:
        """Returns all messages of these chats, read as the operator's user of NATS.

        Raises RequestError, CommandFailed.
        """
        volume = await run("docker", "volume", "inspect", "--format", "{{.Mountpoint}}", f"{self._name}_secrets-admin")
        admin = load(Path(volume.strip()) / "dragoman.toml", {})[0].nats
        networks = (await self._inspect("nats"))["NetworkSettings"]["Networks"]
        (address,) = (network["IPAddress"] for network in networks.values())
        return await read_history(admin.model_copy(update={"url": f"nats://{address}:4222", "tls_name": "nats"}), chats)

    async def state(self, service: str) -> dict[str, Any]:
        """Returns the `State` that Docker shows of the container. Raises CommandFailed."""
        found: dict[str, Any] = (await self._inspect(service))["State"]
        return found

    async def _until_healthy(self, service: str, last_start: str = "") -> None:
        """Waits until the container is healthy. If it restarts, `last_start` is the time of its previous start."""
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


async def replace(alarms: Alarms | None, *arguments: str) -> None:
    """Replaces the containers. With alarms, then waits until no alert fires any more. Raises CommandFailed."""
    await run(UPGRADE, *arguments)
    if alarms:
        await until_quiet(alarms)


async def steps(project: Project, alarms: Alarms | None, tag: str) -> AsyncIterator[Disturbance]:
    """Yields the steps of the drill. `tag` is the tag of the image to which the drill upgrades."""
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
    yield Disturbance("lose index", SEARCH, "kill", project.lose_index)
    yield Disturbance("upgrade", EDGE, "restart", partial(replace, alarms, tag))
    before = os.environ.get("DRAGOMAN_VERSION", "0.1.0")
    yield Disturbance("back", EDGE, "restart", partial(replace, alarms, "--back", before))


async def main(name: str, url: str, disks: str, tag: str, *only: str) -> int:
    configure_logging(LogSettings(level="error", json_lines=False), "drill")
    project = Project(name, Path(disks))
    alarms = named_alarms(disks)
    course = steps(project, alarms, tag)
    return await run_drill(url, project.history, course, list(only), BOUND_SECONDS, alarms, proxied=True)


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(*sys.argv[1:])))
    except CommandFailed as error:
        sys.exit(f"end_to_end.sh: {error}")
