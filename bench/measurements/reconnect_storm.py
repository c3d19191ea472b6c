"""Reconnect storm: an edge, or all, die; their clients reconnect to other edges and fetch the missed messages."""

import contextlib
import os
import secrets
import signal
from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice
from typing import NamedTuple
from urllib.parse import urlsplit

from bench.load.plan import distribute
from bench.load.protocol import Job, Reconnect, Seat, SenderPlan
from bench.load.worker_pool import WorkerPool
from bench.measurements.measured import result
from bench.report.progress import ProgressLine
from bench.report.result import Result, add_up, notes
from bench.system.accounts import ChatGroup, chat_groups
from bench.system.system import MeasuredSystem

_MEMBERS = 1_000
"""Most members of a chat; a message to all is sent once per chat."""


class ReconnectStormOptions(NamedTuple):
    """`people` users on one edge, or on `all_edges`, must all reconnect within `seconds`."""

    people: int
    dialects: Sequence[str]
    processes: int
    at_once: int
    seconds: float
    all_edges: bool = False


async def reconnect_storm(target: MeasuredSystem, show: ProgressLine, options: ReconnectStormOptions) -> Result:
    """Kill the first edge, or all, if their processes are known; otherwise the clients abort their connections. Raises
    BenchError, ClientError."""
    dialects = list(islice(cycle(options.dialects), options.people))
    groups = await chat_groups(target, show, dialects, _MEMBERS)
    doomed = list(target.edges) if options.all_edges else [target.edges[0]]
    edges_in_turn = cycle(doomed)
    seats = [
        Seat(account, dialect, next(edges_in_turn), [group.chat])
        for number, group in enumerate(groups)
        for account, dialect in zip(group.members, dialects[number :: len(groups)], strict=True)
    ]
    edges = _processes(target, doomed) if options.all_edges or len(target.edges) > 1 else []
    jobs = _jobs(seats, groups, target.edges, options, cuts=not edges)
    async with WorkerPool(jobs) as pool:
        show.print(f"reconnect-storm: {len(seats):,} connections to {' '.join(doomed)}")
        await pool.connect()
        worker_totals = await pool.run(lambda progress: show.progress("back", 0.5, progress), lambda: _kill(edges))
    totals = add_up(worker_totals)
    figures = {
        f"seconds until all had {what}": round(totals.measures[name].highest / 1e6, 2)
        for name, what in (("login", "logged in"), ("back", "what they missed"))
        if name in totals.measures
    }
    found = notes(totals, options.seconds)
    if not edges:
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
    task = Reconnect([*edges[1:], *edges[:1]], options.seconds, cuts, options.all_edges and not cuts)
    run = secrets.randbits(32)
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


def _processes(target: MeasuredSystem, edges: Sequence[str]) -> list[int]:
    """Process ids of these edges, as far as they are known."""
    ports = {urlsplit(edge).port for edge in edges}
    return [one.pid for one in target.processes if one.port in ports]


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
