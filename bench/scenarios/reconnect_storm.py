"""Reconnect storm: an edge dies; its clients reconnect to other edges and fetch the missed messages."""

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
from bench.measurement.totals import add_up, notes
from bench.population.participants import ChatGroup, chat_groups
from bench.population.plan import distribute

_MEMBERS = 1_000
"""Most members of a chat; a message to all is sent once per chat."""


class ReconnectStormOptions(NamedTuple):
    """`people` users on one edge must all reconnect within `seconds`."""

    people: int
    dialects: Sequence[str]
    processes: int
    at_once: int
    seconds: float


async def reconnect_storm(target: MeasuredSystem, show: ProgressLine, options: ReconnectStormOptions) -> Result:
    """Kill the first edge if its process is known; otherwise the clients abort their connections. Raises BenchError,
    ClientError."""
    dialects = list(islice(cycle(options.dialects), options.people))
    groups = await chat_groups(target, show, dialects, _MEMBERS)
    seats = [
        Seat(account, dialect, target.edges[0], [group.chat])
        for number, group in enumerate(groups)
        for account, dialect in zip(group.members, dialects[number :: len(groups)], strict=True)
    ]
    edge = _first_edge(target) if len(target.edges) > 1 else None
    jobs = _jobs(seats, groups, target.edges, options, cuts=edge is None)
    async with WorkerPool(jobs) as pool:
        show.print(f"reconnect-storm: {len(seats):,} connections to {target.edges[0]}")
        await pool.connect()
        worker_totals = await pool.run(lambda progress: show.progress("back", 0.5, progress), lambda: _kill(edge))
    totals = add_up(worker_totals)
    figures = {
        f"seconds until all had {what}": round(totals.measures[name].highest / 1e6, 2)
        for name, what in (("login", "logged in"), ("back", "what they missed"))
        if name in totals.measures
    }
    found = notes(totals, options.seconds)
    if edge is None:
        found.append("the clients aborted their connections; no edge was killed: none is known, or there is only one")
    return result("reconnect-storm", options._asdict(), figures, totals, found)


def _jobs(
    seats: Sequence[Seat],
    groups: Sequence[ChatGroup],
    edges: Sequence[str],
    options: ReconnectStormOptions,
    *,
    cuts: bool,
) -> list[Job]:
    """The senders belong to the first process and connect to the last edge."""
    seats_by_process = distribute(seats, options.processes)
    run, task = secrets.randbits(32), Reconnect([*edges[1:], *edges[:1]], options.seconds, cuts)
    chat_of = {number: group.chat for number, group in enumerate(groups, 1)}
    at_once = max(1, options.at_once // len(seats_by_process))
    jobs = [
        Job(run, [seats[n] for n in indices], task, chat_of=chat_of, at_once=at_once) for indices in seats_by_process
    ]
    first = jobs[0]
    listeners = Counter(chat for seat in seats for chat in seat.chats)
    for number, group in enumerate(groups, 1):
        first.senders.append(SenderPlan(number, len(first.seats), group.chat, listeners[group.chat]))
        first.seats.append(Seat(group.sender, "v2", edges[-1]))
    return jobs


def _first_edge(target: MeasuredSystem) -> int | None:
    """Process id of the first edge, if known."""
    port = urlsplit(target.edges[0]).port
    return next((one.pid for one in target.processes if one.port == port), None)


def _kill(pid: int | None) -> None:
    with contextlib.suppress(ProcessLookupError):
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
