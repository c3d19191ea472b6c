"""Measures when search finds a new message, and how much indexing delays messages: `python -m tests.stages.finding`.

First, a client sends messages one by one, and searches for each until it is found. Then a history is written into other
chats, and search is killed, so that it has to index this history. Meanwhile one user sends messages to another, first
at a fixed rate and then with a fixed number in flight. Search is frozen in every other turn. All processes are on one
machine.
"""

import argparse
import asyncio
import os
import signal
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import uvloop

from bench.load import message_tag
from bench.load.dialects import NATIVE, TaggedMessage, decoder
from bench.load.recorder import SECOND, until
from bench.measurements.measured import machine
from bench.system.seeding import Seeder
from bench.system.system import MeasuredSystem, SystemSize, own_system
from dragoman_client.aio import AsyncConnection, NullListener, connect
from dragoman_client.codec.base import ClientAccount
from local.data import RunningProcess
from tests.stages.timing import percentiles

_LENGTH = 50
"""The number of messages in each chat of the history."""
_PADDING = b"x" * 100
_SETTLING_SECONDS = 0.5
_COUNTER = "dragoman_search_indexed_total "


class FindingPlan(NamedTuple):
    """The sizes of the measurement. `found` messages are sent and searched; `history` messages are to be indexed.

    There are `turns` of `seconds`, with and without search. In each, messages are sent at `rate` a second, and then
    with `window` in flight.
    """

    found: int
    history: int
    turns: int
    seconds: float
    rate: float
    window: int


