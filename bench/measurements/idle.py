"""Idle connections: memory of the edges for each."""

import secrets
import time
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import NamedTuple

from bench.load.message_tag import SIZE
from bench.load.plan import distribute
from bench.load.protocol import Job, Seat, Talk
from bench.load.worker_pool import WorkerPool
from bench.measurements.measured import result
from bench.report.progress import ProgressLine
from bench.report.result import Result, add_up, notes
from bench.system.accounts import Registrar
from bench.system.processes import memory_kib
from bench.system.system import MeasuredSystem


class IdleOptions(NamedTuple):
    """`connections` belong to `people` accounts, in turn."""

    connections: int
    people: int
    dialects: Sequence[str]
    processes: int
    at_once: int
    seconds: float


async def idle(target: MeasuredSystem, show: ProgressLine, options: IdleOptions) -> Result:
    """Measure it. Meaningful only on freshly started edges: allocators reuse freed memory. Raises BenchError,
    ClientError."""
    dialects = list(islice(cycle(options.dialects), options.people))
    users = list(zip(await Registrar(target.edges, show.step).users(dialects), dialects, strict=True))
    edges = cycle(target.edges)
    seats = [Seat(account, dialect, next(edges)) for account, dialect in islice(cycle(users), options.connections)]
    before = _memory(target)
    async with WorkerPool(_jobs(seats, options)) as pool:
        show.print(f"idle: {len(seats):,} connections")
        began = time.monotonic()
        await pool.connect()
        figures = {"connections": 1.0 * len(seats), "connections/s": len(seats) / (time.monotonic() - began)}
        figures |= _growth(before, _memory(target), len(seats))
        totals = add_up(await pool.run(lambda progress: show.progress("idle", 0.5, progress)))
        figures |= {f"{name}, later": value for name, value in _growth(before, _memory(target), len(seats)).items()}
    found = notes(totals, options.seconds)
    if not before:
        found.append("memory is unknown: give the --data directory of the system, on this machine")
    return result("idle", options._asdict(), figures, totals, found, done=True)


def _jobs(seats: Sequence[Seat], options: IdleOptions) -> list[Job]:
    seats_by_process = distribute(seats, options.processes)
    task = Talk(SIZE, 0.0, options.seconds)
    at_once = max(1, options.at_once // len(seats_by_process))
    return [
        Job(secrets.randbits(32), [seats[number] for number in indices], task, at_once=at_once)
        for indices in seats_by_process
    ]


def _memory(target: MeasuredSystem) -> dict[str, int]:
    """KiB of each readable edge process."""
    used = {one.name: memory_kib(one.pid) for one in target.processes if one.port}
    return {name: kib for name, kib in used.items() if kib is not None}


def _growth(before: Mapping[str, int], after: Mapping[str, int], connections: int) -> dict[str, float]:
    if not before or before.keys() != after.keys():
        return {}
    return {"KiB of edges per connection": round((sum(after.values()) - sum(before.values())) / connections, 2)}
