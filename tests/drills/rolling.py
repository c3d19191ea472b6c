"""What must hold, beside the contract of delivery, when processes come and go in order: people are served all the
time, and an edge that ends sends its clients elsewhere. Pure functions of what was written down."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from tests.drills.indexed_trial import Facts

GRACE_SECONDS = 20.0
"""A process ends within this time after SIGTERM: `edge.drain_seconds`, and ten."""
_ORDERLY = (1000, 1012)
"""Close codes: the client's own wish, and the edge's request to reconnect elsewhere."""
_NOTICING_SECONDS = 1.0
"""A client may notice so late that its connection was closed."""


class Attempt(NamedTuple):
    """To log in or to say something. `answered`: when it was, None if it failed."""

    at: float
    answered: float | None


class Wait(NamedTuple):
    """Without service, from `at` on."""

    seconds: float
    at: float


def served(facts: Facts, bound: float) -> Iterator[str]:
    """Nobody is without service for longer than so many seconds."""
    for device, wait in longest_waits(facts).items():
        if wait.seconds > bound:
            yield f"{device} was without service for {wait.seconds:.1f} s from {wait.at:.2f} on"


def drained(facts: Facts) -> Iterator[str]:
    """What is told to end does so in time and in order, and its clients are told."""
    for target, told_at in _told_to_end(facts).items():
        ended = facts.ended.get(target)
        if ended is None or ended.status or ended.at - told_at > GRACE_SECONDS:
            how = "not at all" if ended is None else f"with status {ended.status} after {ended.at - told_at:.1f} s"
            yield f"{target} was told to end, and did {how}"
        for connection, opened in facts.connections.items():
            if opened.edge != target or facts.end_of(connection) < told_at:
                continue
            closed = facts.closed.get(connection)
            if closed is None or (ended and closed.at > ended.at + _NOTICING_SECONDS):
                yield f"connection {connection} outlived {target}, where it was"
            elif closed.code not in _ORDERLY:
                yield f"connection {connection} was closed with {closed.code} when {target} ended"


def longest_waits(facts: Facts) -> dict[str, Wait]:
    """By device: the longest time from an attempt until it, or a later one, was served."""
    return {device: max(_waits(attempts, facts.end)) for device, attempts in _attempts(facts).items()}


def figures(facts: Facts) -> dict[str, Any]:
    waits = [wait.seconds for wait in longest_waits(facts).values()]
    ends = [facts.ended[target].at - at for target, at in _told_to_end(facts).items() if target in facts.ended]
    return {
        "sent_elsewhere": sum(1 for closed in facts.closed.values() if closed.code == 1012),
        "longest_wait_p50_seconds": round(median(waits), 2) if waits else 0.0,
        "longest_wait_max_seconds": round(max(waits, default=0.0), 2),
        "longest_end_seconds": round(max(ends, default=0.0), 2),
    }


def _told_to_end(facts: Facts) -> dict[str, float]:
    return {fault.target: fault.at for fault in facts.faults if fault.kind == "end"}


def _waits(attempts: list[Attempt], end: float) -> Iterator[Wait]:
    served_at = end
    for attempt in sorted(attempts, key=lambda attempt: attempt.at, reverse=True):
        if attempt.answered is None:
            yield Wait(served_at - attempt.at, attempt.at)
        else:
            yield Wait(attempt.answered - attempt.at, attempt.at)
            served_at = min(served_at, attempt.answered)


def _attempts(facts: Facts) -> dict[str, list[Attempt]]:
    """By device. What was said when the device itself closed the connection is nobody's failure."""
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for text, said in facts.said.items():
        device = facts.connections[said.connection].device
        if text in facts.acked:
            attempts[device].append(Attempt(said.at, facts.acked[text][0].at))
        elif text in facts.denied or not _left(facts, said.connection):
            attempts[device].append(Attempt(said.at, None))
    for device, logins in _logins(facts).items():
        attempts[device] += logins
    return attempts


def _left(facts: Facts, connection: int) -> bool:
    closed = facts.closed.get(connection)
    return closed is None or closed.code == 1000


def _logins(facts: Facts) -> dict[str, list[Attempt]]:
    opened: dict[str, list[float]] = defaultdict(list)
    for one in facts.connections.values():
        opened[one.device].append(one.at)
    tried: dict[str, list[float]] = defaultdict(list)
    for attempt in facts.tried:
        tried[attempt.device].append(attempt.at)
    return {
        device: [
            Attempt(at, next((login for login in opened[device] if at <= login <= until), None))
            for at, until in pairwise([*times, facts.end])
        ]
        for device, times in tried.items()
    }
