"""Measures overload: more messages are sent than the system can commit. The system must keep its goodput, answer every
message, and reject the excess with proper error replies. It must also keep its memory bounded, and recover soon
afterwards."""

import asyncio
import contextlib
import secrets
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import click
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.cli import (
    POSITIVE,
    SECONDS,
    TargetSpec,
    dialects_option,
    edges_option,
    own_options,
    replicas_option,
    run,
    size_of,
)
from bench.load.plan import Load, conversations
from bench.load.protocol import Job, Progress, RateStep, Seat
from bench.load.worker_pool import HEAD_START_SECONDS, WorkerPool
from bench.measurements.measured import measured, result
from bench.report.progress import ProgressLine
from bench.report.result import Measure, Result, RunTotals, add_up, notes
from bench.system.seeding import Seeder
from bench.system.system import MeasuredSystem
from services.cli.console import default_option

_OVERLOADED = 1.3
_BACK = 3.0
_BACK_MS = 20.0
"""Latency counts as recovered if it is at most _BACK times the latency before the surge, or at most _BACK_MS above
it."""


class FloodResult(NamedTuple):
    """The numbers of connections that were accepted, that were closed with code 1013, and that failed in another
    way."""

    let_in: int
    rejected: int
    lost: int


class Bounds(NamedTuple):
    """The objectives. They limit the goodput (as a share of the saturated rate), and the growth of each process's
    memory. They also limit the time for a reply beyond the setting `edge.request_seconds`, and the time until latency
    has recovered."""

    goodput: float = 0.9
    memory_mib: float = 256.0
    slack_seconds: float = 2.0
    recovery_seconds: float = 10.0


class OverloadMeasured(NamedTuple):
    """What was measured. Rates are in messages a second, and memory is the growth of each process in MiB."""

    saturated: float
    goodput: float
    memory: Mapping[str, float]
    longest_seconds: float
    recovery_seconds: float
    flood: FloodResult


def violations(measured: OverloadMeasured, bounds: Bounds, request_seconds: float) -> list[str]:
    """The objectives that were not reached, as sentences."""
    broken = []
    if measured.goodput < bounds.goodput * measured.saturated:
        broken.append(f"goodput fell to {measured.goodput / max(measured.saturated, 1.0):.2f} of the saturated rate")
    if measured.goodput > _OVERLOADED * measured.saturated:
        broken.append("the offered load was accepted: the machine was busy when saturation was measured; measure again")
    if measured.longest_seconds > request_seconds + bounds.slack_seconds:
        broken.append(f"a sender waited {measured.longest_seconds:.1f} s for a reply")
    if measured.recovery_seconds > bounds.recovery_seconds:
        broken.append(f"latency had not recovered after {bounds.recovery_seconds:g} s")
    broken += [
        f"{name} grew by {grown:,.0f} MiB" for name, grown in measured.memory.items() if grown > bounds.memory_mib
    ]  # fmt: skip
    if not measured.flood.rejected or measured.flood.lost:
        broken.append("some connections beyond the limit were not closed with 1013")
    return broken


def recovery(answers: Measure | None, calm: float, surge: float) -> float:
    """The seconds from the end of the surge until latency has recovered. Latencies are those of the second in which the
    request was sent. The result is infinite if latency never recovers."""
    if answers is None:
        return float("inf")
    before = [point.p50 for point in answers.points if 1 <= point.second < calm]
    after = [point for point in answers.points if point.second >= calm + surge]
    if not before or not after:
        return float("inf")
    usual = max(_BACK * statistics.median(before), statistics.median(before) + _BACK_MS * 1000)
    slow = [point.second for point in after if point.p50 > usual]
    first = max(slow) + 1 if slow else calm + surge
    return first - calm - surge if first <= after[-1].second else float("inf")


_CALM = 0.2
"""The share of the saturated rate that is offered before and after the surge."""
_LOGINS_AT_ONCE = 32
_MEMORY_SECONDS = 0.5
_LATE_SECONDS = 0.5


_DEFAULT_BOUNDS = Bounds()


class OverloadOptions(NamedTuple):
    """The surge offers `factor` times the rate that `people` in pairs reach in closed loops of `window` messages. It
    lasts `seconds`, and there are `calm` seconds before and after it."""

    people: int
    dialects: Sequence[str]
    processes: int
    size: int
    window: int
    factor: float
    calm: float
    seconds: float


