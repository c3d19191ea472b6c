"""The drill of `deploy/systemd/end_to_end.sh`. Users chat while search is killed, frozen and restarted, its disk is
full, its index is deleted, and the installation is upgraded.

Usage: `python -m tests.deploy.systemd_drill INIT ROOT DISK URL`, as root of the host. INIT is the first process of the
machine with the installation, and ROOT is its file system. DISK is the disk of the index. The drill upgrades with the
shell commands in /root/upgrade of the machine. The exit status is 0 if the drill has passed, 1 if it has failed, and 2
if it is inconclusive.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec

from local.data import Run, run_file
from shared.settings.servers import LogSettings
from shared.telemetry import configure_logging
from tests.deploy.disturbed_drill import (
    EDGE,
    PAUSE_SECONDS,
    SEARCH,
    STEP_SECONDS,
    CommandFailed,
    Disturbance,
    kept_full,
    lasting,
    run,
    run_drill,
)
from tests.drills.archive import broker_of, read_history
from tests.drills.records import Entry
from tests.support.small_disk import SmallDisk

DATA = "var/lib/dragoman"
BOUND_SECONDS = 10.0
"""The longest time in which users may be without service."""


class SystemdMachine:
    """A machine in which systemd runs the installation."""

    def __init__(self, init: str, root: Path, disk: Path) -> None:
        self._init = init
        self._root = root
        self._disk = SmallDisk(disk)

    async def signal(self, name: str) -> None:
        """Sends a signal to the process of search, and waits until another one runs. Raises CommandFailed."""
        pid = self._search()
        await self._kill(name, pid)
        async with asyncio.timeout(STEP_SECONDS):
            while self._search() in (0, pid):
                await asyncio.sleep(PAUSE_SECONDS)

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """The process of search is frozen inside this context, or until its supervisor replaces it."""
        pid = self._search()
        await self._kill("STOP", pid)
        try:
            yield
        finally:
            if self._search() == pid:
                await self._kill("CONT", pid)

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """The disk of the index is full inside this context."""
        async with kept_full(self._disk):
            yield

    async def lose_index(self) -> None:
        """Deletes the search index while search runs. Raises CommandFailed."""
        await self._inside("sh", "-c", f"rm -r /{DATA}/search/*")

    async def upgrade(self) -> None:
        """Raises CommandFailed."""
        await self._inside("sh", "-eu", "/root/upgrade")

    async def history(self, chats: list[int]) -> dict[int, list[Entry]]:
        """Returns all messages of these chats, read as the operator's user of NATS. Raises RequestError."""
        data = self._root / DATA
        return await read_history(broker_of(self._run(), data, "admin"), chats)

    def _run(self) -> Run:
        return msgspec.json.decode(run_file(self._root / DATA).read_bytes(), type=Run)

    def _search(self) -> int:
        """Returns the process number of search in the machine, or 0 while search does not run."""
        return next((one.pid for one in self._run().processes if one.name == SEARCH), 0)

    async def _kill(self, name: str, pid: int) -> None:
        await self._inside("kill", f"-{name}", str(pid))

    async def _inside(self, *command: str) -> None:
        await run("nsenter", "--target", self._init, "--all", "env", "--chdir=/root", *command)


async def steps(machine: SystemdMachine) -> AsyncIterator[Disturbance]:
    yield Disturbance("kill search", SEARCH, "kill", partial(machine.signal, "KILL"))
    yield Disturbance("freeze search", SEARCH, "stop", partial(lasting, machine.frozen, None))
    yield Disturbance("restart search", SEARCH, "restart", partial(machine.signal, "TERM"))
    yield Disturbance("fill search", SEARCH, "stop", partial(lasting, machine.full, None))
    yield Disturbance("lose index", SEARCH, "kill", machine.lose_index)
    yield Disturbance("upgrade", EDGE, "restart", machine.upgrade)


async def main(init: str, root: str, disk: str, url: str) -> int:
    configure_logging(LogSettings(level="error", json_lines=False), "drill")
    machine = SystemdMachine(init, Path(root), Path(disk))
    return await run_drill(url, machine.history, steps(machine), [], BOUND_SECONDS, proxied=False)


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(*sys.argv[1:])))
    except CommandFailed as error:
        sys.exit(f"end_to_end.sh: {error}")
