"""`python -m bench.stages.joining`: how long messages of a big group take while accounts join it.

All connected members are on one edge. The group is broadcast, so the edge must know its members at each message's
version. Times are those from sending to each receipt, on the machine of the server: without joins, then with them.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.load import message_tag
from bench.load.dialects import BY_NAME, TaggedMessage, decoder
from bench.load.gather import gather_all
from bench.measurement.run import machine
from bench.measurement.system import MeasuredSystem, SystemSize, own_system
from bench.population.seeding import Seeder
from clients.aio import AsyncConnection, NullListener, connect
from clients.codec.base import ClientAccount, Codec
from clients.codec.events import ServerReply
from clients.codec.native import NativeCodec

_AT_ONCE = 32
_RUN = 1
_PATIENCE_SECONDS = 20.0


class Plan(NamedTuple):
    """`connected` of `members` are on the edge; `joins` and `messages` a second, for `seconds` in each observed."""

    members: int
    connected: int
    joins: float
    messages: float
    seconds: float


class Observed:
    """`times`: the ms that each message of the present phase took to each member. `ended`: connections that the edge
    has ended."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.rejected = 0
        self.ended = 0


class Audience(NullListener):
    """The listener of all connections."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def received(self, event: object, now: int) -> None:
        if type(event) is TaggedMessage:
            self._observed.times.append((now - event.tag.due) / 1e6)

    def replied(self, reply: ServerReply, now: int) -> None:
        self._observed.rejected += bool(reply.error)

    def ended(self) -> None:
        self._observed.ended += 1


async def measure(target: MeasuredSystem, plan: Plan) -> list[str]:
    """Lines about it. Raises ClientError."""
    assert target.installation is not None
    edge, joining = target.edges[0], int(plan.joins * plan.seconds)
    seeder = await asyncio.to_thread(Seeder, target.installation)
    members = await asyncio.to_thread(seeder.accounts, plan.members)
    others = await asyncio.to_thread(seeder.accounts, joining)
    [chat] = made = await asyncio.to_thread(seeder.chats, members, plan.members)
    await seeder.publish(made)
    owner, *listening = seeder.users(members[: plan.connected])
    observed = Observed()
    pipe, native = BY_NAME["pipe"], NativeCodec(str)
    await _log_in(edge, pipe, listening, observed)
    newcomers = await _log_in(edge, native, seeder.users(others), observed)
    [sender] = await _log_in(edge, native, [owner], observed)
    await sender.request(native.call("set_chat", {"chat": chat, "join_policy": "open"}))
    lines = []
    for name, joiners in (("without joins", []), (f"{plan.joins:g} joins a second", newcomers)):
        observed.times.clear()
        joined = asyncio.create_task(_join(joiners, chat, plan.joins))
        sent = await _send(sender, chat, plan)
        took = await joined
        expected = sent * len(listening)
        await _arrival(observed.times, expected)
        lines.append(
            f"{name}: {_percentiles(observed.times)}; {len(observed.times):,} of {expected:,} deliveries, "
            f"{observed.rejected} messages rejected, {observed.ended} connections ended"
            + (f"; a join {_percentiles(took)}" if took else "")
        )
    return lines


async def _log_in(
    edge: str, codec: Codec, accounts: Sequence[ClientAccount], observed: Observed
) -> list[AsyncConnection]:
    connections: list[AsyncConnection] = []
    waiting: Iterator[ClientAccount] = iter(accounts)

    async def log_in() -> None:
        for account in waiting:
            account.secret = ""  # the token is quicker
            connection = await connect(edge, codec, Audience(observed), decoder(codec))
            await connection.request(codec.login(account))
            connections.append(connection)

    await gather_all([log_in() for _ in range(_AT_ONCE)])
    return connections


async def _send(sender: AsyncConnection, chat: int, plan: Plan) -> int:
    """Sends at a steady pace; returns the number of messages."""
    native, count = NativeCodec(str), int(plan.messages * plan.seconds)
    began = time.monotonic_ns()
    for number in range(count):
        due = began + int(number / plan.messages * 1e9)
        await asyncio.sleep((due - time.monotonic_ns()) / 1e9)
        text = message_tag.write(_RUN, 1, number, due).decode() + "x" * 100
        sender.send(native.call("send", {"chat": chat, "text": text, "nonce": f"{due}"}).frame)
    return count


async def _join(joiners: Sequence[AsyncConnection], chat: int, rate: float) -> list[float]:
    """The ms of each join."""
    native, began = NativeCodec(str), time.monotonic()

    async def join(number: int, connection: AsyncConnection) -> float:
        await asyncio.sleep(number / rate)
        due = began + number / rate
        await connection.request(native.call("join", {"chat": chat}))
        return (time.monotonic() - due) * 1000

    return await gather_all([join(number, connection) for number, connection in enumerate(joiners)])


async def _arrival(times: Sequence[float], expected: int) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(times) < expected and time.monotonic() < deadline:  # noqa: ASYNC110 (no event for each delivery)
        await asyncio.sleep(0.1)


def _percentiles(times: Sequence[float]) -> str:
    ordered = sorted(times)
    if not ordered:
        return "nothing"
    return (
        f"p50 {ordered[len(ordered) // 2]:.1f} ms, p99 {ordered[len(ordered) * 99 // 100]:.1f}, last {ordered[-1]:.1f}"
    )


async def _main(plan: Plan, settings: Sequence[str]) -> None:
    async with own_system(SystemSize(1), ["limits.rates=false", *settings], lambda _: None) as target:
        lines = await measure(target, plan)
    sys.stdout.write("\n".join([machine(), f"{plan.members:,} members, {plan.connected:,} connected", *lines]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stages.joining", description=__doc__)
    parser.add_argument("--members", type=int, default=20_000, help="of the group (default 20000)")
    parser.add_argument("--connected", type=int, default=2_000, help="of these (default 2000)")
    parser.add_argument("--joins", type=float, default=20.0, help="a second (default 20)")
    parser.add_argument("--messages", type=float, default=2.0, help="a second (default 2)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each phase (default 10)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the system")
    given = parser.parse_args()
    plan = Plan(given.members, given.connected, given.joins, given.messages, given.seconds)
    asyncio.run(_main(plan, given.set))


if __name__ == "__main__":
    main()
