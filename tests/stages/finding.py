"""Measures when search finds a new message, and how much indexing delays messages: `python -m tests.stages.finding`.

First, a client sends messages one by one, and searches for each until it is found. Then a history is written into other
chats, and the index is deleted, so that search has to index this history. Meanwhile one user sends messages to another,
first at a fixed rate and then with a fixed number in flight. Search is frozen in every other turn. Each turn is
compared with the frozen turn before. The ratios of two frozen turns show how much turns differ by chance. All processes
are on one machine.
"""

import argparse
import asyncio
import os
import shutil
import signal
import statistics
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple, TypeVar

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
_SETTLING_SECONDS = 0.4
_BEGINNING = 20_000
"""The first messages of an index, which search indexes faster."""
_INDEXED, _BYTES = "dragoman_search_indexed_total ", "dragoman_search_bytes "
"""The number of indexed messages, and the size of the open index."""

T = TypeVar("T")


class FindingPlan(NamedTuple):
    """The sizes of the measurement. `found` messages are sent and searched; `history` messages are to be indexed.

    There are `turns` of `seconds`, with and without search: first with `rate` messages a second, and then with `window`
    messages in flight.
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
    await _until(lambda: _metric(target, _BYTES) > 0)
    lines = [f"found after the reply to the message: {percentiles(await _found(sender, chat, plan.found))}"]
    others = await asyncio.to_thread(seeder.chats, accounts, 2, plan.history // _LENGTH)
    await asyncio.to_thread(seeder.history, others, _LENGTH, accounts[1])
    assert target.data is not None
    await asyncio.to_thread(shutil.rmtree, target.data / "search")
    os.kill(_search(target).pid, signal.SIGKILL)
    await _until(lambda: _metric(target, _INDEXED) >= min(_BEGINNING, plan.history / 10))
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
    began, used, lines = _metric(target, _INDEXED), target.cpu(), list[str]()
    times = await _turns(target, plan.turns, lambda: talk.at_rate(plan.rate, plan.seconds))
    for name, figure in (("median", statistics.median), ("mean", statistics.fmean), ("p99", _p99)):
        pairs = [(figure(frozen), figure(running)) for frozen, running in times]
        lines += _compared(f"{plan.rate:g} messages a second, {name} in ms", pairs)
    rates = await _turns(target, plan.turns, lambda: talk.in_flight(plan.window, plan.seconds))
    lines += _compared(f"{plan.window} messages in flight, a second", rates)
    indexed, seconds = _metric(target, _INDEXED) - began, target.cpu()["search"] - used["search"]
    return [*lines, f"search indexed {indexed:.0f} messages meanwhile, with {seconds:.1f} s of CPU time"]


async def _turns(target: MeasuredSystem, count: int, work: Callable[[], Awaitable[T]]) -> list[tuple[T, T]]:
    """Returns the results of `work` with search frozen and running."""
    results = list[tuple[T, T]]()
    for _ in range(count):
        with _frozen(target):
            await asyncio.sleep(_SETTLING_SECONDS)
            frozen = await work()
        await asyncio.sleep(_SETTLING_SECONDS)
        results.append((frozen, await work()))
    return results


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]


def _compared(name: str, turns: Sequence[tuple[float, float]]) -> list[str]:
    """Describes the ratios to frozen turns: the median, and the quartiles."""
    lines = [f"{name}: {statistics.median(frozen for frozen, _ in turns):.2f} with search frozen"]
    running = [running / frozen for frozen, running in turns]
    again = [after[0] / before[0] for before, after in pairwise(turns)]
    for kind, ratios in (("while it indexes", running), ("with search frozen again", again)):
        low, median, high = statistics.quantiles(ratios, n=4)
        lines.append(f"    {kind}: {median:.3f} times that, half of the turns {low:.3f} to {high:.3f}")
    return lines


@contextmanager
def _frozen(target: MeasuredSystem) -> Iterator[None]:
    """Freezes the search service during the block.

    `dragoman up` restarts a frozen process only after a longer time than the block takes.
    """
    search = _search(target)
    os.kill(search.pid, signal.SIGSTOP)
    yield
    os.kill(search.pid, signal.SIGCONT)


def _search(target: MeasuredSystem) -> RunningProcess:
    return next(one for one in target.processes if one.name == "search")


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.2)


def _metric(target: MeasuredSystem, name: str) -> float:
    """Returns the value of a metric of search, or 0 while search starts."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{_search(target).ops}/metrics", timeout=5) as reply:
            lines = reply.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


async def _main(plan: FindingPlan) -> None:
    async with own_system(SystemSize(1), ["limits.rates=false"], lambda _: None) as target:
        # a separate thread, because uvloop's loop cannot start processes in this one
        lines = await asyncio.to_thread(lambda: uvloop.run(measure(target, plan)))
    sys.stdout.write("\n".join([machine(), *lines]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stages.finding", description=__doc__)
    parser.add_argument("--found", type=int, default=50, help="messages that are searched (default 50)")
    parser.add_argument("--history", type=int, default=1_000_000, help="messages to index (default 1000000)")
    parser.add_argument("--turns", type=int, default=24, help="with and without search (default 24)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each (default 3)")
    parser.add_argument("--rate", type=float, default=1_000.0, help="messages a second (default 1000)")
    parser.add_argument("--window", type=int, default=32, help="messages in flight (default 32)")
    given = parser.parse_args()
    asyncio.run(_main(FindingPlan(given.found, given.history, given.turns, given.seconds, given.rate, given.window)))


if __name__ == "__main__":
    main()