def max_connections(options: OverloadOptions, edges: int) -> int:
    """The number of connections that an edge must accept, including connections that are closing."""
    return options.people * 5 // (edges * 4) + 64


async def overload(
    target: MeasuredSystem, show: ProgressLine, options: OverloadOptions, bounds: Bounds = _DEFAULT_BOUNDS
) -> Result:
    """Measure overload on a system that was started for this measurement. Raises BenchError, ClientError."""
    installation = target.installation
    assert installation is not None
    seats = await _seats(target, await asyncio.to_thread(Seeder, installation), options)
    closed = Load(options.size, options.calm / 2, options.seconds, window=options.window, each=True)
    jobs = _jobs(seats, options, closed)
    saturation = await measured("saturation", jobs, target, show, {}, warm_up=closed.warm_up, seconds=closed.seconds)
    saturated = saturation.figures.get("acknowledged/s", 0.0)
    steps = [RateStep(seconds, share * saturated) for seconds, share in _steps(options)]
    surge = Load(options.size, 0.0, sum(step.seconds for step in steps))
    monitor = _OverloadMonitor(target)
    totals = await _surge(_jobs(seats, options, surge, steps), surge.seconds, show, monitor)
    edge = installation.settings.edge
    found = _found(options, saturated, monitor, totals, await flood(target.edges[0], edge.max_connections))
    failed = violations(found, bounds, edge.request_seconds)
    noted = notes(totals, surge.seconds) + _lateness(totals) + saturation.remarks + failed
    totals.faults.merge(saturation.faults)
    overload_result = result("overload", options._asdict(), _figures(found, options), totals, noted)
    overload_result.passed = overload_result.passed and not failed
    return overload_result


class _OverloadMonitor:
    """Samples deliveries and memory during the surge."""

    def __init__(self, target: MeasuredSystem) -> None:
        self._target = target
        self._first = target.memory()
        self.highest = dict(self._first)
        self._looked = 0.0
        self._seen: list[tuple[float, int]] = []

    def sample(self, progress: Progress) -> None:
        now = time.monotonic()
        self._seen.append((now, progress.delivered))
        if now - self._looked >= _MEMORY_SECONDS:
            self._looked = now
            for name, kib in self._target.memory().items():
                self.highest[name] = max(kib, self.highest.get(name, 0))

    @property
    def growth(self) -> dict[str, float]:
        """The growth of the memory in MiB, for the processes that ran at the start."""
        return {name: (self.highest[name] - kib) / 1024 for name, kib in self._first.items()}

    def rate(self, start: float, end: float) -> float:
        """The deliveries a second between two times, which are in seconds after the first sample."""
        began = self._seen[0][0]
        within = [one for one in self._seen if start <= one[0] - began <= end]
        if len(within) < 2 or within[0][0] == within[-1][0]:
            return 0.0
        return (within[-1][1] - within[0][1]) / (within[-1][0] - within[0][0])


