"""Conversations of connected users: in pairs across edges, or in one group."""

import secrets
from collections.abc import Sequence
from itertools import cycle, islice
from typing import NamedTuple

from bench.load.plan import Load, conversations
from bench.measurements.measured import measured
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.system.accounts import in_pairs, seated
from bench.system.system import MeasuredSystem


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
    return await _talk("pairs", target, show, options, in_pairs(options.people), load._replace(each=True))


async def group(target: MeasuredSystem, show: ProgressLine, options: ConversationOptions, load: Load) -> Result:
    """All users are in one chat. Raises BenchError, ClientError."""
    return await _talk("group", target, show, options, [range(options.people)], load)


async def _talk(
    name: str,
    target: MeasuredSystem,
    show: ProgressLine,
    options: ConversationOptions,
    groups: Sequence[range],
    load: Load,
) -> Result:
    dialects = list(islice(cycle(options.dialects), options.people))
    seats = await seated(target, show, dialects, groups)
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
