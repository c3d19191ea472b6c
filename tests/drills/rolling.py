"""Invariants for drills in which processes start and end in order. They are checked besides the delivery contract.

Users are served all the time, and an edge that ends tells its clients to reconnect. This module does no I/O.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple, TypeVar

from tests.drills.record_index import RecordIndex
from tests.drills.records import MessageSent, ReadinessChanged

K = TypeVar("K")

GRACE_SECONDS = 20.0
"""The longest time until a process ends after SIGTERM: `edge.drain_seconds` and ten seconds more."""
_ORDERLY = (1000, 1012)
"""The close codes of an orderly end.

With 1000 the client has closed; with 1012 the edge asks the client to reconnect elsewhere.
"""
_NOTICING_SECONDS = 1.0
"""A client may notice up to this many seconds later that its connection was closed."""


class Attempt(NamedTuple):
    """An attempt to log in or to send a message.

    `answered` is the time of the reply, or None if the attempt failed. `edge` is the edge to which the message was
    sent.
    """

    at: float
    answered: float | None
    edge: str = ""


class Wait(NamedTuple):
    """A time without service of so many seconds, which began at `at`."""

    seconds: float
    at: float


def served(record_index: RecordIndex, bound: float) -> Iterator[str]:
    """No device is without service for longer than `bound` seconds, except during outages of its edge."""
    for device, wait in longest_waits(record_index).items():
        if wait.seconds > bound:
            yield f"{device} was without service for {wait.seconds:.1f} s from {wait.at:.2f} on"


def chats_served(record_index: RecordIndex, bound: float) -> Iterator[str]:
    """No chat is without service for longer than `bound` seconds, except during outages of its senders' edges."""
    for chat, waits in _chat_waits(record_index).items():
        if (wait := max(waits)).seconds > bound:
            yield f"chat {chat} was without service for {wait.seconds:.1f} s from {wait.at:.2f} on"


def drained(record_index: RecordIndex) -> Iterator[str]:
    """A process that gets SIGTERM ends in time and with status 0, and closes its connections with a close frame."""
    for target, ended_at in _end_requests(record_index).items():
        ended = record_index.ended.get(target)
        if ended is None or ended.status or ended.at - ended_at > GRACE_SECONDS:
            how = "not at all" if ended is None else f"with status {ended.status} after {ended.at - ended_at:.1f} s"
            yield f"{target} got SIGTERM, and ended {how}"
        for connection, opened in record_index.connections.items():
            if opened.edge != target or record_index.end_of(connection) < ended_at:
                continue
            closed = record_index.closed.get(connection)
            if closed is None or (ended and closed.at > ended.at + _NOTICING_SECONDS):
                yield f"connection {connection} outlived {target}, where it was"
            elif closed.code not in _ORDERLY:
                yield f"connection {connection} was closed with {closed.code} when {target} ended"


def readiness_shown(
    record_index: RecordIndex, required: Mapping[str, Collection[str]], noticing: float, bound: float
) -> Iterator[str]:
    """A process shows whether it is ready. `required` are, for each target of an outage, the services that cannot work
    during it.

    A process of these services is unready when the outage has lasted `noticing` seconds. It is ready `bound` seconds
    after the outage, unless the next outage has begun.
    """
    for healed in record_index.healed:
        until = min([healed.at + bound, *(one.began for one in record_index.healed if one.began > healed.at)])
        for process, changes in record_index.readiness.items():
            if process.rpartition("-")[0] not in required.get(healed.target, ()):
                continue
            if healed.at - healed.began > noticing and _was_ready(changes, healed.began + noticing):
                yield f"{process} was ready {noticing:g} s after the outage of {healed.target} began"
            if until == healed.at + bound < record_index.end and not _was_ready(changes, until):
                yield f"{process} was not ready {bound:g} s after the outage of {healed.target}"


def silence_noticed(record_index: RecordIndex, within: float) -> Iterator[str]:
    """All packets of an edge's clients are lost.

    After `within` seconds, presence must name none of these clients on this edge.
    """
    for healed in record_index.healed:
        for edge in healed.unserved if healed.target.endswith("~clients") else ():
            seen = [one for one in record_index.presence_seen[edge] if one.at <= healed.at]
            if healed.at - healed.began < within or not seen:
                yield f"nobody looked for the silent clients of {edge} after {within:g} s"
                continue
            for one, until in zip(seen, [*(later.at for later in seen[1:]), healed.at], strict=True):
                if until > healed.began + within and one.accounts:
                    yield f"presence named {sorted(one.accounts)} on {edge} for {until - healed.began:.1f} s"


def longest_waits(record_index: RecordIndex) -> dict[str, Wait]:
    """Returns the longest wait of each device: the time from an attempt until this attempt, or a later one, succeeded.

    The time of an outage is subtracted if the attempt was made on an edge that had to be without service. It is also
    subtracted if all edges had to be.
    """
    return {device: max(waits) for device, waits in _device_waits(record_index).items()}


def longest_wait(record_index: RecordIndex, began: float, ended: float) -> float:
    """Returns the seconds of the longest wait of any device that began in this interval."""
    return _longest(_device_waits(record_index), began, ended)