async def _seats(target: MeasuredSystem, seeder: Seeder, options: OverloadOptions) -> list[Seat]:
    """The seats of pairs, each of which is on two edges."""
    accounts = await asyncio.to_thread(seeder.accounts, options.people)
    chats = await asyncio.to_thread(seeder.chats, accounts, 2)
    await seeder.publish(chats)
    users = await asyncio.to_thread(seeder.users, accounts)
    users_at_edges = zip(users, cycle(options.dialects), cycle(target.edges), strict=False)
    return [Seat(user, dialect, edge, [chats[n // 2]]) for n, (user, dialect, edge) in enumerate(users_at_edges)]


def _jobs(seats: Sequence[Seat], options: OverloadOptions, load: Load, steps: Sequence[RateStep] = ()) -> list[Job]:
    jobs = conversations(secrets.randbits(32), seats, range(len(seats)), options.processes, load, steps)
    for job in jobs:
        job.at_once = _LOGINS_AT_ONCE
    return jobs


def _steps(options: OverloadOptions) -> list[tuple[float, float]]:
    return [(options.calm, _CALM), (options.seconds, options.factor), (options.calm, _CALM)]


async def _surge(jobs: Sequence[Job], seconds: float, show: ProgressLine, monitor: _OverloadMonitor) -> RunTotals:
    async with WorkerPool(jobs) as pool:
        await pool.connect()
        began = time.monotonic()

        def sample(progress: Progress) -> None:
            monitor.sample(progress)
            show.progress("overload", (time.monotonic() - began) / seconds, progress)

        return add_up(await pool.run(sample))


def _lateness(totals: RunTotals) -> list[str]:
    late = totals.measures.get("lateness")
    if late is None or late.highest < _LATE_SECONDS * 1e6:
        return []
    return [f"the generator sent up to {late.highest / 1e6:.1f} s late: it caused part of the waits"]


def _found(
    options: OverloadOptions, saturated: float, monitor: _OverloadMonitor, totals: RunTotals, flood_result: FloodResult
) -> OverloadMeasured:
    answers, rejections = totals.measures.get("acknowledgement"), totals.measures.get("refusal")
    start = HEAD_START_SECONDS + options.calm
    return OverloadMeasured(
        saturated,
        monitor.rate(start, start + options.seconds),
        monitor.growth,
        max((one.highest for one in (answers, rejections) if one), default=0) / 1e6,
        recovery(answers, options.calm, options.seconds),
        flood_result,
    )


def _figures(found: OverloadMeasured, options: OverloadOptions) -> dict[str, float]:
    figures = {
        "saturated messages/s": found.saturated,
        "offered messages/s": found.saturated * options.factor,
        "goodput messages/s": found.goodput,
        "goodput / saturated": found.goodput / max(found.saturated, 1.0),
        "longest wait for an answer, s": found.longest_seconds,
        "seconds until latency is back": found.recovery_seconds,
        "connections let in": 1.0 * found.flood.let_in,
        "connections closed with 1013": 1.0 * found.flood.rejected,
    }
    return figures | {f"MiB grown, {name}": grown for name, grown in found.memory.items()}


_AT_ONCE = 64
_BEYOND = 16
_LOOK_SECONDS = 0.02


class _Visitor(WSListener):
    code: WSCloseCode | None = None
    there = True

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            self.code = frame.get_close_code()
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.there = False


async def flood(address: str, most: int, seconds: float = 10.0) -> FloodResult:
    """Open a few connections more than `most` to an edge without connections. Returns how many of them stay open, and
    how many the edge closes within `seconds`."""
    slots = asyncio.Semaphore(_AT_ONCE)
    opened: list[tuple[WSTransport, _Visitor]] = []

    async def open_connection() -> None:
        async with slots:
            with contextlib.suppress(OSError, WSError, TimeoutError):  # a failed connection is counted as lost
                visitor = _Visitor()  # ws_connect returns no connection if it has already been closed
                transport, _ = await ws_connect(lambda: visitor, address + "/")
                opened.append((transport, visitor))

    await asyncio.gather(*(open_connection() for _ in range(most + _BEYOND)))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while sum(not visitor.there for _, visitor in opened) < _BEYOND:  # noqa: ASYNC110 (many may end it)
                await asyncio.sleep(_LOOK_SECONDS)
    let_in = sum(visitor.there for _, visitor in opened)
    rejected = sum(visitor.code == WSCloseCode.TRY_AGAIN_LATER for _, visitor in opened)
    for transport, _ in opened:
        transport.disconnect()
    return FloodResult(let_in, rejected, most + _BEYOND - let_in - rejected)


@click.command("overload", epilog="Example: dragoman bench overload --people 1000")
@replicas_option
@own_options
@dialects_option("pipe")
@edges_option
@default_option("--people", 1_000, "Users, who write in pairs across two edges.", click.IntRange(4))
@default_option("--window", 4, "Messages of each user in flight at once, at saturation.", POSITIVE)
@default_option("--factor", 2.0, "Offered load / saturated rate.", click.FloatRange(1))
@default_option("--seconds", 15.0, "Seconds of the overload.", SECONDS)
@default_option("--calm", 15.0, "Seconds before and after.", click.FloatRange(2))
@default_option("--size", 150, "Bytes of a text.", click.IntRange(64, 16_384))
def overload_command(**given: Any) -> None:
    """Offer more than the system can take.

    At twice the saturated rate the system must keep its goodput, answer all messages and recover. The command starts a
    system on all cores but the last, which is for the load.
    """
    options = OverloadOptions(**{name: given[name] for name in OverloadOptions._fields})
    settings = (f"edge.max_connections={max_connections(options, given['edges'])}", *given["settings"])
    spec = TargetSpec((), None, size_of(given), settings, apart=True)
    sys.exit(run(spec, given["json"], lambda target, show: overload(target, show, options)))
