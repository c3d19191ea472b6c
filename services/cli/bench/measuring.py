"""One measurement: the crew at work, live numbers, the processor time of the system meanwhile, the verdict."""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from services.cli.bench.crew import Crew
from services.cli.bench.job import Job, Progress
from services.cli.bench.judge import Books, add_up, remarks
from services.cli.bench.processes import busy_seconds
from services.cli.bench.result import Result
from services.cli.bench.show import Show
from services.cli.bench.target import Target

_ALL = "all"


class Stopwatch:
    """The processor time of the system's processes, and of all, from the first to the last look within a span."""

    def __init__(self, target: Target, start: float, end: float) -> None:
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


async def measured(
    scenario: str,
    jobs: Sequence[Job],
    target: Target,
    show: Show,
    options: Mapping[str, object],
    *,
    warm_up: float,
    seconds: float,
    offered: float = 0.0,
) -> Result:
    """Raises Trouble."""
    async with Crew(jobs) as crew:
        show.say(f"{scenario}: {sum(len(job.seats) for job in jobs):,} connections in {len(jobs)} processes")
        await crew.connect()
        began = time.monotonic()
        watch = Stopwatch(target, began + warm_up, began + warm_up + seconds)

        def look(progress: Progress) -> None:
            watch.look()
            show.progress(scenario, (time.monotonic() - began) / (warm_up + seconds), progress)

        books = add_up(await crew.run(look), seconds)
    show.say(f"{scenario}: done")
    figures = rates(books, seconds)
    figures |= {f"cores of {name}": cores for name, cores in watch.cores().items() if name != _ALL}
    found = remarks(books, seconds, offered, watch.others(sum(books.generator)))
    return result(scenario, options, figures, books, found)


def rates(books: Books, seconds: float) -> dict[str, float]:
    return {f"{name}/s": round(count / seconds, 1) for name, count in books.counts.items() if count}


def result(
    scenario: str,
    options: Mapping[str, object],
    figures: dict[str, float],
    books: Books,
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
