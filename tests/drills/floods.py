"""Measures how floods affect ordinary clients: `python -m tests.drills.floods`. Run it on an otherwise idle machine.

The program starts a system with default limits, connects ordinary users in pairs, and measures their deliveries. Each
turn measures first without a flood, then during each kind of flood, with pauses between them, and at the end without a
flood. A flood comes from another address and another process. Disturbances of the machine only make times longer, so
the lowest p99 of all turns counts.

A flood is `ok` if the p99 is at most twice the p99 without a flood (or at most --least), and if new logins succeed in
each turn. Otherwise it is `BEYOND`, with exit status 1. If the machine was fully used and the edge was not, the result
is `UNCLEAR` instead, with exit status 2, because the machine was the limit. The run is `INVALID`, with exit status 2,
if no other measurement without a flood is within this factor of the lowest.
"""

import asyncio
import contextlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count, cycle
from pathlib import Path
from typing import Any

import click

from bench.load.dialects import registering
from bench.system.accounts import Registrar
from bench.system.processes import busy_seconds, cpu_seconds
from dragoman_client.aio import AsyncConnection, NullListener, connect
from dragoman_client.codec.base import ClientAccount, Destination
from dragoman_client.codec.events import ReceivedMessage, ServerReply
from dragoman_client.errors import ClientError
from tests.drills.flood_source import FLOODS
from tests.support.cluster import Cluster

_DIALECT = "ourchat-v2"
_ALLOWED = 2.0
_PAUSE_SECONDS = 3.0
_LOGINS_PER_SECOND = 2.0
_USERS_PER_CORE, _MOST_USERS = 125, 1000
_BEYOND, _UNCLEAR = "BEYOND", "UNCLEAR"
_FULL_MACHINE, _BUSY_EDGE = 0.95, 0.5
_BUSY = "INVALID: the machine was busy"
_LIMITS = ("--set", "limits.registrations_per_minute=1000000")


@dataclass
class Window:
    """The measurements in one interval of time."""

    delays: list[float] = field(default_factory=list)
    """For each message, the seconds from sending to delivery."""
    lost: int = 0
    failed_logins: int = 0
    edge_share: float = 0.0
    """The share of one core that the edge used."""
    machine_share: float = 0.0

    @property
    def p99(self) -> float:
        """The p99 of the delays in milliseconds. It is infinite if a message was lost, or if nothing was delivered."""
        ordered = sorted(self.delays)
        return 1000 * ordered[int(0.99 * len(ordered))] if ordered and not self.lost else math.inf

    def judge(self, bound: float) -> str:
        """Returns the result. `bound` is the greatest p99 in milliseconds that is `ok`."""
        if self.p99 <= bound and not self.failed_logins:
            return "ok"
        is_machine_s = self.machine_share > _FULL_MACHINE and self.edge_share < _BUSY_EDGE
        return _UNCLEAR if is_machine_s else _BEYOND

    def line(self, name: str, result: str = "") -> str:
        return (
            f"{name:<22} p99 {self.p99:8.1f} ms  edge {self.edge_share:4.0%} of a core"
            f"  machine {self.machine_share:4.0%}  lost {self.lost}  failed logins {self.failed_logins}  {result}"
        )


class Receiver:
    """The listener on one ordinary user's connection (dragoman_client.aio.Listener)."""

    def __init__(self, pending: dict[str, float], window: Window) -> None:
        self.pending = pending
        self.window = window

    def received(self, event: Any, now: int) -> None:
        if isinstance(event, ReceivedMessage) and (sent := self.pending.pop(event.text, None)) is not None:
            self.window.delays.append(time.monotonic() - sent)

    def replied(self, reply: ServerReply, now: int) -> None:
        """Gets the acknowledgements of messages."""

    def ended(self) -> None:
        self.window.lost += 1


