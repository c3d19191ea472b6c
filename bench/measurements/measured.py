"""Runs one measurement. It starts the workers, shows the progress, samples the CPU time of the system, and makes the
result."""

import asyncio
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from bench.load.protocol import Job, Progress
from bench.load.worker_pool import HEAD_START_SECONDS, WorkerPool
from bench.report.progress import ProgressLine
from bench.report.result import Result, RunTotals, add_up, notes
from bench.system.processes import busy_seconds
from bench.system.system import MeasuredSystem

_ALL = "all"
OTHERS = "cores used by others"


class CpuSampler:
    """The CPU time of the system's processes and of the whole machine, between the first and the last sample of a
    period."""

    def __init__(self, target: MeasuredSystem, start: float, end: float) -> None:
        self._target = target
        self._start = start
        self._end = end
        self._first: tuple[float, Mapping[str, float]] | None = None
        self._last: tuple[float, Mapping[str, float]] | None = None

    def sample(self) -> None:
        now = time.monotonic()
        if self._start <= now <= self._end:
            used = self._target.cpu()
            busy = busy_seconds()
            self._last = (now, used if busy is None else used | {_ALL: busy})
            self._first = self._first or self._last

    def others(self, generator: float) -> float | None:
        """The number of cores that processes other than the system and the load generator use. None if the system's
        processes are unknown."""
        cores = self.cores()
        all_cores = cores.pop(_ALL, None)
        return None if all_cores is None or not cores else max(0.0, all_cores - sum(cores.values()) - generator)

    def cores(self) -> dict[str, float]:
        if self._first is None or self._last is None or self._first is self._last:
            return {}
        (since, before), (until, after) = self._first, self._last
        return {name: round((after[name] - before[name]) / (until - since), 3) for name in after if name in before}


class CpuMeter:
    """Measures how much logins and messages increase one counter of each process. The growth without load is
    subtracted."""

    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read
        self._moment, self._used = time.monotonic(), read()
        self.idle: dict[str, float] = {}
        """The growth of each process in a second without load. `rest` sets these values."""
        self._from = float("inf")

    async def rest(self, seconds: float) -> dict[str, float]:
        """Measure the growth without load for `seconds`. Returns the growth since the construction of this object,
        without this part."""
        since, before = self._moment, self._used
        self._note()
        came, now = self._moment - since, self._used
        await asyncio.sleep(seconds)
        rested, rest = self._read(), time.monotonic() - self._moment
        self.idle = {name: (rested[name] - now[name]) / rest for name in rested if name in now}
        return {name: now[name] - before[name] - self.idle[name] * came for name in self.idle if name in before}

    def count_from(self, moment: float) -> None:
        """Count from `moment` on (monotonic seconds). `sample` must be called regularly."""
        self._from = moment

    def sample(self) -> None:
        if time.monotonic() >= self._from:
            self._note()
            self._from = float("inf")

    def spent(self) -> dict[str, float]:
        """The growth of each process since `count_from`, without the growth that it has without load."""
        passed, used = time.monotonic() - self._moment, self._read()
        return {
            name: used[name] - self._used[name] - self.idle.get(name, 0.0) * passed
            for name in used
            if name in self._used
        }

    def _note(self) -> None:
        self._moment, self._used = time.monotonic(), self._read()


class CpuMeters:
    """One CpuMeter for each counter of the system's processes."""

    def __init__(self, target: MeasuredSystem) -> None:
        self._cpu = CpuMeter(target.cpu)
        traffic = [CpuMeter(target.received), CpuMeter(target.sent)]
        self._of_messages = dict(zip(("µs", "bytes read", "bytes written"), (self._cpu, *traffic), strict=True))
        self._batches = CpuMeter(target.batches)
        self._of_logins = self._of_messages | {"KiB": CpuMeter(target.memory)}

    async def rest(self, seconds: float, logins: int) -> dict[str, float]:
        """Return the costs of a login, and the cores that are used without any request."""
        came = await asyncio.gather(*(meter.rest(seconds) for meter in self._of_logins.values()))
        figures = {f"idle cores of {name}": round(cores, 4) for name, cores in self._cpu.idle.items()}
        for unit, used in zip(self._of_logins, came, strict=True):
            figures |= _costs(f"{unit} of a login", used, logins, unit)
        return figures

    def count_from(self, moment: float) -> None:
        for meter in self._all():
            meter.count_from(moment)

    def sample(self) -> None:
        for meter in self._all():
            meter.sample()

    def spent(self, messages: int) -> dict[str, float]:
        """The cost of a message, by unit and process."""
        figures: dict[str, float] = {}
        for unit, meter in self._of_messages.items():
            figures |= _costs(f"{unit} of a message", meter.spent(), messages, unit)
        batches = self._batches.spent()
        return figures | {f"{name} of a message": round(count / messages, 4) for name, count in batches.items()}

    def _all(self) -> list[CpuMeter]:
        return [*self._of_messages.values(), self._batches]


def _costs(what: str, used: Mapping[str, float], count: int, unit: str) -> dict[str, float]:
    scale = 1e6 if unit == "µs" else 1.0
    return {f"{what} in {name}": round(max(0.0, much) / count * scale, 3) for name, much in used.items() if count}


async def measured(
    measurement: str,
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
    """Run the jobs and return their result. If `rest` is not 0, there are `rest` seconds without load, and the result
    also has the cost of a login and of a message. Raises BenchError, ClientError."""
    async with WorkerPool(jobs) as pool:
        connections = sum(len(job.seats) for job in jobs)
        show.print(f"{measurement}: {connections:,} connections in {len(jobs)} processes")
        meters = CpuMeters(target)
        await pool.connect()
        costs = await meters.rest(rest, connections) if rest else {}
        began = time.monotonic()
        watch = CpuSampler(target, began + warm_up, began + warm_up + seconds)
        meters.count_from(began + HEAD_START_SECONDS + warm_up)

        def sample(progress: Progress) -> None:
            watch.sample()
            meters.sample()
            show.progress(measurement, (time.monotonic() - began) / (warm_up + seconds), progress)

        totals = add_up(await pool.run(sample))
        acknowledged = totals.measures.get("acknowledgement")
        costs |= meters.spent(acknowledged.count) if rest and acknowledged else {}
    show.print(f"{measurement}: done")
    figures = rates(totals, seconds)
    figures |= {f"cores of {name}": cores for name, cores in watch.cores().items() if name != _ALL}
    figures |= costs
    others = watch.others(sum(totals.generator))
    figures |= {} if others is None else {OTHERS: round(others, 3)}
    found = notes(totals, seconds, offered, others)
    return result(measurement, options, figures, totals, found)


def rates(totals: RunTotals, seconds: float) -> dict[str, float]:
    return {f"{name}/s": round(count / seconds, 1) for name, count in totals.counts.items() if count}


def result(
    measurement: str,
    options: Mapping[str, object],
    figures: dict[str, float],
    totals: RunTotals,
    found: list[str],
    *,
    done: bool | None = None,
) -> Result:
    """Make the result. A run fails if there is any fault, or if nothing was `done`. By default, this means that nothing
    was measured."""
    if done is None:
        done = any(measure.count for measure in totals.measures.values())
    return Result(
        measurement, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", machine(), dict(options), figures, totals.measures,
        totals.faults, dict(totals.rejections), totals.generator, found if done else [*found, "nothing was measured"],
        passed=done and not totals.faults.any(),
    )  # fmt: skip


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}, " + (
        f"Python {platform.python_version()}"
    )
