"""Runs one case against a scripted server.

A case sends frames to the client, and expects certain output lines of the driver.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from services.edge.canonical.commands import Command, ResumeChats
from shared.contract.ids import ChatId
from tests.conformance.bell import Bell
from tests.conformance.deliveries import Deliveries
from tests.conformance.driver import DriverProcess
from tests.conformance.driver_lines import ClientEnded, ConnectStep, DriverLine, SendDone, StepFailed
from tests.conformance.served_chats import ServedChats
from tests.conformance.server import TOKEN, Peer, ScriptedServer

GROUP, OTHER_GROUP = ChatId(5), ChatId(9)
RETRY_SECONDS = 0.98
"""The `retry_ms` of 1000 in seconds, reduced by the time by which timers may fire early."""
_SETTLE_SECONDS = 0.3
"""The test waits this long for something that must not happen."""
_NEVER_SECONDS = 4.0
"""The test waits this long for another connection, which the client must not open."""

L = TypeVar("L", bound=DriverLine)
C = TypeVar("C", bound=Command)


class CaseFailed(Exception):
    """The client has not behaved as the case demands."""


class CaseRun:
    """One run of a case, with its server and drivers. `seconds` is the time limit for each expected event."""

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        self.bell = Bell()
        self.chats = ServedChats()
        self.server = ScriptedServer(self.chats, self.bell)
        self.drivers: list[DriverProcess] = []
        self._command = command
        self._seconds = seconds

    @property
    def driver(self) -> DriverProcess:
        """Returns the first driver."""
        return self.drivers[0]

    async def run(self, script: "Script") -> None:
        """Raises CaseFailed, DriverFault."""
        async with self.server.running():
            try:
                await script(self)
                await self.quiet(_SETTLE_SECONDS)
                self._check([*self.faults, *self.driver.deliveries.final_faults()])
            finally:
                await asyncio.gather(*(driver.close() for driver in self.drivers))

    @property
    def faults(self) -> list[str]:
        return [*self.server.faults, *(fault for driver in self.drivers for fault in driver.faults)]

    @property
    def errors(self) -> list[str]:
        """Returns the last lines that the drivers wrote to their standard error."""
        return [line for driver in self.drivers for line in driver.errors]

    async def connect(self, token: str = TOKEN, query: str = "") -> None:
        """Starts a driver, and lets it connect. `query` is added to the address."""
        driver = DriverProcess(self.bell, Deliveries(self.chats))
        self.drivers.append(driver)
        await driver.start(self._command)
        await driver.send(ConnectStep(self.server.url + query, token))

    async def connected(self, number: int = 1) -> Peer:
        """Waits until the connection with this number has logged in and has the reply to its sync.

        Returns this connection.
        """
        await self.until(
            lambda: len(self.server.peers) >= number and self.server.peers[number - 1].is_synced,
            f"connection {number}, with `token` and `sync`",
        )
        return self.server.peers[number - 1]

    async def started(self, messages: int) -> Peer:
        """Starts a client, and waits until it has given these first messages of a group to its user."""
        self.chats.fill(GROUP, messages)
        await self.connect()
        peer = await self.connected()
        await self.given(GROUP, messages)
        return peer

    async def until(self, holds: Callable[[], bool], expected: str, seconds: float | None = None) -> None:
        """Waits until the condition holds.

        Raises CaseFailed if the time is over first, or if the client has made a fault.
        """
        limit = self._seconds if seconds is None else seconds
        came = await self.bell.until(lambda: holds() or bool(self.faults), limit)
        self._check(self.faults)
        if not came:
            raise CaseFailed(f"within {limit:g} s there was not: {expected}")

    async def given(self, chat: ChatId, index: int) -> None:
        """Waits until the client has given this message to its user, or has named it in a gap."""
        given = self.driver.deliveries.of
        await self.until(lambda: given(chat).last >= index, f"message {index} of chat {chat}, given or named by a gap")

    async def changed(self, chat: ChatId, *revs: int) -> None:
        """Expects that the client has given exactly these changes to its user."""
        given = self.driver.deliveries.of

        def is_over() -> bool:
            return len(given(chat).revs) >= len(revs) or given(chat).revs != [*revs][: len(given(chat).revs)]

        await self.until(is_over, f"the changes {revs} of chat {chat}")
        found = given(chat).revs
        self.check(found == [*revs], f"the changes of chat {chat} were given as {found}, and are {[*revs]}")

    async def sent(self, key: str) -> SendDone:
        """Waits until the client reports that the message with this key is acknowledged."""

        def results() -> list[SendDone | StepFailed]:
            return [one for one in self.driver.lines if isinstance(one, SendDone | StepFailed) and one.key == key]

        await self.until(lambda: bool(results()), f"a line `sent` of the driver with the key {key}")
        result = results()[0]
        if isinstance(result, StepFailed):
            raise CaseFailed(f"the client has given up the message {key}: {result.code}, {result.text}")
        return result

    async def ended(self, when: str) -> None:
        """Expects that the client reports its end, and opens no second connection."""

        def has_ended() -> bool:
            return any(isinstance(line, ClientEnded) for line in self.driver.lines)

        await self.until(lambda: has_ended() or len(self.server.attempts) > 1, f"a line `ended` {when}")
        await self.quiet(_NEVER_SECONDS)
        self.check(len(self.server.attempts) == 1, f"the client has connected again {when}")

    async def line(self, kind: type[L], holds: Callable[[L], bool] = lambda _: True, expected: str = "") -> L:
        """Waits for the first line of the driver that meets the condition."""

        def found() -> L | None:
            return next((one for one in self.driver.lines if isinstance(one, kind) and holds(one)), None)

        name = kind.__struct_config__.tag
        await self.until(lambda: found() is not None, f"a line `{name}` of the driver{expected}")
        line = found()
        assert line is not None
        return line

    async def command(self, kind: type[C], number: int = 1, expected: str = "") -> C:
        """Waits for a command of this kind on any connection. `number` counts these commands from 1."""
        await self.until(lambda: len(self.commands(kind)) >= number, expected or f"command {number} of {kind.__name__}")
        return self.commands(kind)[number - 1]

    def commands(self, kind: type[C]) -> list[C]:
        return [one for peer in self.server.peers for one in peer.commands if isinstance(one, kind)]

    def check(self, holds: bool, text: str) -> None:
        """Raises CaseFailed."""
        if not holds:
            raise CaseFailed(text)

    def check_position(self, peer: Peer, chat: ChatId, index: int, epoch: str) -> ResumeChats:
        """Expects that the first `sync` of a connection contains this index, and the epoch. Raises CaseFailed."""
        sync = next(one for one in peer.commands if isinstance(one, ResumeChats))
        self.check(
            sync.have.get(chat) == index, f"`have` of the sync is {sync.have}, and {index} of chat {chat} is right"
        )
        self.check(sync.epoch == epoch, f"`epoch` of the sync is {sync.epoch!r}, and {epoch!r} is right")
        return sync

    async def quiet(self, seconds: float) -> None:
        """Waits for something that must not happen. Raises CaseFailed at a fault of the client."""
        await self.bell.until(lambda: bool(self.faults), seconds)
        self._check(self.faults)

    def _check(self, faults: Sequence[str]) -> None:
        if faults:
            raise CaseFailed(faults[0])


Script = Callable[[CaseRun], Awaitable[None]]


class ClientCase(NamedTuple):
    """One case of the kit. `text` is a sentence about the behaviour that a client must have."""

    name: str
    text: str
    script: Script
