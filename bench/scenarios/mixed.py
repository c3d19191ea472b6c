"""A realistic day: all dialects by their weights, groups whose sizes follow a power law, people who come and go."""

import random
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from bench.load.protocol import Job, Mixed, Seat
from bench.measurement.progress import ProgressLine
from bench.measurement.result import Result
from bench.measurement.run import measured
from bench.measurement.system import MeasuredSystem
from bench.population.accounts import Registrar
from bench.population.plan import Load, conversations

WEIGHTS = {"v2": 60, "pipe": 15, "service": 15, "v1": 7, "v0": 3}
_EXPONENT = 2.0
"""Of the sizes: most are small, a few hold nearly everybody."""


class MixedOptions(NamedTuple):
    """`rate` messages a second, altogether; each leaves so many times a minute, for `away` seconds on average."""

    people: int
    chats: int
    processes: int
    size: int
    rate: float
    leaves_per_minute: float
    away: float
    warm_up: float
    seconds: float


async def mixed(target: MeasuredSystem, show: ProgressLine, day: MixedOptions) -> Result:
    """Raises BenchError, ClientError."""
    generator = random.Random(day.people)  # noqa: S311 (no secret: the same day each time)
    dialects = population(generator, day.people)
    maker = Registrar(target.edges, show.step)
    both = list(zip(await maker.users(dialects), dialects, strict=True))
    groups = circles(generator, day.people, day.chats)
    chats = await maker.chats([[both[member] for member in group] for group in groups])
    seats = [
        Seat(person, dialect, target.edges[number % len(target.edges)], _chats_of(number, groups, chats))
        for number, (person, dialect) in enumerate(both)
    ]
    return await measured(
        "mixed", _jobs(seats, target, day), target, show, day._asdict(), warm_up=day.warm_up, seconds=day.seconds
    )  # fmt: skip


def population(generator: random.Random, people: int) -> list[str]:
    """The dialect of each; every dialect is there, if there is room for all."""
    drawn = generator.choices(list(WEIGHTS), list(WEIGHTS.values()), k=max(0, people - len(WEIGHTS)))
    return [*WEIGHTS, *drawn][:people]


def circles(generator: random.Random, people: int, chats: int) -> list[list[int]]:
    """The members of each chat. Sizes from 2 to all follow a power law; nobody is left alone."""
    sizes = [min(people, int(2 * generator.paretovariate(_EXPONENT - 1))) for _ in range(chats)]
    groups = [generator.sample(range(people), size) for size in sizes]
    alone = sorted(set(range(people)).difference(*groups))
    return [*groups, *([one, (one + 1) % people] for one in alone)]


def _chats_of(number: int, groups: Sequence[Sequence[int]], chats: Sequence[int]) -> list[int]:
    return [chat for chat, group in zip(chats, groups, strict=True) if number in group]


def _jobs(seats: Sequence[Seat], target: MeasuredSystem, day: MixedOptions) -> list[Job]:
    """As for people who only talk, but for what they do."""
    jobs = conversations(secrets.randbits(32), seats, range(len(seats)), day.processes, Load(day.size, 0, 0))
    for job in jobs:
        rate = day.rate * len(job.seats) / len(seats)
        job.task = Mixed(
            day.size, day.warm_up, day.seconds, rate, day.leaves_per_minute, day.away, list(target.edges)
        )  # fmt: skip
    return jobs
