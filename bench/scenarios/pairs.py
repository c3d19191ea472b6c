"""People who are connected and talk: in pairs across edges, or in one group."""

import secrets
from collections.abc import Sequence
from itertools import cycle, islice
from typing import NamedTuple

from bench.load.protocol import Seat
from bench.measurement.progress import ProgressLine
from bench.measurement.result import Result
from bench.measurement.run import measured
from bench.measurement.system import MeasuredSystem
from bench.population.accounts import Registrar
from bench.population.plan import Load, conversations


class ConversationOptions(NamedTuple):
    """How many people, of which dialects (in turn), and how many of them speak (0: all); in how many processes."""

    people: int
    dialects: Sequence[str]
    processes: int
    speakers: int = 0


async def pairs(target: MeasuredSystem, show: ProgressLine, crowd: ConversationOptions, load: Load) -> Result:
    """Each with a partner at another edge. Raises BenchError, ClientError."""
    dialects = list(islice(cycle(crowd.dialects), crowd.people))
    maker = Registrar(target.edges, show.step)
    people = await maker.users(dialects)
    both = list(zip(people, dialects, strict=True))
    chats = await maker.chats([both[first : first + 2] for first in range(0, len(both), 2)])
    seats = [
        Seat(person, dialect, target.edges[number % len(target.edges)], [chats[number // 2]])
        for number, (person, dialect) in enumerate(both)
    ]
    return await _talk("pairs", target, show, crowd, seats, load._replace(each=True))


async def group(target: MeasuredSystem, show: ProgressLine, crowd: ConversationOptions, load: Load) -> Result:
    """All in one chat. Raises BenchError, ClientError."""
    dialects = list(islice(cycle(crowd.dialects), crowd.people))
    maker = Registrar(target.edges, show.step)
    people = await maker.users(dialects)
    both = list(zip(people, dialects, strict=True))
    chats = await maker.chats([both])
    seats = [
        Seat(person, dialect, target.edges[number % len(target.edges)], chats)
        for number, (person, dialect) in enumerate(both)
    ]
    return await _talk("group", target, show, crowd, seats, load)


async def _talk(
    name: str, target: MeasuredSystem, show: ProgressLine, crowd: ConversationOptions, seats: Sequence[Seat], load: Load
) -> Result:
    speakers = range(min(crowd.speakers or len(seats), len(seats)))
    jobs = conversations(secrets.randbits(32), seats, speakers, crowd.processes, load)
    options = {**crowd._asdict(), **load._asdict(), "edges": len(target.edges)}
    return await measured(
        name, jobs, target, show, options, warm_up=load.warm_up, seconds=load.seconds, offered=load.rate
    )
