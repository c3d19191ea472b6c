"""A storm of people who come back: an edge dies, everybody on it goes elsewhere, and wants what was said since."""

import contextlib
import os
import secrets
import signal
from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice
from typing import NamedTuple
from urllib.parse import urlsplit

from bench.load.protocol import Job, Reconnect, Seat, SenderPlan
from bench.load.worker_pool import WorkerPool
from bench.measurement.progress import ProgressLine
from bench.measurement.result import Result
from bench.measurement.run import result
from bench.measurement.system import MeasuredSystem
from bench.measurement.verdict import add_up, notes
from bench.population.participants import ChatGroup, chat_groups
from bench.population.plan import deal

_MEMBERS = 1_000
"""Of a chat, at most: what is said to all is said in each."""


class ReconnectStormOptions(NamedTuple):
    """So many people on one edge, all of whom must be back within `seconds`."""

    people: int
    dialects: Sequence[str]
    processes: int
    at_once: int
    seconds: float


async def reconnect_storm(target: MeasuredSystem, show: ProgressLine, storm: ReconnectStormOptions) -> Result:
    """Kills the first edge, where its process is known; else the clients cut their connections. Raises BenchError,
    ClientError."""
    dialects = list(islice(cycle(storm.dialects), storm.people))
    groups = await chat_groups(target, show, dialects, _MEMBERS)
    seats = [
        Seat(person, dialect, target.edges[0], [circle.chat])
        for number, circle in enumerate(groups)
        for person, dialect in zip(circle.people, dialects[number :: len(groups)], strict=True)
    ]
    edge = _first_edge(target) if len(target.edges) > 1 else None
    jobs = _jobs(seats, groups, target.edges, storm, cuts=edge is None)
    async with WorkerPool(jobs) as crew:
        show.print(f"reconnect-storm: {len(seats):,} connections to {target.edges[0]}")
        await crew.connect()
        tallies = await crew.run(lambda progress: show.progress("back", 0.5, progress), lambda: _kill(edge))
    books = add_up(tallies)
    figures = {
        f"seconds until all had {what}": round(books.measures[name].highest / 1e6, 2)
        for name, what in (("login", "logged in"), ("back", "what they missed"))
        if name in books.measures
    }
    found = notes(books, storm.seconds)
    if edge is None:
        found.append("the clients cut their connections; no edge was killed, for none is known, or there is only one")
    return result("reconnect-storm", storm._asdict(), figures, books, found)


def _jobs(
    seats: Sequence[Seat],
    groups: Sequence[ChatGroup],
    edges: Sequence[str],
    storm: ReconnectStormOptions,
    *,
    cuts: bool,
) -> list[Job]:
    """The speakers sit in the first process, at the last edge."""
    hands = deal(seats, storm.processes)
    run, task = secrets.randbits(32), Reconnect([*edges[1:], *edges[:1]], storm.seconds, cuts)
    chat_of = {number: circle.chat for number, circle in enumerate(groups, 1)}
    at_once = max(1, storm.at_once // len(hands))
    jobs = [Job(run, [seats[n] for n in hand], task, chat_of=chat_of, at_once=at_once) for hand in hands]
    first = jobs[0]
    listeners = Counter(chat for seat in seats for chat in seat.chats)
    for number, circle in enumerate(groups, 1):
        first.voices.append(SenderPlan(number, len(first.seats), circle.chat, listeners[circle.chat]))
        first.seats.append(Seat(circle.speaker, "v2", edges[-1]))
    return jobs


def _first_edge(target: MeasuredSystem) -> int | None:
    """Its process."""
    port = urlsplit(target.edges[0]).port
    return next((one.pid for one in target.processes if one.port == port), None)


def _kill(pid: int | None) -> None:
    with contextlib.suppress(ProcessLookupError):
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
