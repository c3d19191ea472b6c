"""A spare process: it has imported the services, and becomes the next one that must be started again.

Importing a service takes far longer than everything else at its start. Run as a module, this is the spare itself: it
waits for its assignment, a line of JSON on standard input, and for the end of it.
"""

import asyncio
import contextlib
import importlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence

from services.cli.process_group import ProcessGroup

COMMAND = (sys.executable, "-P", "-m", "services.cli.main")
"""The command of a process that a spare can become, before its arguments."""

_MODULES = ("auth", "session", "message", "edge")
_DELAY_SECONDS = 0.5
"""A new spare is started so long after the last one was used: the service that starts needs the processor first."""


class SpareProcess:
    """Keeps one spare while `run` runs."""

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self._process: Process | None = None
        self._taken = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """None while there is no spare."""
        return self._process.pid if self._process is not None else None

    async def run(self) -> None:
        try:
            while True:
                self._taken.clear()
                with contextlib.suppress(OSError):
                    self._process = await self._start()
                await self._until_used()
                await asyncio.sleep(_DELAY_SECONDS)
        finally:
            await self._end()

    async def take(self, command: Sequence[str], environment: Mapping[str, str]) -> Process | None:
        """The spare, which becomes the process of this command; None if there is none, or it cannot become it."""
        process, prefix = self._process, len(COMMAND)
        if process is None or process.returncode is not None or tuple(command[:prefix]) != COMMAND:
            return None
        self._process = None
        self._taken.set()
        assert process.stdin is not None
        assignment = {"arguments": list(command[prefix:]), "environment": dict(environment)}
        try:
            process.stdin.write(json.dumps(assignment).encode() + b"\n")
            await process.stdin.drain()
            process.stdin.close()
        except OSError:
            return None
        return process

    async def _start(self) -> Process:
        options = self._group.spawn_options | {"stdin": PIPE}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "services.cli.spare", stdout=PIPE, stderr=STDOUT, **options
        )

    async def _until_used(self) -> None:
        """Until the spare is taken, or has ended."""
        waits: list[asyncio.Future[object]] = [asyncio.ensure_future(self._taken.wait())]
        if self._process is not None:
            waits.append(asyncio.ensure_future(self._process.wait()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            with contextlib.suppress(OSError):
                await process.communicate()


def become() -> None:
    """The spare's own life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _MODULES:
        importlib.import_module(f"services.{name}.app")
    from services.cli.main import main

    line = sys.stdin.readline()
    if not line:
        return
    assignment = json.loads(line)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(assignment["environment"])
    sys.argv = ["dragoman", *assignment["arguments"]]
    main()


if __name__ == "__main__":
    become()
