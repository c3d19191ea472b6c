"""A whole system for a drill or a test: `dragoman up` as a child process, on free ports, in its own directory."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from urllib.parse import urlsplit

from local.data import RunningProcess, read_run
from local.ports import free_ports
from tests.support import commands
from tests.support.commands import ROOT
from tests.support.forked import ForkedService

T = TypeVar("T")

_START_SECONDS = 90.0
_STOP_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_POLL_SECONDS = 0.02

UP = (*commands.DRAGOMAN, "up")
"""The command that starts a system. A drill may replace it by another command with the same arguments."""

_CHEAP_PASSWORDS = ("--set", "auth.argon2_memory_kib=8", "--set", "auth.argon2_iterations=1")
"""Settings that make the hash of a password cheap.

Tests register thousands of users, and a hash with the default costs uses a core for 50 ms.
"""

RELAXED = (
    "--no-limits", "--set", "edge.request_seconds=30", "--set", "redis.timeout_seconds=10",
    "--set", "message.queue_seconds=20",
)  # fmt: skip
"""Settings without rate limits, and with long timeouts for a slow machine. They are for tests of other subjects."""


class Cluster:
    """A system, which runs between `__enter__` and `__exit__`. Its processes have the names of `run.json`."""

    def __init__(
        self, data: Path, *arguments: str, edges: int = 2, program: Sequence[str] = UP, directory: Path = ROOT
    ) -> None:
        self.data = data
        port = str(free_ports(edges))
        place = ("--edges", str(edges), "--port", port, "--data", str(data))
        self._command = [*program, *place, *_CHEAP_PASSWORDS, *arguments]
        self._directory = directory
        self._process: subprocess.Popen[bytes] | ForkedService | None = None
        self.log = data.with_name(f"{data.name}.log")
        self.edges: list[str] = []
        """The WebSocket addresses in the line `ready`."""
        self.tcp: list[str] = []
        """The plain TCP addresses in the line `ready`."""

    def __enter__(self) -> "Cluster":
        with self.log.open("wb") as log:
            self._process = commands.start(self._command, log.fileno(), self._directory)
        try:
            addresses = self.wait_for(self._ready, _START_SECONDS)
            self.edges = [address for address in addresses if address.startswith("ws")]
            self.tcp = [address for address in addresses if address.startswith("tcp")]
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """Ends the system with SIGTERM, and returns its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.send_signal(signal.SIGCONT)
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    @property
    def first_page(self) -> str:
        """The address of the page with two users, as the system has printed it."""
        (address,) = re.findall(r"two users in a browser: (\S+)", self.log.read_text())
        return str(address)

    # Processes

    def process(self, name: str) -> RunningProcess | None:
        """Returns the process with this name, or None while it does not run."""
        run = read_run(self.data)
        found = [one for one in run.processes if one.name == name and one.pid] if run else []
        return found[0] if found else None

    def names(self) -> list[str]:
        run = read_run(self.data)
        return [one.name for one in run.processes] if run else []

    def signal(self, name: str, number: signal.Signals) -> int:
        """Sends a signal, and returns the pid of the process that got it.

        If the process is being restarted, waits for it.
        """

        def signalled() -> int | None:
            running = self.process(name)
            with contextlib.suppress(ProcessLookupError):  # the process has just ended
                if running is not None:
                    os.kill(running.pid, number)
                    return running.pid
            return None

        return self.wait_for(signalled, _START_SECONDS)

    def kill(self, name: str) -> None:
        """Sends SIGKILL, and returns when the process has ended. Its successor may already run then."""
        pid = self.signal(name, signal.SIGKILL)
        self.wait_for(lambda: (running := self.process(name)) is None or running.pid != pid, _STOP_SECONDS)

    @contextlib.contextmanager
    def unsupervised(self) -> Iterator[None]:
        """Inside this context, the supervisor restarts no process."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def wait_for(self, look: Callable[[], T | None], seconds: float) -> T:
        """Waits until `look` returns a true result, and returns this result.

        Raises TimeoutError, or RuntimeError when the system has ended.
        """
        deadline = time.monotonic() + seconds
        while not (found := look()):
            if self._process is not None and (status := self._process.poll()) is not None:
                raise RuntimeError(f"the system ended with status {status}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds:g} s for the system:\n{self.tail()}")
            time.sleep(_POLL_SECONDS)
        return found

    def wait_for_edges(self, seconds: float) -> None:
        """Waits until every edge accepts connections. Raises the same errors as `wait_for`."""
        self.wait_for(lambda: all(map(_accepts, self.edges)), seconds)

    def tail(self, characters: int = 4000) -> str:
        return self.log.read_text(errors="replace")[-characters:]

    def _ready(self) -> list[str]:
        lines = self.log.read_text(errors="replace").splitlines()
        return next((line.split()[1:] for line in lines if line.startswith("ready ")), [])


def _accepts(edge: str) -> bool:
    address = urlsplit(edge)
    try:
        socket.create_connection((address.hostname, address.port), _CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True
