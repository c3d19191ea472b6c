"""Conversations of connected users: in pairs across edges, or in one group."""

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
    """`people` users of `dialects` in turn; `speakers` of them send (0: all). `rest`: seconds without messages before
    the measurement, for the cost of a message."""

    people: int
    dialects: Sequence[str]
    processes: int
    speakers: int = 0
    rest: float = 0.0


async def pairs(target: MeasuredSystem, show: ProgressLine, options: ConversationOptions, load: Load) -> Result:
    """Each user has a peer on another edge. Raises BenchError, ClientError."""
    dialects = list(islice(cycle(options.dialects), options.people))
    registrar = Registrar(target.edges, show.step)
    accounts = await registrar.users(dialects)
    users = list(zip(accounts, dialects, strict=True))
    chats = await registrar.chats([users[first : first + 2] for first in range(0, len(users), 2)])
    seats = [
        Seat(account, dialect, target.edges[number % len(target.edges)], [chats[number // 2]])
        for number, (account, dialect) in enumerate(users)
    ]
    return await _talk("pairs", target, show, options, seats, load._replace(each=True))


async def group(target: MeasuredSystem, show: ProgressLine, options: ConversationOptions, load: Load) -> Result:
    """All users are in one chat. Raises BenchError, ClientError."""
    dialects = list(islice(cycle(options.dialects), options.people))
    registrar = Registrar(target.edges, show.step)
    accounts = await registrar.users(dialects)
    users = list(zip(accounts, dialects, strict=True))
    chats = await registrar.chats([users])
    seats = [
        Seat(account, dialect, target.edges[number % len(target.edges)], chats)
        for number, (account, dialect) in enumerate(users)
    ]
    return await _talk("group", target, show, options, seats, load)


async def _talk(
    name: str,
    target: MeasuredSystem,
    show: ProgressLine,
    options: ConversationOptions,
    seats: Sequence[Seat],
    load: Load,
) -> Result:
    speakers = range(min(options.speakers or len(seats), len(seats)))
    jobs = conversations(secrets.randbits(32), seats, speakers, options.processes, load)
    result_options = {**options._asdict(), **load._asdict(), "edges": len(target.edges)}
    result = await measured(
        name, jobs, target, show, result_options, warm_up=load.warm_up, seconds=load.seconds, offered=load.rate,
        rest=options.rest,
    )  # fmt: skip
    if not load.rate:
        result.remarks.append(queueing_note(load.window * (len(speakers) if load.each else 1)))
    return result


def queueing_note(in_flight: int) -> str:
    """Of a closed loop, whose times show how much is in flight. Pure."""
    return (
        f"closed loop: {in_flight} messages are always in flight, so the times above are mostly queueing "
        f"({in_flight} / messages a second); `--rate` below the highest rate shows the time of a message"
    )
