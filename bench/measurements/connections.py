"""Measures connections on which no messages are sent. For idle connections, the memory of the edges is measured. Logins
come one after the other, by token (service, pipe) or by password (ourchat-v2). A token costs a signature, and a
password a hash. In a reconnect storm, one edge or all edges die, and the clients reconnect to other edges and fetch the
missed messages."""

import contextlib
import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click

from bench.cli import POSITIVE, SECONDS, dialects_option, run_chosen, system_options, time_options
from bench.load.message_tag import SIZE
from bench.load.plan import distribute
from bench.load.protocol import Job, LoginChurn, Reconnect, Seat, SenderPlan, Talk
from bench.load.worker_pool import WorkerPool
from bench.measurements.measured import measured, result
from bench.report.progress import ProgressLine
from bench.report.result import Result, add_up, notes
from bench.system.accounts import ChatGroup, Registrar, chat_groups, participants
from bench.system.processes import memory_kib
from bench.system.system import MeasuredSystem
from services.cli.console import default_option


class IdleOptions(NamedTuple):
    """The `connections` belong to `people` accounts, in turn."""

    connections: int
    people: int
    dialects: Sequence[str]
    processes: int
    at_once: int
    seconds: float


async def idle(target: MeasuredSystem, show: ProgressLine, options: IdleOptions) -> Result:
    """Measure idle connections. The result is only valid on edges that have just started, because allocators reuse
    memory that was freed. Raises BenchError, ClientError."""
    whole = target.whole_memory()
    dialects = list(islice(cycle(options.dialects), options.people))
    users = list(zip(await Registrar(target.edges, show.step).users(dialects), dialects, strict=True))
    edges = cycle(target.edges)
    seats = [Seat(account, dialect, next(edges)) for account, dialect in islice(cycle(users), options.connections)]
    before = _memory(target)
    async with WorkerPool(_idle_jobs(seats, options)) as pool:
        show.print(f"idle: {len(seats):,} connections")
        began = time.monotonic()
        await pool.connect()
        figures = {"connections": 1.0 * len(seats), "connections/s": len(seats) / (time.monotonic() - began)}
        figures |= _growth(before, _memory(target), len(seats))
        rested, used = time.monotonic(), target.whole_cpu()
        totals = add_up(await pool.run(lambda progress: show.progress("idle", 0.5, progress)))
        figures["cores of the whole system"] = round((target.whole_cpu() - used) / (time.monotonic() - rested), 4)
        figures |= {f"{name}, later": value for name, value in _growth(before, _memory(target), len(seats)).items()}
    if whole:
        figures["MiB of the whole system"] = round(sum(whole.values()), 1)
        figures |= {f"MiB of {name}": round(mib, 1) for name, mib in whole.items()}
    found = notes(totals, options.seconds)
    if not before:
        found.append("memory is unknown: the system must run on this machine, and --data must name its directory")
    return result("idle", options._asdict(), figures, totals, found, done=True)


