"""Checks the delivery contract against the clients' records and the final history. This module does no I/O.

The invariants are those of docs/understand/delivery.md. Each invariant is a function that yields violations, and
`check` runs all of them. If there is too little evidence, the result is inconclusive.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from tests.drills.evidence import RequiredEvidence, doubts
from tests.drills.kept_changes import kept, numbered
from tests.drills.record_index import RecordIndex
from tests.drills.records import ChatAnnounced, DrillRecords, MessageReceived
from tests.drills.unread import counted

ANSWER_SECONDS = 12.0
"""The longest time until a request is answered, at least by an error, if its connection stays open."""
LATE_ECHO_SECONDS = 9.0
"""A sender's own message waits behind missed messages for at most this time. Then its echo is sent before them."""
_BATCH_SECONDS = 1.0
"""The time in which the edge sends the other echoes of a batch, after the first echo of this batch has waited too long.
"""
CONFIRM_SECONDS = 15.0
"""If a message arrives, and its edge is killed later than this after that, the message is confirmed and is not
delivered again.
"""
PONG_SECONDS = 3.0
"""If the proxy is not slow, the edge sends a ping within this time after a message, and the client answers it.

So the message is confirmed if the client leaves later.
"""


Invariant = Callable[[RecordIndex], Iterable[str]]


class DeliveryViolation(NamedTuple):
    invariant: str
    text: str


@dataclass(frozen=True)
class CheckResult:
    """The result of the check. `doubts` are reasons why nothing counts as passed although nothing has failed.

    `excused` are messages that were delivered twice because the edge could not know of the first delivery. `invariants`
    are the names of all checked invariants.
    """

    violations: list[DeliveryViolation]
    doubts: list[str]
    excused: int
    invariants: Sequence[str]

    @property
    def exit_status(self) -> int:
        """Returns 0 for passed, 1 for failed, and 2 for inconclusive."""
        return 1 if self.violations else 2 if self.doubts else 0


def check(
    recorded: DrillRecords, required_evidence: RequiredEvidence, more: Mapping[str, Invariant] | None = None
) -> CheckResult:
    """Checks the records of a drill against the invariants of delivery, and against the invariants `more`."""
    record_index, invariants = RecordIndex(recorded), {**INVARIANTS, **(more or {})}
    found = [
        DeliveryViolation(name, text) for name, invariant in invariants.items() for text in invariant(record_index)
    ]
    excused = sum(1 for first, again in repetitions(record_index) if excusable(record_index, first, again))
    return CheckResult(found, doubts(record_index, required_evidence), excused, list(invariants))


def durable(record_index: RecordIndex) -> Iterator[str]:
    """An acknowledged message is once in the history, as it was acknowledged.

    A rejected message is not in the history.
    """
    for text, sent in record_index.sent.items():
        stored = record_index.stored.get(text, [])
        if len(stored) > 1:
            yield f"{text} is {len(stored)} times in the history"
        for ack in record_index.acked.get(text, ()):
            if not stored and sent.chat not in record_index.unread:
                yield f"{text} was acknowledged and is not in the history"
            elif stored and (stored[0].chat, stored[0].entry.msg_id) != (sent.chat, ack.msg_id):
                yield f"{text} was acknowledged as {ack.msg_id} in {sent.chat}, stored as {stored[0]}"
        rejected = record_index.rejected.get(text)
        if rejected and not rejected.unknown and stored:
            yield f"{text} was rejected ({rejected.details}) and is in the history"


def delivered(record_index: RecordIndex) -> Iterator[str]:
    """Every member except the sender got every message of the history, on at least one device."""
    for chat, entries in record_index.recorded.history.items():
        for account in (
            record_index.recorded.members[chat] - record_index.recorded.sleepers - record_index.deleted.keys()
        ):
            received = record_index.received_by_account[account]
            for entry in entries:
                if entry.msg_id not in received and record_index.must_receive(account, chat, entry):
                    state = record_index.state(entry.text)
                    yield f"account {account} never got {entry.text} ({chat}/{entry.index}, {state})"


