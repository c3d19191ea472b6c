"""People who are connected and do nothing: the memory that each costs."""

import secrets
import time
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import NamedTuple

from bench.load.message_tag import SIZE
from bench.load.protocol import Job, Seat, Talk
from bench.load.worker_pool import WorkerPool
from bench.measurement.processes import memory_kib
from bench.measurement.progress import ProgressLine
from bench.measurement.result import Result
from bench.measurement.run import result
from bench.measurement.system import MeasuredSystem
from bench.measurement.verdict import add_up, notes
from bench.population.accounts import Registrar
from bench.population.plan import deal


class IdleOptions(NamedTuple):
    """`connections` are devices of so many people, in turn."""

    connections: int
    people: int
    dialects: Sequence[str]
    processes: int
    at_once: int
    seconds: float


async def idle(target: MeasuredSystem, show: ProgressLine, sitters: IdleOptions) -> Result:
    """Meaningful on edges that have just been started: memory that was used before is not asked for again. Raises
    BenchError, ClientError."""
    dialects = list(islice(cycle(sitters.dialects), sitters.people))
    people = list(zip(await Registrar(target.edges, show.step).users(dialects), dialects, strict=True))
    edges = cycle(target.edges)
    seats = [Seat(person, dialect, next(edges)) for person, dialect in islice(cycle(people), sitters.connections)]
    before = _memory(target)
    async with WorkerPool(_jobs(seats, sitters)) as crew:
        show.print(f"idle: {len(seats):,} connections")
        began = time.monotonic()
        await crew.connect()
        figures = {"connections": 1.0 * len(seats), "connections/s": len(seats) / (time.monotonic() - began)}
        figures |= _growth(before, _memory(target), len(seats))
        books = add_up(await crew.run(lambda progress: show.progress("idle", 0.5, progress)))
        figures |= {f"{name}, later": value for name, value in _growth(before, _memory(target), len(seats)).items()}
    found = notes(books, sitters.seconds)
    if not before:
        found.append("memory is not known: give the --data directory of the system, on this machine")
    return result("idle", sitters._asdict(), figures, books, found, done=True)


def _jobs(seats: Sequence[Seat], sitters: IdleOptions) -> list[Job]:
    hands = deal(seats, sitters.processes)
    task = Talk(SIZE, 0.0, sitters.seconds)
    at_once = max(1, sitters.at_once // len(hands))
    return [Job(secrets.randbits(32), [seats[number] for number in hand], task, at_once=at_once) for hand in hands]


def _memory(target: MeasuredSystem) -> dict[str, int]:
    """KiB of each edge; none where they cannot be seen."""
    used = {one.name: memory_kib(one.pid) for one in target.processes if one.port}
    return {name: kib for name, kib in used.items() if kib is not None}


def _growth(before: Mapping[str, int], after: Mapping[str, int], connections: int) -> dict[str, float]:
    if not before or before.keys() != after.keys():
        return {}
    return {"KiB of edges per connection": round((sum(after.values()) - sum(before.values())) / connections, 2)}