def phase_figures(record_index: RecordIndex) -> dict[str, float]:
    """Returns, for each phase, the longest waits of any chat and of any device that began in it."""
    devices, chats, found = _device_waits(record_index), _chat_waits(record_index), dict[str, float]()
    ends = [one.at for one in record_index.phases[1:]] + [record_index.end]
    for began, ended in zip(record_index.phases, ends, strict=True):
        found[f"{began.phase}_chat_wait_seconds"] = round(_longest(chats, began.at, ended), 2)
        found[f"{began.phase}_device_wait_seconds"] = round(_longest(devices, began.at, ended), 2)
    return found


def figures(record_index: RecordIndex) -> dict[str, Any]:
    waits = [wait.seconds for wait in longest_waits(record_index).values()]
    ends = [
        record_index.ended[target].at - at
        for target, at in _end_requests(record_index).items()
        if target in record_index.ended
    ]
    return {
        "sent_elsewhere": sum(1 for closed in record_index.closed.values() if closed.code == 1012),
        "longest_wait_p50_seconds": round(median(waits), 2) if waits else 0.0,
        "longest_wait_max_seconds": round(max(waits, default=0.0), 2),
        "longest_end_seconds": round(max(ends, default=0.0), 2),
    }


def _was_ready(changes: list[ReadinessChanged], at: float) -> bool:
    before = [change.ready for change in changes if change.at <= at]
    return bool(before) and before[-1]


def _end_requests(record_index: RecordIndex) -> dict[str, float]:
    return {fault.target: fault.at for fault in record_index.faults if fault.kind == "end"}


def _longest(waits: Mapping[Any, list[Wait]], began: float, ended: float) -> float:
    """Returns the seconds of the longest wait that began in this interval."""
    return max((wait.seconds for own in waits.values() for wait in own if began <= wait.at < ended), default=0.0)


def _device_waits(record_index: RecordIndex) -> dict[str, list[Wait]]:
    return _waits_of(_attempts(record_index), record_index)


def _chat_waits(record_index: RecordIndex) -> dict[int, list[Wait]]:
    """Returns the waits of each chat: the time from each message until it, or a later message of any member, was
    acknowledged.

    If a message failed, the time until the next message also counts.
    """
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    for sent, attempt in _messages(record_index):
        if record_index.connections[sent.connection].account not in record_index.deleted:
            attempts[sent.chat].append(attempt)
    return _waits_of(attempts, record_index)


def _waits_of(attempts: Mapping[K, list[Attempt]], record_index: RecordIndex) -> dict[K, list[Wait]]:
    edges = {opened.edge for opened in record_index.connections.values()}
    return {key: list(_waits(own, record_index, edges)) for key, own in attempts.items()}


def _waits(attempts: list[Attempt], record_index: RecordIndex, edges: set[str]) -> Iterator[Wait]:
    served_at = record_index.end
    for attempt in sorted(attempts, key=lambda attempt: attempt.at, reverse=True):
        until = served_at if attempt.answered is None else attempt.answered
        excused = sum(
            max(0.0, min(until, healed.at) - max(attempt.at, healed.began))
            for healed in record_index.healed
            if attempt.edge in healed.unserved or edges <= healed.unserved
        )
        yield Wait(until - attempt.at - excused, attempt.at)
        served_at = min(served_at, until)


def _attempts(record_index: RecordIndex) -> dict[str, list[Attempt]]:
    """Returns the attempts of each device, without the devices of deleted accounts."""
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for sent, attempt in _messages(record_index):
        attempts[record_index.connections[sent.connection].device].append(attempt)
    for device, logins in _logins(record_index).items():
        attempts[device] += logins
    for opened in record_index.connections.values():
        if opened.account in record_index.deleted:
            attempts.pop(opened.device, None)
    return attempts


def _messages(record_index: RecordIndex) -> Iterator[tuple[MessageSent, Attempt]]:
    """Yields all messages. Omits a message without a reply if the device itself closed the connection."""
    for text, sent in record_index.sent.items():
        edge = record_index.connections[sent.connection].edge
        if text in record_index.acked:
            yield sent, Attempt(sent.at, record_index.acked[text][0].at, edge)
        elif text in record_index.rejected or not _left(record_index, sent.connection):
            yield sent, Attempt(sent.at, None, edge)


def _left(record_index: RecordIndex, connection: int) -> bool:
    closed = record_index.closed.get(connection)
    return closed is None or closed.code == 1000


def _logins(record_index: RecordIndex) -> dict[str, list[Attempt]]:
    opened: dict[str, list[float]] = defaultdict(list)
    for one in record_index.connections.values():
        opened[one.device].append(one.at)
    tried: dict[str, list[float]] = defaultdict(list)
    for attempt in record_index.tried:
        tried[attempt.device].append(attempt.at)
    return {
        device: [
            Attempt(at, next((login for login in opened[device] if at <= login <= until), None))
            for at, until in pairwise([*times, record_index.end])
        ]
        for device, times in tried.items()
    }