def _idle_jobs(seats: Sequence[Seat], options: IdleOptions) -> list[Job]:
    seats_by_process = distribute(seats, options.processes)
    task = Talk(SIZE, 0.0, options.seconds, [], [])
    at_once = max(1, options.at_once // len(seats_by_process))
    return [
        Job(secrets.randbits(32), [seats[number] for number in indices], task, at_once=at_once)
        for indices in seats_by_process
    ]


def _memory(target: MeasuredSystem) -> dict[str, int]:
    """The memory in KiB of each edge process that can be read."""
    used = {one.name: memory_kib(one.pid) for one in target.processes if one.port}
    return {name: kib for name, kib in used.items() if kib is not None}


def _growth(before: Mapping[str, int], after: Mapping[str, int], connections: int) -> dict[str, float]:
    if not before or before.keys() != after.keys():
        return {}
    return {"KiB of edges per connection": round((sum(after.values()) - sum(before.values())) / connections, 2)}


class ConnectOptions(NamedTuple):
    """There are `people` accounts, of `dialects` in turn. Either `at_once` logins in total are in flight, or there are
    `rate` logins a second."""

    people: int
    dialects: Sequence[str]
    processes: int
    at_once: int
    rate: float
    warm_up: float
    seconds: float


async def connect(target: MeasuredSystem, show: ProgressLine, options: ConnectOptions) -> Result:
    """Measure logins. Raises BenchError, ClientError."""
    dialects = list(islice(cycle(options.dialects), options.people))
    accounts = await participants(target, show, dialects)
    seats = [
        Seat(account, dialect, target.edges[number % len(target.edges)])
        for number, (account, dialect) in enumerate(zip(accounts, dialects, strict=True))
    ]
    result = await measured(
        "connect", _login_jobs(seats, options), target, show, options._asdict(),
        warm_up=options.warm_up, seconds=options.seconds,
    )  # fmt: skip
    result.figures["logins/s of an edge"] = round(result.figures.get("logins/s", 0) / len(target.edges), 1)
    return result


def _login_jobs(seats: Sequence[Seat], options: ConnectOptions) -> list[Job]:
    seats_by_process = distribute(seats, options.processes)
    run, share = secrets.randbits(32), 1 / len(seats_by_process)
    at_once = max(1, round(options.at_once * share))
    task = LoginChurn(options.warm_up, options.seconds, at_once, options.rate * share)
    return [Job(run, [seats[number] for number in indices], task) for indices in seats_by_process]


_MEMBERS = 1_000
"""The most members of a chat. A message to all users is sent once for each chat."""


class ReconnectStormOptions(NamedTuple):
    """The `people` users of one edge, or of all edges with `all_edges`, must reconnect within `seconds`."""

    people: int
    dialects: Sequence[str]
    processes: int
    at_once: int
    seconds: float
    all_edges: bool = False


async def reconnect_storm(target: MeasuredSystem, show: ProgressLine, options: ReconnectStormOptions) -> Result:
    """Kill the first edge, or all edges, if their processes are known. Otherwise the clients abort their connections.
    Raises BenchError, ClientError."""
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
    jobs = _storm_jobs(seats, groups, target.edges, options, cuts=not edges)
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


def _storm_jobs(
    seats: Sequence[Seat],
    groups: Sequence[ChatGroup],
    edges: Sequence[str],
    options: ReconnectStormOptions,
    *,
    cuts: bool,
) -> list[Job]:
    """The jobs of a reconnect storm. The senders belong to the first process, and connect to the last edge."""
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
        first.seats.append(Seat(group.sender, "ourchat-v2", edges[-1]))
    return jobs


def _processes(target: MeasuredSystem, edges: Sequence[str]) -> list[int]:
    """The process ids of these edges, as far as they are known."""
    ports = {urlsplit(edge).port for edge in edges}
    return [one.pid for one in target.processes if one.port in ports]


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@click.command("connect", epilog="Example: dragoman bench connect --dialect native --rate 50")
@system_options
@time_options
@dialects_option("service", "pipe")
@default_option("--people", 200, "Accounts, in turn.", click.IntRange(2))
@default_option("--at-once", 64, "Logins in flight.", POSITIVE)
@click.option("--rate", type=click.FloatRange(0), default=0.0, help="Logins a second (open loop).")
def connect_command(**given: Any) -> None:
    """Clients log in and disconnect.

    Clients log in by token in service and pipe, by password in the other protocols.
    """
    run_chosen(connect, ConnectOptions, given)


@click.command("idle", epilog="Example: dragoman bench idle --connections 5000")
@system_options
@dialects_option("service", "pipe")
@default_option("--connections", 1_000, "Logged-in connections in all.", POSITIVE)
@default_option("--people", 100, "Accounts of the connections.", click.IntRange(2))
@default_option("--at-once", 32, "Logins in flight.", POSITIVE)
@default_option("--seconds", 10.0, "Seconds until memory is measured again.", SECONDS)
def idle_command(**given: Any) -> None:
    """Measure an idle system: memory and CPU time."""
    run_chosen(idle, IdleOptions, given)


@click.command("reconnect-storm", epilog="Example: dragoman bench reconnect-storm --people 500 --all-edges")
@system_options
@dialects_option("service", "pipe")
@default_option("--people", 500, "Users on the edge that dies.", click.IntRange(2))
@default_option("--at-once", 32, "First logins in flight.", POSITIVE)
@default_option("--seconds", 60.0, "Seconds within which all must reconnect.", SECONDS)
@click.option("--all-edges", is_flag=True, help="Put the users on all edges, and kill all edges at once.")
def reconnect_storm_command(**given: Any) -> None:
    """An edge is killed, and its clients come back.

    The clients reconnect, and fetch the messages that they have missed. With --all-edges, all edges are killed.
    """
    run_chosen(reconnect_storm, ReconnectStormOptions, given)
