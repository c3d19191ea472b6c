"""Measures what an IRC channel with many members costs: `python -m tests.irc.channel`.

There are measurements of a login, of NAMES and WHO by one client, and of joins and messages that all connected members
see. They also show how long a user outside the channel waits for PONG meanwhile, and how long another one waits on a
second edge. This one has no other clients, so it shows what the machine alone delays. Each user outside has its own
process, because in this one it would wait for the other clients.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from bench.load.dialects import NATIVE
from bench.load.run import gather_all
from bench.measurements.measured import machine
from bench.system.seeding import Seeder
from bench.system.system import MeasuredSystem, SystemSize, own_system
from dragoman_client.aio import AsyncConnection, NullListener, connect
from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount
from shared.process import tune_garbage_collection
from tests.stages.timing import percentiles

_AT_ONCE = 16
_SECONDS = 120.0
_BETWEEN_PINGS = 0.01
_IRC = CODECS["irc"]


class ChannelPlan(NamedTuple):
    """The sizes of the measurement.

    Of the `members`, `connected` are on the edge. Each step is measured `repeated` times.
    """

    members: int
    connected: int
    repeated: int


class ChannelClient(NullListener):
    """A connection of one account. `bytes` is the number of bytes of all received lines."""

    def __init__(self, account: ClientAccount) -> None:
        self.bytes = 0
        self._account = account
        self._connection: AsyncConnection | None = None
        self._wanted: tuple[bytes, asyncio.Future[None]] | None = None

    def received(self, line: object, now: int) -> None:
        assert isinstance(line, bytes)
        self.bytes += len(line)
        if self._wanted is not None and self._wanted[0] in line and not self._wanted[1].done():
            self._wanted[1].set_result(None)

    async def log_in(self, edge: str, wanted: bytes, *, names: bool = False) -> float:
        """Logs in.

        Returns the milliseconds until a line with the wanted text. With `names`, the login shows the members of
        channels. Raises ClientError.
        """
        # without the secret, the client logs in by its token, which is quicker than by a password
        self._account.secret = ""
        self._connection = await connect(edge, _IRC, self, lambda line: line)
        first = [] if names else [b"CAP REQ :no-implicit-names"]
        request = _IRC.login(self._account)
        return await self.perform([*first, *request.before, request.frame], wanted)

    async def perform(self, lines: Sequence[bytes], wanted: bytes) -> float:
        """Sends the lines. Returns the milliseconds until a line with the wanted text."""
        assert self._connection is not None
        self._wanted = wanted, asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        for line in lines:
            self._connection.send(line)
        async with asyncio.timeout(_SECONDS):
            await self._wanted[1]
        return (time.perf_counter() - began) * 1000


class BusyEdge:
    """Measures the CPU time of the edges, and how long users outside the channel wait for PONG.

    The first user is on the edge of the channel's clients, the second one on the other edge.
    """

    def __init__(self, target: MeasuredSystem, outsiders: Sequence[asyncio.StreamReader]) -> None:
        self._target = target
        self._outsiders = outsiders

    async def during(self, name: str, steps: Sequence[Awaitable[float]]) -> str:
        """Carries out these steps one after the other. Returns a line of text about the measurements."""
        waits: list[list[float]] = [[] for _ in self._outsiders]
        reading = [asyncio.create_task(_read(*each)) for each in zip(self._outsiders, waits, strict=True)]
        before = self._used()
        times = [await step for step in steps]
        spent = (self._used() - before) * 1000 / len(times)
        for each in reading:
            each.cancel()
        await asyncio.wait(reading)
        pongs = "; on the other edge ".join(map(percentiles, waits))
        return f"{name}: {percentiles(times)}; {spent:.0f} ms of the edge each; PONG {pongs}"

    def _used(self) -> float:
        return sum(seconds for name, seconds in self._target.cpu().items() if name.startswith("edge"))


async def _read(outsider: asyncio.StreamReader, waits: list[float]) -> None:
    while line := await outsider.readline():
        waits.append(float(line))


async def ping(edge: str, token: str) -> None:
    """Logs in, and writes how many milliseconds each PONG took, without end. Raises ClientError."""
    outsider = ChannelClient(ClientAccount(token=token))
    await outsider.log_in(edge, b" 422 ")
    while True:
        sys.stdout.write(f"{await outsider.perform([b'PING now'], b' PONG ')}\n")
        sys.stdout.flush()
        await asyncio.sleep(_BETWEEN_PINGS)


@asynccontextmanager
async def outside(edge: str, account: ClientAccount) -> AsyncIterator[asyncio.StreamReader]:
    """Starts the process of the user outside, and yields its output after the first PONG."""
    command = [sys.executable, "-m", "tests.irc.channel", "--outside", edge, account.token]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        await asyncio.wait_for(process.stdout.readline(), _SECONDS)
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def measure(target: MeasuredSystem, plan: ChannelPlan) -> list[str]:
    """Measures, and returns lines of text about it. Raises ClientError."""
    assert target.installation is not None
    edge, seeder = target.edges[0], await asyncio.to_thread(Seeder, target.installation)
    members = await asyncio.to_thread(seeder.accounts, plan.members)
    others = seeder.users(await asyncio.to_thread(seeder.accounts, plan.repeated + 2))
    [chat] = made = await asyncio.to_thread(seeder.chats, members, plan.members)
    await seeder.publish(made)
    accounts = seeder.users(members[: plan.connected + plan.repeated])
    owner = await connect(edge, NATIVE, NullListener())
    await owner.request(NATIVE.login(seeder.users(members[:1])[0]))
    await owner.request(NATIVE.call("set_chat", {"chat": chat, "join_policy": "open"}))
    outsider, elsewhere, *others = others
    clients, newcomers = list(map(ChannelClient, accounts)), list(map(ChannelClient, others))
    late, clients = clients[plan.connected :], clients[: plan.connected]
    slots, channel = asyncio.Semaphore(_AT_ONCE), f"#x~{chat}".encode()

    async def enter(client: ChannelClient, wanted: bytes) -> float:
        async with slots:
            return await client.log_in(edge, wanted)

    await gather_all(enter(client, b" 422 ") for client in newcomers)
    await gather_all(enter(client, b" JOIN ") for client in clients)
    first = clients[0]

    async def seen(line: bytes, by: ChannelClient, wanted: bytes) -> float:
        """Waits until all clients of the channel except `by` have a line with the wanted text."""
        watching = [client.perform([], wanted) for client in clients if client is not by]
        return max(await gather_all([*watching, by.perform([line], wanted)]))

    await first.perform([b"NAMES " + channel], b" 366 ")
    before = first.bytes
    await first.perform([b"NAMES " + channel], b" 366 ")
    lines = [f"NAMES has {first.bytes - before:,} bytes"]
    repeated = range(plan.repeated)
    steps = {
        "nothing": [asyncio.sleep(0.2, 200.0) for _ in repeated],
        "a login with NAMES": [client.log_in(edge, b" 366 ", names=True) for client in late],
        "NAMES": [first.perform([b"NAMES " + channel], b" 366 ") for _ in repeated],
        "WHO": [first.perform([b"WHO " + channel], b" 315 ") for _ in repeated],
        "a message to all": [
            seen(b"PRIVMSG %b :text-%d-end" % (channel, number), first, b"text-%d-end" % number) for number in repeated
        ],
        "a join seen by all": [seen(b"JOIN " + channel, newcomer, b" JOIN ") for newcomer in newcomers],
    }
    tune_garbage_collection()  # with the objects of all clients, a collection would delay a message by 0.1 s
    async with outside(edge, outsider) as pongs, outside(target.edges[1], elsewhere) as others_pongs:
        busy = BusyEdge(target, (pongs, others_pongs))
        return [*lines, *[await busy.during(name, each) for name, each in steps.items()]]


async def _main(plan: ChannelPlan, settings: Sequence[str]) -> None:
    async with own_system(SystemSize(2), ["limits.rates=false", *settings], lambda _: None) as target:
        lines = await measure(target, plan)
    sys.stdout.write("\n".join([machine(), f"{plan.members:,} members, {plan.connected:,} connected", *lines]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.irc.channel", description=__doc__)
    parser.add_argument("--members", type=int, default=5_000, help="of the channel (default 5000)")
    parser.add_argument("--connected", type=int, default=500, help="of these (default 500)")
    parser.add_argument("--repeated", type=int, default=10, help="how often each step is measured (default 10)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the system")
    parser.add_argument("--outside", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.outside:
        asyncio.run(ping(*given.outside))
    asyncio.run(_main(ChannelPlan(given.members, given.connected, given.repeated), given.set))


if __name__ == "__main__":
    main()
