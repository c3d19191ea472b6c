"""Overload: more is said than the system can take. It must go on at full speed, answer everything, refuse in its own
words what is too much, keep its memory bounded, and be itself again soon after."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

from bench.load.protocol import Job, Progress, Seat, Stage, Stages, Talk
from bench.load.worker_pool import HEAD_START_SECONDS, WorkerPool
from bench.measurement.progress import ProgressLine
from bench.measurement.result import Result
from bench.measurement.run import measured, result
from bench.measurement.slo import Bounds, FloodResult, OverloadMeasured, recovery, violations
from bench.measurement.system import MeasuredSystem
from bench.measurement.verdict import RunTotals, add_up, notes
from bench.population.plan import Load, conversations
from bench.population.seeding import Seeder
from bench.scenarios.flood import flood

_CALM = 0.2
"""Of what the system can take, before and after the surge."""
_LOGINS_AT_ONCE = 32
_MEMORY_SECONDS = 0.5
_LATE_SECONDS = 0.5


_DEFAULT_BOUNDS = Bounds()


class OverloadOptions(NamedTuple):
    """`factor` times as much is said for `seconds` as `people` in pairs can say in closed loops of `window`, after
    `calm` seconds, and before as many."""

    people: int
    dialects: Sequence[str]
    processes: int
    size: int
    window: int
    factor: float
    calm: float
    seconds: float


def max_connections(strain: OverloadOptions, edges: int) -> int:
    """Connections that an edge must take, with room for those that are just ending."""
    return strain.people * 5 // (edges * 4) + 64


async def overload(
    target: MeasuredSystem, show: ProgressLine, strain: OverloadOptions, bounds: Bounds = _DEFAULT_BOUNDS
) -> Result:
    """On a system of one's own. Raises BenchError, ClientError."""
    installation = target.installation
    assert installation is not None
    seats = await _seats(target, await asyncio.to_thread(Seeder, installation), strain)
    closed = Load(strain.size, strain.calm / 2, strain.seconds, window=strain.window, each=True)
    jobs = _jobs(seats, strain, closed)
    knee = await measured("saturation", jobs, target, show, {}, warm_up=closed.warm_up, seconds=closed.seconds)
    saturated = knee.figures.get("acknowledged/s", 0.0)
    stages = [Stage(seconds, share * saturated) for seconds, share in _stages(strain)]
    gauge = _Gauge(target)
    books = await _surge(_surges(_jobs(seats, strain, closed), stages), show, gauge)
    edge = installation.settings.edge
    found = _found(strain, saturated, gauge, books, await flood(target.edges[0], edge.max_connections))
    broken = violations(found, bounds, edge.request_seconds)
    noted = notes(books, sum(stage.seconds for stage in stages)) + _lateness(books) + knee.remarks + broken
    books.faults.merge(knee.faults)
    outcome = result("overload", strain._asdict(), _figures(found, strain), books, noted)
    outcome.passed = outcome.passed and not broken
    return outcome


class _Gauge:
    """What is seen of a run from outside while it goes on."""

    def __init__(self, target: MeasuredSystem) -> None:
        self._target = target
        self._first = target.memory()
        self.highest = dict(self._first)
        self._looked = 0.0
        self._seen: list[tuple[float, int]] = []

    def look(self, progress: Progress) -> None:
        now = time.monotonic()
        self._seen.append((now, progress.delivered))
        if now - self._looked >= _MEMORY_SECONDS:
            self._looked = now
            for name, kib in self._target.memory().items():
                self.highest[name] = max(kib, self.highest.get(name, 0))

    @property
    def growth(self) -> dict[str, float]:
        """MiB, of the processes that were there before."""
        return {name: (self.highest[name] - kib) / 1024 for name, kib in self._first.items()}

    def rate(self, start: float, end: float) -> float:
        """Deliveries a second between two moments after the first look."""
        began = self._seen[0][0]
        within = [one for one in self._seen if start <= one[0] - began <= end]
        if len(within) < 2 or within[0][0] == within[-1][0]:
            return 0.0
        return (within[-1][1] - within[0][1]) / (within[-1][0] - within[0][0])


