"""One measurement: the crew at work, live numbers, the processor time of the system meanwhile, the verdict."""

import asyncio
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from bench.load.protocol import Job, Progress
from bench.load.worker_pool import HEAD_START_SECONDS, WorkerPool
from bench.measurement.processes import busy_seconds
from bench.measurement.progress import ProgressLine
from bench.measurement.result import Result
from bench.measurement.system import MeasuredSystem
from bench.measurement.verdict import RunTotals, add_up, notes

_ALL = "all"


class CpuSampler:
    """The processor time of the system's processes, and of all, from the first to the last look within a span."""

    def __init__(self, target: MeasuredSystem, start: float, end: float) -> None:
        self._target = target
        self._start = start
        self._end = end
        self._first: tuple[float, Mapping[str, float]] | None = None
        self._last: tuple[float, Mapping[str, float]] | None = None

    def look(self) -> None:
        now = time.monotonic()
        if self._start <= now <= self._end:
            used = self._target.cpu()
            busy = busy_seconds()
            self._last = (now, used if busy is None else used | {_ALL: busy})
            self._first = self._first or self._last

    def others(self, generator: float) -> float | None:
        """Cores that neither the system nor the generator used; None where the system's processes are not known."""
        cores = self.cores()
        everybody = cores.pop(_ALL, None)
        return None if everybody is None or not cores else max(0.0, everybody - sum(cores.values()) - generator)

    def cores(self) -> dict[str, float]:
        if self._first is None or self._last is None or self._first is self._last:
            return {}
        (since, before), (until, after) = self._first, self._last
        return {name: round((after[name] - before[name]) / (until - since), 3) for name in after if name in before}


class CpuMeter:
    """What connections and messages cost each process, beside what it uses anyway, by one of its counters."""

    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read
        self._moment, self._used = time.monotonic(), read()
        self.idle: dict[str, float] = {}
        """A second, while nothing is asked of it; known after `rest`."""
        self._from = float("inf")

    async def rest(self, seconds: float) -> dict[str, float]:
        """What each process has used so far, beside what it uses in so many seconds without any request."""
        since, before = self._moment, self._used
        self._note()
        came, now = self._moment - since, self._used
        await asyncio.sleep(seconds)
        rested, rest = self._read(), time.monotonic() - self._moment
        self.idle = {name: (rested[name] - now[name]) / rest for name in rested if name in now}
        return {name: now[name] - before[name] - self.idle[name] * came for name in self.idle if name in before}

    def count_from(self, moment: float) -> None:
        """Monotonic seconds; `look` again and again."""
        self._from = moment

    def look(self) -> None:
        if time.monotonic() >= self._from:
            self._note()
            self._from = float("inf")

    def spent(self) -> dict[str, float]:
        """What each process has used since then, beside what it uses without any request."""
        passed, used = time.monotonic() - self._moment, self._read()
        return {
            name: used[name] - self._used[name] - self.idle.get(name, 0.0) * passed
            for name in used
            if name in self._used
        }

    def _note(self) -> None:
        self._moment, self._used = time.monotonic(), self._read()


class CpuMeters:
    """All counters of the system's processes."""

    def __init__(self, target: MeasuredSystem) -> None:
        self._cpu = CpuMeter(target.cpu)
        traffic = [CpuMeter(target.received), CpuMeter(target.sent)]
        self._of_messages = dict(zip(("µs", "bytes read", "bytes written"), (self._cpu, *traffic), strict=True))
        self._of_logins = self._of_messages | {"KiB": CpuMeter(target.memory)}

    async def rest(self, seconds: float, logins: int) -> dict[str, float]:
        """What a login has cost, and the cores that are used without any request."""
        came = await asyncio.gather(*(meter.rest(seconds) for meter in self._of_logins.values()))
        figures = {f"idle cores of {name}": round(cores, 4) for name, cores in self._cpu.idle.items()}
        for unit, used in zip(self._of_logins, came, strict=True):
            figures |= _costs(f"{unit} of a login", used, logins, unit)
        return figures

    def count_from(self, moment: float) -> None:
        for meter in self._of_messages.values():
            meter.count_from(moment)

    def look(self) -> None:
        for meter in self._of_messages.values():
            meter.look()

    def spent(self, messages: int) -> dict[str, float]:
        """What a message has cost."""
        figures: dict[str, float] = {}
        for unit, meter in self._of_messages.items():
            figures |= _costs(f"{unit} of a message", meter.spent(), messages, unit)
        return figures


def _costs(what: str, used: Mapping[str, float], count: int, unit: str) -> dict[str, float]:
    scale = 1e6 if unit == "µs" else 1.0
    return {f"{what} in {name}": round(max(0.0, much) / count * scale, 3) for name, much in used.items() if count}


async def measured(
    scenario: str,
    jobs: Sequence[Job],
    target: MeasuredSystem,
    show: ProgressLine,
    options: Mapping[str, object],
    *,
    warm_up: float,
    seconds: float,
    offered: float = 0.0,
    rest: float = 0.0,
) -> Result:
    """With `rest`, it is told, too, what logins and messages cost beside what is used for so many seconds before
    anybody speaks. Raises BenchError, ClientError."""
    async with WorkerPool(jobs) as crew:
        connections = sum(len(job.seats) for job in jobs)
        show.print(f"{scenario}: {connections:,} connections in {len(jobs)} processes")
        meters = CpuMeters(target)
        await crew.connect()
        costs = await meters.rest(rest, connections) if rest else {}
        began = time.monotonic()
        watch = CpuSampler(target, began + warm_up, began + warm_up + seconds)
        meters.count_from(began + HEAD_START_SECONDS + warm_up)

        def look(progress: Progress) -> None:
            watch.look()
            meters.look()
            show.progress(scenario, (time.monotonic() - began) / (warm_up + seconds), progress)

        books = add_up(await crew.run(look))
        said = books.measures.get("acknowledgement")
        costs |= meters.spent(said.count) if rest and said else {}
    show.print(f"{scenario}: done")
    figures = rates(books, seconds)
    figures |= {f"cores of {name}": cores for name, cores in watch.cores().items() if name != _ALL}
    figures |= costs
    found = notes(books, seconds, offered, watch.others(sum(books.generator)))
    return result(scenario, options, figures, books, found)


def rates(books: RunTotals, seconds: float) -> dict[str, float]:
    return {f"{name}/s": round(count / seconds, 1) for name, count in books.counts.items() if count}


def result(
    scenario: str,
    options: Mapping[str, object],
    figures: dict[str, float],
    books: RunTotals,
    found: list[str],
    *,
    done: bool | None = None,
) -> Result:
    """The verdict: any fault fails a run, and so does one in which nothing was `done` (by default: measured)."""
    if done is None:
        done = any(measure.count for measure in books.measures.values())
    return Result(
        scenario, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", machine(), dict(options), figures, books.measures,
        books.faults, dict(books.refusals), books.generator, found if done else [*found, "nothing was measured"],
        passed=done and not books.faults.any(),
    )  # fmt: skip


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}, " + (
        f"Python {platform.python_version()}"
    )
