"""The soak drill: random faults happen under steady load for a long time.

No process may use more and more resources.
"""

import asyncio
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from local.data import RunningProcess, read_run
from shared.settings import Settings
from tests.drills.faults import Phase
from tests.drills.record_index import RecordIndex
from tests.drills.recorded_connection import Journal
from tests.drills.records import ResourcesSeen
from tests.support.cluster import Cluster

LOOK_SECONDS = 5.0
_EVERY_SECONDS = 15.0
_FROZEN_SECONDS = 4.0
_WARM_SHARE = 0.25
"""The share of the time in which caches fill."""
_LEAST_SHARE = 0.4
"""A process that ran for a smaller share of the time than this is not judged."""
_LEAST_SAMPLES = 8
_ROOM = {"memory_bytes": 12_000_000, "files": 24, "threads": 8, "tasks": 24}
"""Growth up to these amounts does not count.

It comes from heap fragments, connections that are being replaced, idle threads of pools, and requests in flight.
"""
_PAGES_BYTES = 250_000
"""The memory that each additional file of a service may use.

SQLite caches up to 500 KiB of pages for each connection, and a connection has two files.
"""
_WRITERS = 2
"""The search service has a writer for its index on disk and one for its index in memory.

Each fills its memory, and empties it when it is full.
"""
_open = build_opener(ProxyHandler({})).open


def phases(seconds: float, seed: int) -> list[Phase]:
    """Returns the phases of a soak. In each half, some services are not killed, so that each process can be judged at
    least once.

    edge-1 is never killed.
    """
    halves = [("auth", "session", "edge-2", "nats", "valkey"), ("message", "edge-2", "nats", "valkey")]
    chance = random.Random(seed)
    planned = []
    for names in halves:
        order = tuple(chance.sample(names, len(names)))
        planned += [
            Phase("kills", order, seconds * 0.4, _EVERY_SECONDS),
            Phase("frozen", ("message",), seconds * 0.1, _EVERY_SECONDS, freeze_seconds=_FROZEN_SECONDS),
        ]
    return planned


async def watch(cluster: Cluster, journal: Journal) -> None:
    """Records the resources of each process until the task is cancelled."""
    while True:
        run = await asyncio.to_thread(read_run, cluster.data)
        for process in run.processes if run else ():
            seen = await asyncio.to_thread(_look, process) if process.pid and process.ops else None
            if seen is not None:
                journal(seen)
        await asyncio.sleep(LOOK_SECONDS)


def _look(process: RunningProcess) -> ResourcesSeen | None:
    """Returns the resources that a process uses, or None if the process does not answer."""
    try:
        with _open(f"http://127.0.0.1:{process.ops}/metrics", timeout=2) as response:
            lines = response.read().decode().splitlines()
        threads = len(os.listdir(f"/proc/{process.pid}/task"))
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (URLError, OSError):
        return None
    values = {
        name: float(value) for name, _, value in (line.partition(" ") for line in lines) if name in _GAUGES.values()
    }
    return ResourcesSeen(
        time.monotonic(), process.name, process.pid,
        {"threads": float(threads), "memory_bytes": anonymous_bytes(status)}
        | {what: values[gauge] for what, gauge in _GAUGES.items()},
    )  # fmt: skip


def anonymous_bytes(status: str) -> float:
    """Returns the bytes of memory that a process has allocated, from its `/proc/PID/status`.

    The pages of mapped files, such as search's index, do not count, because the kernel takes them back.
    """
    return next(float(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:"))


_GAUGES = {"files": "process_open_fds", "tasks": "dragoman_loop_tasks"}


def flat(record_index: RecordIndex) -> Iterator[str]:
    """A process that has run long enough must not use more resources at its end than after it had warmed up."""
    series = record_index.resources
    times = [seen.at for samples in series.values() for seen in samples]
    if not times:
        yield "nobody looked at the processes"
        return
    whole = max(times) - min(times)
    for (name, _), samples in series.items():
        lived = samples[-1].at - samples[0].at
        warm = [seen.used for seen in samples if seen.at >= samples[0].at + _WARM_SHARE * lived]
        if lived < _LEAST_SHARE * whole or len(warm) < _LEAST_SAMPLES:
            continue
        grown = {what: _growth([used[what] for used in warm]) for what in _ROOM}
        for what, (before, after) in grown.items():
            room = _ROOM[what] + (_memory(name, grown) if what == "memory_bytes" else 0)
            if after - before > room:
                yield f"{what} of {name} grew from {before:.0f} to {after:.0f} in {lived:.0f} s"


def _growth(values: list[float]) -> tuple[float, float]:
    """Returns the median of the first quarter of the values, and the median of the last."""
    quarter = len(values) // 4
    return median(values[:quarter]), median(values[-quarter:])


def _memory(name: str, grown: dict[str, tuple[float, float]]) -> float:
    """Returns the bytes that SQLite may have cached for files that the process has opened since, and those of search's
    writers.

    An edge has no database.
    """
    before, after = grown["files"]
    pages = 0 if name.startswith("edge") else _PAGES_BYTES * max(after - before, 0)
    return pages + (_WRITERS * Settings().search.memory_bytes if name.startswith("search") else 0)
