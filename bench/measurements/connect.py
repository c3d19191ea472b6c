"""Login churn: by token (service, pipe), which costs a signature, or by password (v2), which costs a hash."""

import secrets
from collections.abc import Sequence
from itertools import cycle, islice
from typing import NamedTuple

from bench.load.plan import distribute
from bench.load.protocol import Job, LoginChurn, Seat
from bench.measurements.measured import measured
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.system.accounts import participants
from bench.system.system import MeasuredSystem


class ConnectOptions(NamedTuple):
    """`people` accounts, of `dialects` in turn; `at_once` logins in flight in total, or `rate` logins a second."""

    people: int
    dialects: Sequence[str]
    processes: int
    at_once: int
    rate: float
    warm_up: float
    seconds: float


async def connect(target: MeasuredSystem, show: ProgressLine, options: ConnectOptions) -> Result:
    """Measure it. Raises BenchError, ClientError."""
    dialects = list(islice(cycle(options.dialects), options.people))
    accounts = await participants(target, show, dialects)
    seats = [
        Seat(account, dialect, target.edges[number % len(target.edges)])
        for number, (account, dialect) in enumerate(zip(accounts, dialects, strict=True))
    ]
    result = await measured(
        "connect", _jobs(seats, options), target, show, options._asdict(),
        warm_up=options.warm_up, seconds=options.seconds,
    )  # fmt: skip
    result.figures["logins/s of an edge"] = round(result.figures.get("logins/s", 0) / len(target.edges), 1)
    return result


def _jobs(seats: Sequence[Seat], options: ConnectOptions) -> list[Job]:
    seats_by_process = distribute(seats, options.processes)
    run, share = secrets.randbits(32), 1 / len(seats_by_process)
    at_once = max(1, round(options.at_once * share))
    task = LoginChurn(options.warm_up, options.seconds, at_once, options.rate * share)
    return [Job(run, [seats[number] for number in indices], task) for indices in seats_by_process]
