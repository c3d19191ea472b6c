"""A realistic mix: weighted dialects, groups with power-law sizes, users that disconnect and reconnect."""

import random
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from bench.load.plan import Load, conversations
from bench.load.protocol import Job, Mixed, Seat
from bench.measurements.measured import measured
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.system.accounts import seated
from bench.system.system import MeasuredSystem

WEIGHTS = {"v2": 45, "native": 15, "pipe": 15, "service": 15, "v1": 7, "v0": 3}
_EXPONENT = 2.0
"""Exponent of the group sizes: most groups are small, a few hold nearly all users."""


class MixedOptions(NamedTuple):
    """`rate` messages a second in total. Users disconnect `leaves_per_minute` times, for `away` seconds on average."""

    people: int
    chats: int
    processes: int
    size: int
    rate: float
    leaves_per_minute: float
    away: float
    warm_up: float
    seconds: float


async def mixed(target: MeasuredSystem, show: ProgressLine, options: MixedOptions) -> Result:
    """Measure it. Raises BenchError, ClientError."""
    generator = random.Random(options.people)  # noqa: S311 (no secret: the same mix each time)
    dialects = drawn_dialects(generator, options.people)
    seats = await seated(target, show, dialects, chat_members(generator, options.people, options.chats))
    return await measured(
        "mixed", _jobs(seats, target, options), target, show, options._asdict(),
        warm_up=options.warm_up, seconds=options.seconds,
    )  # fmt: skip


def drawn_dialects(generator: random.Random, users: int) -> list[str]:
    """The dialect of each user; every dialect is used if there are enough users."""
    drawn = generator.choices(list(WEIGHTS), list(WEIGHTS.values()), k=max(0, users - len(WEIGHTS)))
    return [*WEIGHTS, *drawn][:users]


def chat_members(generator: random.Random, users: int, chats: int) -> list[list[int]]:
    """The members of each chat. Sizes from 2 to all users follow a power law; every user is in a chat."""
    sizes = [min(users, int(2 * generator.paretovariate(_EXPONENT - 1))) for _ in range(chats)]
    groups = [generator.sample(range(users), size) for size in sizes]
    alone = sorted(set(range(users)).difference(*groups))
    return [*groups, *([one, (one + 1) % users] for one in alone)]


def _jobs(seats: Sequence[Seat], target: MeasuredSystem, options: MixedOptions) -> list[Job]:
    """The jobs of conversations, with the task Mixed."""
    jobs = conversations(secrets.randbits(32), seats, range(len(seats)), options.processes, Load(options.size, 0, 0))
    for job in jobs:
        rate = options.rate * len(job.seats) / len(seats)
        job.task = Mixed(
            options.size, options.warm_up, options.seconds, rate, options.leaves_per_minute, options.away,
            list(target.edges),
        )  # fmt: skip
    return jobs