class OrdinaryUsers:
    """Pairs of connected users. The first user of each pair sends messages, and the second receives them."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._codec = registering(_DIALECT)
        self._pending: dict[str, float] = {}
        self._receivers: list[Receiver] = []
        self._senders: list[tuple[AsyncConnection, ClientAccount, int]] = []
        self._texts = map(str, count(1))

    async def connect(self, users: int) -> None:
        """Raises ClientError."""
        registrar = Registrar([self._address], lambda *_: None)
        accounts = await registrar.users([_DIALECT] * users)
        pairs = list(zip(accounts[::2], accounts[1::2], strict=True))
        chats = await registrar.chats([[(one, _DIALECT) for one in pair] for pair in pairs])
        for (sender, receiver), chat in zip(pairs, chats, strict=True):
            listener = Receiver(self._pending, Window())
            await self._log_in(receiver, listener)
            self._receivers.append(listener)
            self._senders.append((await self._log_in(sender, NullListener()), sender, chat))

    async def _log_in(self, account: ClientAccount, listener: Receiver | NullListener) -> AsyncConnection:
        connection = await connect(self._address + self._codec.path, self._codec, listener)
        await connection.request(self._codec.login(account))
        return connection

    async def measure(self, rate: float, seconds: float) -> Window:
        window = Window()
        for receiver in self._receivers:
            receiver.window = window
        logins = asyncio.create_task(self._keep_logging_in(window))
        await self._send(rate, seconds)
        await asyncio.sleep(1.0)
        logins.cancel()
        await asyncio.gather(logins, return_exceptions=True)
        window.lost += len(self._pending)
        self._pending.clear()
        return window

    async def _send(self, rate: float, seconds: float) -> None:
        began, turns = time.monotonic(), cycle(self._senders)
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            connection, account, chat = next(turns)
            text = next(self._texts)
            self._pending[text] = time.monotonic()
            connection.send(self._codec.post(account, Destination(chat), text).frame)

    async def _keep_logging_in(self, window: Window) -> None:
        for _, account, _ in cycle(self._senders):
            try:
                connection = await self._log_in(account, NullListener())
                await connection.close()
            except ClientError:
                window.failed_logins += 1
            await asyncio.sleep(1 / _LOGINS_PER_SECOND)


@contextlib.contextmanager
def flooded(port: int, name: str) -> Iterator[None]:
    attacker = subprocess.Popen([sys.executable, "-m", "tests.drills.flood_source", str(port), name])
    try:
        yield
    finally:
        attacker.kill()
        attacker.wait()


class FloodBench:
    """The measurements. Prints a line for each."""

    def __init__(self, cluster: Cluster, users: OrdinaryUsers, rate: float, seconds: float) -> None:
        self._cluster, self._users, self._rate, self._seconds = cluster, users, rate, seconds
        self._edge = self._pid()
        self._port = int(cluster.edges[0].rpartition(":")[2])

    def _pid(self) -> int:
        edge = self._cluster.process("edge-1")
        return edge.pid if edge is not None else 0

    async def measure(self) -> Window:
        """Measures after a pause in which earlier floods end. Raises click.ClickException if the edge has ended."""
        await asyncio.sleep(_PAUSE_SECONDS)
        began, edge, machine = time.monotonic(), cpu_seconds(self._edge) or 0.0, busy_seconds() or 0.0
        window = await self._users.measure(self._rate, self._seconds)
        passed = time.monotonic() - began
        if self._pid() != self._edge:
            raise click.ClickException(f"the edge has ended:\n{self._cluster.tail()}")
        window.edge_share = ((cpu_seconds(self._edge) or 0.0) - edge) / passed
        window.machine_share = ((busy_seconds() or 0.0) - machine) / passed / (os.cpu_count() or 1)
        return window

    async def compare(self, chosen: list[str], least: float, turns: int) -> int:
        """Compares the measurements, and returns the exit status."""
        quiet = [await self._measured("quiet")]
        found: dict[str, list[Window]] = {name: [] for name in chosen}
        for _ in range(turns):
            for name in chosen:
                with flooded(self._port, name):
                    found[name].append(await self._measured(name))
            quiet.append(await self._measured("quiet again"))
        return _status(quiet, found, least)

    async def _measured(self, name: str) -> Window:
        window = await self.measure()
        click.echo(window.line(name))
        return window


def best_turn(windows: list[Window]) -> Window:
    """Returns the measurement with the lowest p99, with the losses and failures of all turns."""
    best = min(windows, key=lambda window: window.p99)
    lost, failed = (sum(losses) for losses in zip(*((one.lost, one.failed_logins) for one in windows), strict=True))
    return replace(best, lost=lost, failed_logins=failed)


def is_steady(quiet: list[Window], least: float) -> bool:
    """Returns whether the lowest p99 was measured on an undisturbed machine. In this case, another value is near it."""
    lowest, second = sorted(window.p99 for window in quiet)[:2]
    return second <= max(_ALLOWED * lowest, least) and not any(window.lost for window in quiet)


def _status(quiet: list[Window], found: dict[str, list[Window]], least: float) -> int:
    if not is_steady(quiet, least):
        click.echo(_BUSY)
        return 2
    click.echo(best_turn(quiet).line("quiet, best"))
    results = set[str]()
    for name, windows in found.items():
        best = best_turn(windows)
        result = best.judge(max(_ALLOWED * best_turn(quiet).p99, least))
        results.add(result)
        click.echo(best.line(f"{name}, best", result))
    return 1 if _BEYOND in results else 2 if _UNCLEAR in results else 0


async def run(
    cluster: Cluster, chosen: list[str], users: int, rate: float, seconds: float, least: float, turns: int
) -> int:
    ordinary = OrdinaryUsers(cluster.edges[0])
    await ordinary.connect(users - users % 2)
    return await FloodBench(cluster, ordinary, rate, seconds).compare(chosen, least, turns)


def default_users() -> int:
    return min(_MOST_USERS, _USERS_PER_CORE * (os.cpu_count() or 1))


@click.command()
@click.option("--flood", "chosen", multiple=True, type=click.Choice(sorted(FLOODS)), help="Only these; repeatable.")
@click.option(
    "--users",
    type=click.IntRange(2),
    default=default_users,
    help="Ordinary ones; by default 125 for each core, 1,000 at most.",
)
@click.option("--rate", default=100.0, show_default=True, help="Their messages a second.")
@click.option("--seconds", default=20.0, show_default=True, help="Of each measurement.")
@click.option("--least", default=20.0, show_default=True, help="Milliseconds of p99 that are always allowed.")
@click.option("--turns", type=click.IntRange(1), default=1, show_default=True, help="The lowest p99 of them counts.")
def main(chosen: tuple[str, ...], users: int, rate: float, seconds: float, least: float, turns: int) -> None:
    """Floods beside ordinary clients."""
    with tempfile.TemporaryDirectory() as directory, Cluster(Path(directory) / "data", *_LIMITS, edges=1) as cluster:
        status = asyncio.run(run(cluster, list(chosen or FLOODS), users, rate, seconds, least, turns))
    sys.exit(status)


if __name__ == "__main__":
    main()
