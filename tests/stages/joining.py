"""Measures how long messages of a large group take while accounts join it: `python -m tests.stages.joining`.

All connected members are on one edge. The group is large enough to be broadcast, so the edge must have the member list
of each message's version. The time of a message is from sending until it arrives at each member, on the server's
machine. The first phase has no joins, and the second has.
"""

import argparse
import asyncio
import gc
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import uvloop

from bench.load import message_tag
from bench.load.dialects import NATIVE, TaggedMessage, decoder
from bench.load.recorder import SECOND, until
from bench.load.run import gather_all
from bench.measurements.measured import machine
from bench.system.seeding import Seeder
from bench.system.system import MeasuredSystem, SystemSize, own_system
from dragoman_client.aio import AsyncConnection, Listener, NullListener, connect
from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount, Codec
from dragoman_client.codec.events import ServerReply
from tests.stages.timing import percentiles

_AT_ONCE = 32
_RUN = 1
_PADDING = b"x" * 100
_PATIENCE_SECONDS = 20.0


class JoinPlan(NamedTuple):
    """The sizes of the measurement.

    Of the `members`, `connected` are on the edge. There are `joins` and `messages` per second. Each phase lasts
    `seconds`.
    """

    members: int
    connected: int
    joins: float
    messages: float
    seconds: float


class Observed:
    """What the members observe. `times` are the milliseconds that each message of the present phase took to each
    member.

    `ended` is the number of connections that the edge has ended.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.rejected = 0
        self.ended = 0


class Audience(NullListener):
    """The listener of all members that are connected from the beginning."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def received(self, event: object, now: int) -> None:
        if type(event) is TaggedMessage:
            self._observed.times.append((now - event.tag.due) / 1e6)

    def replied(self, reply: ServerReply, now: int) -> None:
        self._observed.rejected += bool(reply.error)

    def ended(self) -> None:
        self._observed.ended += 1


async def measure(target: MeasuredSystem, plan: JoinPlan) -> list[str]:
    """Measures, and returns lines of text about it. Raises ClientError."""
    assert target.installation is not None
    edge, joining = target.edges[0], int(plan.joins * plan.seconds)
    seeder = await asyncio.to_thread(Seeder, target.installation)
    members = await asyncio.to_thread(seeder.accounts, plan.members)
    others = seeder.users(await asyncio.to_thread(seeder.accounts, joining))
    [chat] = made = await asyncio.to_thread(seeder.chats, members, plan.members)
    await seeder.publish(made)
    owner, *listening = seeder.users(members[: plan.connected])
    observed = Observed()
    await _log_in(edge, CODECS["pipe"], listening, Audience(observed))
    gc.freeze()
    newcomers = list(zip(others, await _log_in(edge, NATIVE, others, NullListener()), strict=True))
    [sender] = await _log_in(edge, NATIVE, [owner], Audience(observed))
    await sender.request(NATIVE.call("set_chat", {"chat": chat, "join_policy": "open"}))
    lines = []
    for name, joiners in (("without joins", []), (f"{plan.joins:g} joins a second", newcomers)):
        observed.times.clear()
        joined = asyncio.create_task(_join(joiners, chat, plan.joins))
        sent = await _send(sender, owner, chat, plan)
        took = await joined
        expected = sent * len(listening)
        await _arrival(observed.times, expected)
        lines.append(
            f"{name}: {_described(observed.times)}; {len(observed.times):,} of {expected:,} deliveries, "
            f"{observed.rejected} messages rejected, {observed.ended} connections ended"
            + (f"; a join {_described(took)}" if took else "")
        )
    return lines


async def _log_in(
    edge: str, codec: Codec, accounts: Sequence[ClientAccount], listener: Listener
) -> list[AsyncConnection]:
    """Returns the connections in the order of the accounts. Raises ClientError."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def log_in(account: ClientAccount) -> AsyncConnection:
        account.secret = ""  # without the secret, the client logs in by its token, which is quicker than by a password
        async with slots:
            connection = await connect(edge, codec, listener, decoder(codec))
            await connection.request(codec.login(account))
            return connection

    return await gather_all(map(log_in, accounts))


async def _send(sender: AsyncConnection, owner: ClientAccount, chat: int, plan: JoinPlan) -> int:
    """Sends messages at a steady rate. Returns the number of messages."""
    write, count = NATIVE.message_writer(owner, chat), int(plan.messages * plan.seconds)
    began = time.monotonic_ns()
    for number in range(count):
        due = began + int(number / plan.messages * SECOND)
        await until(due)
        sender.send(write(message_tag.write(_RUN, 1, number, due) + _PADDING))
    return count


async def _join(newcomers: Sequence[tuple[ClientAccount, AsyncConnection]], chat: int, rate: float) -> list[float]:
    """Makes accounts join. Returns how many milliseconds each join took."""
    began = time.monotonic_ns()

    async def join(number: int, account: ClientAccount, connection: AsyncConnection) -> float:
        due = began + int(number / rate * SECOND)
        await until(due)
        await connection.request(NATIVE.join(account, chat))
        return (time.monotonic_ns() - due) / 1e6

    return await gather_all(join(number, *newcomer) for number, newcomer in enumerate(newcomers))


async def _arrival(times: Sequence[float], expected: int) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(times) < expected and time.monotonic() < deadline:
        await asyncio.sleep(0.1)


def _described(times: Sequence[float]) -> str:
    return f"{percentiles(times)}, last {max(times):.1f}" if times else "nothing"


async def _main(plan: JoinPlan, settings: Sequence[str]) -> None:
    async with own_system(SystemSize(1), ["limits.rates=false", *settings], lambda _: None) as target:
        # a separate thread, because uvloop's loop cannot start processes in this one
        lines = await asyncio.to_thread(lambda: uvloop.run(measure(target, plan)))
    sys.stdout.write("\n".join([machine(), f"{plan.members:,} members, {plan.connected:,} connected", *lines]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stages.joining", description=__doc__)
    parser.add_argument("--members", type=int, default=20_000, help="of the group (default 20000)")
    parser.add_argument("--connected", type=int, default=2_000, help="of these (default 2000)")
    parser.add_argument("--joins", type=float, default=20.0, help="a second (default 20)")
    parser.add_argument("--messages", type=float, default=2.0, help="a second (default 2)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each phase (default 10)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the system")
    given = parser.parse_args()
    plan = JoinPlan(given.members, given.connected, given.joins, given.messages, given.seconds)
    asyncio.run(_main(plan, given.set))


if __name__ == "__main__":
    main()