class ArrivalTimes(NullListener):
    """A listener that records times. `times` are the milliseconds from when each message was due until it arrived."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.arrived = asyncio.Semaphore(0)

    def received(self, event: object, now: int) -> None:
        if type(event) is TaggedMessage:
            self.times.append((now - event.tag.due) / 1e6)
            self.arrived.release()


class Conversation:
    """A conversation from one user to another."""

    def __init__(self, sender: AsyncConnection, account: ClientAccount, chat: int, receiver: ArrivalTimes) -> None:
        self._sender, self._receiver = sender, receiver
        self._write = NATIVE.message_writer(account, chat)
        self._number = 0

    def _send(self, due: int) -> None:
        self._number += 1
        self._sender.send(self._write(message_tag.write(1, 1, self._number, due) + _PADDING))

    async def at_rate(self, rate: float, seconds: float) -> list[float]:
        """Sends messages at this rate. Returns how many milliseconds each message took to arrive."""
        began, count = time.monotonic_ns(), int(rate * seconds)
        times = self._receiver.times = list[float]()
        for number in range(count):
            due = began + int(number / rate * SECOND)
            await until(due)
            self._send(due)
        for _ in range(count):
            await self._receiver.arrived.acquire()
        return times

    async def in_flight(self, window: int, seconds: float) -> float:
        """Sends messages with a fixed number in flight. Returns the messages per second."""
        end, count = time.monotonic() + seconds, 0
        for _ in range(window):
            self._send(time.monotonic_ns())
        while time.monotonic() < end:
            await self._receiver.arrived.acquire()
            self._send(time.monotonic_ns())
            count += 1
        for _ in range(window):
            await self._receiver.arrived.acquire()
        return count / seconds


async def measure(target: MeasuredSystem, plan: FindingPlan) -> list[str]:
    """Measures, and returns lines of text about it. Raises ClientError."""
    assert target.installation is not None
    seeder = await asyncio.to_thread(Seeder, target.installation)
    accounts = await asyncio.to_thread(seeder.accounts, 2)
    [chat] = made = await asyncio.to_thread(seeder.chats, accounts, 2)
    await seeder.publish(made)
    sending, receiving = seeder.users(accounts)
    receiver = ArrivalTimes()
    sender = await _log_in(target, sending, NullListener())
    await _log_in(target, receiving, receiver)
    lines = [f"found after the reply to the message: {percentiles(await _found(sender, chat, plan.found))}"]
    others = await asyncio.to_thread(seeder.chats, accounts, 2, plan.history // _LENGTH)
    await asyncio.to_thread(seeder.history, others, _LENGTH, accounts[1])
    os.kill(_search(target).pid, signal.SIGKILL)
    return lines + await _beside(target, Conversation(sender, sending, chat, receiver), plan)


async def _log_in(target: MeasuredSystem, account: ClientAccount, listener: NullListener) -> AsyncConnection:
    account.secret = ""  # without the secret, the client logs in by its token, which is quicker than by a password
    connection = await connect(target.edges[0], NATIVE, listener, decoder(NATIVE))
    await connection.request(NATIVE.login(account))
    return connection


async def _found(sender: AsyncConnection, chat: int, count: int) -> list[float]:
    times: list[float] = []
    for number in range(count):
        word = f"needle{number}"
        await sender.request(NATIVE.call("send", {"chat": chat, "text": word, "nonce": str(number)}))
        replied = time.monotonic()
        while not (await sender.request(NATIVE.call("search", {"query": f"{word} "}))).values["hits"]:
            await asyncio.sleep(0.01)
        times.append(1000 * (time.monotonic() - replied))
        # the pauses have different lengths, so that they end at all moments between two announcements
        await asyncio.sleep(number % 7 * 0.06)
    return times


async def _beside(target: MeasuredSystem, talk: Conversation, plan: FindingPlan) -> list[str]:
    while _indexed(_search(target)) < plan.history / 100:
        await asyncio.sleep(0.2)
    times: dict[bool, list[float]] = {False: [], True: []}
    rates: dict[bool, list[float]] = {False: [], True: []}
    began = _indexed(_search(target))
    for _ in range(plan.turns):
        for runs in (False, True):
            with _frozen(target, runs):
                await asyncio.sleep(_SETTLING_SECONDS)
                times[runs] += await talk.at_rate(plan.rate, plan.seconds)
        for runs in (False, True):
            with _frozen(target, runs):
                await asyncio.sleep(_SETTLING_SECONDS)
                rates[runs].append(await talk.in_flight(plan.window, plan.seconds))
    indexed = _indexed(_search(target)) - began
    shares = [there / here for here, there in zip(rates[False], rates[True], strict=True)]
    return [
        f"{plan.rate:g} messages a second: {percentiles(times[False])} with search frozen, "
        f"{percentiles(times[True])} while it indexes",
        f"{plan.window} messages in flight: {statistics.median(rates[False]):.0f} a second with search frozen, "
        f"{statistics.median(rates[True]):.0f} while it indexes; ratios {min(shares):.3f} to {max(shares):.3f}, "
        f"median {statistics.median(shares):.3f}",
        f"{indexed:.0f} messages were indexed meanwhile",
    ]


@contextmanager
def _frozen(target: MeasuredSystem, runs: bool) -> Iterator[None]:
    """Freezes the search service during the block, unless `runs`.

    `dragoman up` restarts a frozen process only after a longer time than the block takes.
    """
    search = _search(target)
    if not runs:
        os.kill(search.pid, signal.SIGSTOP)
    yield
    os.kill(search.pid, signal.SIGCONT)


def _search(target: MeasuredSystem) -> RunningProcess:
    return next(one for one in target.processes if one.name == "search")


def _indexed(search: RunningProcess) -> float:
    """Returns the number of indexed messages, or 0 while search starts."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{search.ops}/metrics", timeout=5) as reply:
            lines = reply.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.removeprefix(_COUNTER)) for line in lines if line.startswith(_COUNTER))


async def _main(plan: FindingPlan) -> None:
    async with own_system(SystemSize(1), ["limits.rates=false"], lambda _: None) as target:
        # a separate thread, because uvloop's loop cannot start processes in this one
        lines = await asyncio.to_thread(lambda: uvloop.run(measure(target, plan)))
    sys.stdout.write("\n".join([machine(), *lines]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stages.finding", description=__doc__)
    parser.add_argument("--found", type=int, default=50, help="messages that are searched (default 50)")
    parser.add_argument("--history", type=int, default=1_000_000, help="messages to index (default 1000000)")
    parser.add_argument("--turns", type=int, default=10, help="with and without search (default 10)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each (default 3)")
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second (default 100)")
    parser.add_argument("--window", type=int, default=32, help="messages in flight (default 32)")
    given = parser.parse_args()
    asyncio.run(_main(FindingPlan(given.found, given.history, given.turns, given.seconds, given.rate, given.window)))


if __name__ == "__main__":
    main()
