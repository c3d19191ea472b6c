"""Invariants besides the delivery contract while processes are started and ended in order: users are served all the
time, and an edge that ends tells its clients to reconnect. Pure functions of the records."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from tests.drills.indexed_trial import IndexedTrial

GRACE_SECONDS = 20.0
"""A process ends within this time after SIGTERM: `edge.drain_seconds`, and ten."""
_ORDERLY = (1000, 1012)
"""Close codes: closed by the client, and the edge's request to reconnect elsewhere."""
_NOTICING_SECONDS = 1.0
"""A client may notice this late that its connection was closed."""


class Attempt(NamedTuple):
    """An attempt to log in or to send a message. `answered`: time of the reply, None if it failed."""

    at: float
    answered: float | None


class Wait(NamedTuple):
    """Seconds without service, from `at` on."""

    seconds: float
    at: float


def served(trial_index: IndexedTrial, bound: float) -> Iterator[str]:
    """No device is without service for longer than `bound` seconds."""
    for device, wait in longest_waits(trial_index).items():
        if wait.seconds > bound:
            yield f"{device} was without service for {wait.seconds:.1f} s from {wait.at:.2f} on"


def drained(trial_index: IndexedTrial) -> Iterator[str]:
    """A process that gets SIGTERM ends in time and with status 0, and closes its connections in order."""
    for target, ended_at in _end_requests(trial_index).items():
        ended = trial_index.ended.get(target)
        if ended is None or ended.status or ended.at - ended_at > GRACE_SECONDS:
            how = "not at all" if ended is None else f"with status {ended.status} after {ended.at - ended_at:.1f} s"
            yield f"{target} got SIGTERM, and ended {how}"
        for connection, opened in trial_index.connections.items():
            if opened.edge != target or trial_index.end_of(connection) < ended_at:
                continue
            closed = trial_index.closed.get(connection)
            if closed is None or (ended and closed.at > ended.at + _NOTICING_SECONDS):
                yield f"connection {connection} outlived {target}, where it was"
            elif closed.code not in _ORDERLY:
                yield f"connection {connection} was closed with {closed.code} when {target} ended"


def longest_waits(trial_index: IndexedTrial) -> dict[str, Wait]:
    """By device: the longest time from an attempt until it, or a later one, was served."""
    return {device: max(_waits(attempts, trial_index.end)) for device, attempts in _attempts(trial_index).items()}


def figures(trial_index: IndexedTrial) -> dict[str, Any]:
    waits = [wait.seconds for wait in longest_waits(trial_index).values()]
    ends = [
        trial_index.ended[target].at - at
        for target, at in _end_requests(trial_index).items()
        if target in trial_index.ended
    ]
    return {
        "sent_elsewhere": sum(1 for closed in trial_index.closed.values() if closed.code == 1012),
        "longest_wait_p50_seconds": round(median(waits), 2) if waits else 0.0,
        "longest_wait_max_seconds": round(max(waits, default=0.0), 2),
        "longest_end_seconds": round(max(ends, default=0.0), 2),
    }


def _end_requests(trial_index: IndexedTrial) -> dict[str, float]:
    return {fault.target: fault.at for fault in trial_index.faults if fault.kind == "end"}


def _waits(attempts: list[Attempt], end: float) -> Iterator[Wait]:
    served_at = end
    for attempt in sorted(attempts, key=lambda attempt: attempt.at, reverse=True):
        if attempt.answered is None:
            yield Wait(served_at - attempt.at, attempt.at)
        else:
            yield Wait(attempt.answered - attempt.at, attempt.at)
            served_at = min(served_at, attempt.answered)


def _attempts(trial_index: IndexedTrial) -> dict[str, list[Attempt]]:
    """By device. Messages that are unanswered because the device itself closed the connection do not count."""
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for text, sent in trial_index.sent.items():
        device = trial_index.connections[sent.connection].device
        if text in trial_index.acked:
            attempts[device].append(Attempt(sent.at, trial_index.acked[text][0].at))
        elif text in trial_index.rejected or not _left(trial_index, sent.connection):
            attempts[device].append(Attempt(sent.at, None))
    for device, logins in _logins(trial_index).items():
        attempts[device] += logins
    return attempts


def _left(trial_index: IndexedTrial, connection: int) -> bool:
    closed = trial_index.closed.get(connection)
    return closed is None or closed.code == 1000


def _logins(trial_index: IndexedTrial) -> dict[str, list[Attempt]]:
    opened: dict[str, list[float]] = defaultdict(list)
    for one in trial_index.connections.values():
        opened[one.device].append(one.at)
    tried: dict[str, list[float]] = defaultdict(list)
    for attempt in trial_index.tried:
        tried[attempt.device].append(attempt.at)
    return {
        device: [
            Attempt(at, next((login for login in opened[device] if at <= login <= until), None))
            for at, until in pairwise([*times, trial_index.end])
        ]
        for device, times in tried.items()
    }
