"""People who come and go: tokens (service, pipe), which cost a signature, or passwords (v2), which cost a hash."""

import secrets
from collections.abc import Sequence
from itertools import cycle, islice
from typing import NamedTuple

from bench.load.protocol import Job, LoginChurn, Seat
from bench.measurement.progress import ProgressLine
from bench.measurement.result import Result
from bench.measurement.run import measured
from bench.measurement.system import MeasuredSystem
from bench.population.participants import participants
from bench.population.plan import deal


class ConnectOptions(NamedTuple):
    """So many accounts, of these dialects in turn; `at_once` logins under way altogether, or `rate` a second."""

    people: int
    dialects: Sequence[str]
    processes: int
    at_once: int
    rate: float
    warm_up: float
    seconds: float


async def connect(target: MeasuredSystem, show: ProgressLine, comings: ConnectOptions) -> Result:
    """Raises BenchError, ClientError."""
    dialects = list(islice(cycle(comings.dialects), comings.people))
    crowd = await participants(target, show, dialects)
    seats = [
        Seat(person, dialect, target.edges[number % len(target.edges)])
        for number, (person, dialect) in enumerate(zip(crowd, dialects, strict=True))
    ]
    result = await measured(
        "connect", _jobs(seats, comings), target, show, comings._asdict(),
        warm_up=comings.warm_up, seconds=comings.seconds,
    )  # fmt: skip
    result.figures["logins/s of an edge"] = round(result.figures.get("logins/s", 0) / len(target.edges), 1)
    return result


def _jobs(seats: Sequence[Seat], comings: ConnectOptions) -> list[Job]:
    hands = deal(seats, comings.processes)
    run, share = secrets.randbits(32), 1 / len(hands)
    at_once = max(1, round(comings.at_once * share))
    task = LoginChurn(comings.warm_up, comings.seconds, at_once, comings.rate * share)
    return [Job(run, [seats[number] for number in hand], task) for hand in hands]