async def _seats(target: MeasuredSystem, seedbed: Seeder, strain: OverloadOptions) -> list[Seat]:
    """Pairs, each on two edges."""
    accounts = await asyncio.to_thread(seedbed.accounts, strain.people)
    chats = await asyncio.to_thread(seedbed.chats, accounts, 2)
    await seedbed.publish(chats)
    people = await asyncio.to_thread(seedbed.users, accounts)
    both = zip(people, cycle(strain.dialects), cycle(target.edges), strict=False)
    return [Seat(person, dialect, edge, [chats[n // 2]]) for n, (person, dialect, edge) in enumerate(both)]


def _jobs(seats: Sequence[Seat], strain: OverloadOptions, load: Load) -> list[Job]:
    jobs = conversations(secrets.randbits(32), seats, range(len(seats)), strain.processes, load)
    for job in jobs:
        job.at_once = _LOGINS_AT_ONCE
    return jobs


def _stages(strain: OverloadOptions) -> list[tuple[float, float]]:
    return [(strain.calm, _CALM), (strain.seconds, strain.factor), (strain.calm, _CALM)]


def _surges(jobs: list[Job], stages: Sequence[Stage]) -> list[Job]:
    """Each with its share of the rates."""
    voices = sum(len(job.voices) for job in jobs)
    for job in jobs:
        share = len(job.voices) / voices
        size = job.task.size if isinstance(job.task, Talk) else 0
        job.task = Stages(size, [Stage(stage.seconds, stage.rate * share) for stage in stages])
    return jobs


async def _surge(jobs: Sequence[Job], show: ProgressLine, gauge: _Gauge) -> RunTotals:
    seconds = 0.0
    if isinstance(surge := jobs[0].task, Stages):
        seconds = sum(stage.seconds for stage in surge.stages)
    async with WorkerPool(jobs) as crew:
        await crew.connect()
        began = time.monotonic()

        def look(progress: Progress) -> None:
            gauge.look(progress)
            show.progress("overload", (time.monotonic() - began) / seconds, progress)

        return add_up(await crew.run(look))


def _lateness(books: RunTotals) -> list[str]:
    late = books.measures.get("lateness")
    if late is None or late.highest < _LATE_SECONDS * 1e6:
        return []
    return [
        f"the generator spoke up to {late.highest / 1e6:.1f} s late: what waited and came back late is partly its own"
    ]


def _found(
    strain: OverloadOptions, saturated: float, gauge: _Gauge, books: RunTotals, crowded: FloodResult
) -> OverloadMeasured:
    answers, refusals = books.measures.get("acknowledgement"), books.measures.get("refusal")
    start = HEAD_START_SECONDS + strain.calm
    return OverloadMeasured(
        saturated,
        gauge.rate(start, start + strain.seconds),
        gauge.growth,
        max((one.highest for one in (answers, refusals) if one), default=0) / 1e6,
        recovery(answers, strain.calm, strain.seconds),
        crowded,
    )


def _figures(found: OverloadMeasured, strain: OverloadOptions) -> dict[str, float]:
    figures = {
        "saturated messages/s": found.saturated,
        "offered messages/s": found.saturated * strain.factor,
        "goodput messages/s": found.goodput,
        "goodput / saturated": found.goodput / max(found.saturated, 1.0),
        "longest wait for an answer, s": found.longest_seconds,
        "seconds until latency is back": found.recovery_seconds,
        "connections let in": 1.0 * found.crowded.let_in,
        "connections closed with 1013": 1.0 * found.crowded.refused,
    }
    return figures | {f"MiB grown, {name}": grown for name, grown in found.memory.items()}