def once(record_index: RecordIndex) -> Iterator[str]:
    """No device got a message twice, unless the edge could not know of the first delivery."""
    for first, again in repetitions(record_index):
        if not excusable(record_index, first, again):
            opened = record_index.connections[first.connection]
            yield (
                f"{opened.device} twice: at {first.at:.2f} on connection {first.connection} to {opened.edge}, "
                f"{_end(record_index, first.connection)}; at {again.at:.2f} on {again.connection}: {again.text}"
            )


def _end(record_index: RecordIndex, connection: int) -> str:
    closed = record_index.closed.get(connection)
    return "still open" if closed is None else f"closed at {closed.at:.2f} with {closed.code}"


def ordered(record_index: RecordIndex) -> Iterator[str]:
    """On a connection, the indexes of the messages of a chat grow.

    One exception is an echo of the sender's own message that has waited too long. With it, the edge sends the echoes of
    the other messages of the same batch.
    """
    for connection, received in record_index.received_on.items():
        highest: dict[int, int] = {}
        late: dict[int, float] = {}
        for one in received:
            where = record_index.place.get(one.msg_id)
            if where is None or where.chat != one.chat:
                continue
            waited = _waited_for_echo(record_index, one)
            if waited > LATE_ECHO_SECONDS:
                late[one.chat] = one.at
            if waited > 0 and one.at - late.get(one.chat, -math.inf) < _BATCH_SECONDS:
                continue
            before = highest.get(one.chat, 0)
            if where.entry.index < before:
                yield f"connection {connection} got {one.chat}/{where.entry.index} after {before}: {one.text}"
            highest[one.chat] = max(before, where.entry.index)


def _waited_for_echo(record_index: RecordIndex, one: MessageReceived) -> float:
    """Returns the seconds since the message was sent on the same connection, or 0 for a message of another user."""
    sent = record_index.sent.get(one.text)
    return one.at - sent.at if sent is not None and sent.connection == one.connection else 0.0


def in_turn(record_index: RecordIndex) -> Iterator[str]:
    """A sender's messages keep their order.

    This holds for messages of one connection, and for a message that is sent after another one was acknowledged.
    """
    for (_, chat), sent_and_acked in record_index.sent_and_acked.items():
        settled = 0
        latest: dict[int, int] = {}
        for sent, is_ack in sent_and_acked:
            index = record_index.index_of(sent.text)
            if index is None:
                continue
            if is_ack:
                settled = max(settled, index)
                continue
            before = max(settled, latest.get(sent.connection, 0))
            if index < before:
                yield f"{sent.text} has index {chat}/{index}, an earlier message of its sender has {before}"
            latest[sent.connection] = max(index, latest.get(sent.connection, 0))


def dense(record_index: RecordIndex) -> Iterator[str]:
    """The indexes of a chat are 1, 2, 3 …; the times of its messages grow; each message id is used once."""
    for chat, entries in record_index.recorded.history.items():
        if [entry.index for entry in entries] != list(range(1, len(entries) + 1)):
            yield f"the indexes of chat {chat} are not 1 to {len(entries)}"
        for earlier, later in pairwise(entries):
            if later.time <= earlier.time:
                yield f"{chat}/{later.index} is not later than {chat}/{earlier.index}"
    uses = Counter(entry.msg_id for entries in record_index.recorded.history.values() for entry in entries)
    yield from (f"message id {msg_id} is used {count} times" for msg_id, count in uses.items() if count > 1)


def private(record_index: RecordIndex) -> Iterator[str]:
    """No account outside a chat gets any of its messages."""
    events: list[MessageReceived | ChatAnnounced] = [*record_index.received, *record_index.announced]
    for event in events:
        account = record_index.connections[event.connection].account
        if account not in record_index.recorded.members.get(event.chat, ()):
            yield f"account {account} is no member of chat {event.chat} and got {event}"


