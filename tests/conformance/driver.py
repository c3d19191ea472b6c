"""Runs a driver. The kit writes steps to the driver's standard input, and reads lines from its standard output."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from tests.conformance.bell import Bell
from tests.conformance.deliveries import Deliveries
from tests.conformance.driver_lines import CloseStep, DriverLine, Step, decode_line, encode_step

_END_SECONDS = 3.0
_SHOWN_LINES = 10
_LINE_BYTES = 1 << 20


class DriverFault(Exception):
    """The driver cannot be started, has ended, or has written a line that driver_lines.py does not define."""


class DriverProcess:
    """The process of a driver. `lines` are its output lines, in order. `faults` are the errors in these lines."""

    def __init__(self, bell: Bell, deliveries: Deliveries) -> None:
        self.lines: list[DriverLine] = []
        self.faults: list[str] = []
        self.deliveries = deliveries
        self._bell = bell
        self._process: Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._errors: deque[str] = deque(maxlen=_SHOWN_LINES)
        self._closing = False

    async def start(self, command: Sequence[str]) -> None:
        """Raises DriverFault."""
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=_LINE_BYTES
            )
        except OSError as error:
            raise DriverFault(f"the driver cannot be started: {error}") from error
        self._tasks = [asyncio.create_task(self._read(process)), asyncio.create_task(self._read_errors(process))]

    @property
    def errors(self) -> list[str]:
        """Returns the last lines of the driver's standard error."""
        return list(self._errors)

    async def send(self, step: Step) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(ConnectionError):  # if the driver has ended, the reading task reports it
            self._process.stdin.write(encode_step(step) + b"\n")
            await self._process.stdin.drain()

    async def close(self) -> None:
        """Waits until the driver ends, and kills it if it does not end in time."""
        process = self._process
        if process is None:
            return
        self._closing = True
        await self.send(CloseStep())
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _END_SECONDS)
        except TimeoutError:
            with suppress(ProcessLookupError):  # it may have ended since
                process.kill()
            await process.wait()
        await asyncio.gather(*self._tasks)

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                if line.strip() and not self._closing:
                    self._take(line)
        except ValueError:
            self._fault(f"the driver has written a line of more than {_LINE_BYTES} bytes")
        if not self._closing:
            self._fault("the driver has ended before its `close`")

    def _take(self, line: bytes) -> None:
        try:
            read = decode_line(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            shown = line.decode(errors="replace").strip()
            self._fault(f"the driver has written {shown:.200}, which is no line of the contract: {error}")
            return
        self.lines.append(read)
        self.faults += self.deliveries.faults_of(read)
        self._bell.ring()

    def _fault(self, text: str) -> None:
        self.faults.append(text)
        self._bell.ring()

    async def _read_errors(self, process: Process) -> None:
        assert process.stderr is not None
        with suppress(ValueError):
            async for line in process.stderr:
                self._errors.append(line.decode(errors="replace").rstrip())