def genuine(record_index: RecordIndex) -> Iterator[str]:
    """Each stored message was sent, and each received message is stored, with the same text."""
    for text, places in record_index.stored.items():
        sent = record_index.sent.get(text)
        for place in places:
            if sent is None:
                yield f"stored, but never sent: {place}"
            elif (place.chat, place.entry.sender) != (sent.chat, record_index.connections[sent.connection].account):
                yield f"{text} is stored as {place}, but was sent as {sent}"
    for one in record_index.received:
        place_of = record_index.place.get(one.msg_id)
        if place_of is None and one.chat not in record_index.unread:
            yield f"connection {one.connection} got a message that is not in the history: {one}"
        elif place_of and (one.chat, one.sender, one.text, one.time) != (place_of.chat, *place_of.content):
            yield f"connection {one.connection} got {one}, the history has {place_of}"


def answered(record_index: RecordIndex) -> Iterator[str]:
    """Each message gets exactly one reply, in time, unless its connection ends first."""
    for text, sent in record_index.sent.items():
        answers = [
            *record_index.acked.get(text, ()),
            *([record_index.rejected[text]] if text in record_index.rejected else []),
        ]
        if len(answers) > 1:
            yield f"{text} was answered {len(answers)} times"
        at = min((answer.at for answer in answers), default=record_index.end_of(sent.connection))
        edge = record_index.connections[sent.connection].edge
        if at - sent.at > ANSWER_SECONDS and not record_index.was_unreachable(edge, sent.at, at):
            yield f"{text} had no answer for {at - sent.at:.1f} s"


def registered(record_index: RecordIndex) -> Iterator[str]:
    """At the end of the drill, presence names the edge of every open connection."""
    if (presence := record_index.recorded.presence) is None:
        return
    for number, opened in record_index.connections.items():
        if number not in record_index.closed and opened.edge not in presence.get(opened.account, ()):
            yield f"{opened.device} is connected to {opened.edge}, and presence does not name it"


INVARIANTS: dict[str, Invariant] = {
    "I1 durability": durable,
    "I2 delivery": delivered,
    "I2 once": once,
    "I3 order": ordered,
    "I3 sender's order": in_turn,
    "I4 dense": dense,
    "I5 outsiders": private,
    "I6 phantoms": genuine,
    "I7 presence": registered,
    "I8 unread": counted,
    "I9 answers": answered,
    "I10 changes": kept,
    "I10 rev": numbered,
}


def repetitions(record_index: RecordIndex) -> Iterator[tuple[MessageReceived, MessageReceived]]:
    """Yields each repeated delivery of a message to a device, together with the delivery before it."""
    by_device: dict[tuple[str, int], list[MessageReceived]] = defaultdict(list)
    for one in record_index.received:
        by_device[record_index.connections[one.connection].device, one.msg_id].append(one)
    for received in by_device.values():
        yield from pairwise(received)


def excusable(record_index: RecordIndex, first: MessageReceived, again: MessageReceived) -> bool:
    """Returns whether the edge could not know that the first delivery had arrived.

    That is so if the edge was killed or cut off soon afterwards, or if the network broke its connection. It is also so
    if the client left before the next ping, behind a proxy.
    """
    if first.connection == again.connection:
        return False
    edge = record_index.connections[first.connection].edge
    if record_index.cut_off_between(edge, first.at, again.at, CONFIRM_SECONDS):
        return True
    if record_index.broken_by_network(first.connection):
        return first.at >= record_index.closed[first.connection].at - CONFIRM_SECONDS
    if record_index.unconfirmed_by_pongs(first):
        left = record_index.closed[first.connection].at
        return first.at >= left - (CONFIRM_SECONDS if record_index.clients_harmed(left) else PONG_SECONDS)
    killed = record_index.killed_under(first.connection)
    return killed is not None and first.at >= killed - CONFIRM_SECONDS and again.at >= killed
