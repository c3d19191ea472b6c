"""Checks the delivery contract against the clients' records and the final history; a pure function.

The invariants are those of docs/delivery.md. Each is a function that yields its violations; `check` runs all of them.
With too little evidence the result is inconclusive.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from tests.drills.evidence import RequiredEvidence, doubts
from tests.drills.indexed_trial import IndexedTrial
from tests.drills.kept_changes import kept, numbered
from tests.drills.records import ChatAnnounced, MessageReceived, Trial
from tests.drills.unread import counted

ANSWER_SECONDS = 12.0
"""A request is answered within this time, if only by an error, while its connection lives."""
LATE_ECHO_SECONDS = 9.0
"""The echo of an own message that waited for so long behind missed ones comes before them."""
_BATCH_SECONDS = 1.0
"""In which a client gets all echoes of a batch whose place the edge waited for too long."""
CONFIRM_SECONDS = 15.0
"""A message that arrived longer than this before its edge was killed is confirmed, and does not come again."""
PONG_SECONDS = 3.0
"""Behind a proxy that is not slow, a message that arrived longer than this before its client left was followed by a
ping that the client has answered."""


Invariant = Callable[[IndexedTrial], Iterable[str]]


class DeliveryViolation(NamedTuple):
    invariant: str
    text: str


@dataclass(frozen=True)
class CheckResult:
    """`doubts`: reasons why nothing is proven although nothing is violated. `excused`: messages that were delivered
    twice because nobody could know of the first delivery. `invariants`: the names of all checked ones."""

    violations: list[DeliveryViolation]
    doubts: list[str]
    excused: int
    invariants: Sequence[str]

    @property
    def exit_status(self) -> int:
        """0 proven, 1 violated, 2 inconclusive."""
        return 1 if self.violations else 2 if self.doubts else 0


def check(
    trial: Trial, required_evidence: RequiredEvidence, more: Mapping[str, Invariant] | None = None
) -> CheckResult:
    """`more`: invariants of this drill besides those of the contract."""
    trial_index, invariants = IndexedTrial(trial), {**INVARIANTS, **(more or {})}
    found = [DeliveryViolation(name, text) for name, invariant in invariants.items() for text in invariant(trial_index)]
    excused = sum(1 for first, again in repetitions(trial_index) if excusable(trial_index, first, again))
    return CheckResult(found, doubts(trial_index, required_evidence), excused, list(invariants))


def durable(trial_index: IndexedTrial) -> Iterator[str]:
    """An acknowledged message is in the history once, as it was acknowledged; a rejected one is not."""
    for text, sent in trial_index.sent.items():
        stored = trial_index.stored.get(text, [])
        if len(stored) > 1:
            yield f"{text} is {len(stored)} times in the history"
        for ack in trial_index.acked.get(text, ()):
            if not stored and sent.chat not in trial_index.unread:
                yield f"{text} was acknowledged and is not in the history"
            elif stored and (stored[0].chat, stored[0].entry.msg_id) != (sent.chat, ack.msg_id):
                yield f"{text} was acknowledged as {ack.msg_id} in {sent.chat}, stored as {stored[0]}"
        rejected = trial_index.rejected.get(text)
        if rejected and not rejected.unknown and stored:
            yield f"{text} was rejected ({rejected.details}) and is in the history"


def delivered(trial_index: IndexedTrial) -> Iterator[str]:
    """Every other member got every message of the history, on one of its devices at least."""
    for chat, entries in trial_index.trial.history.items():
        for account in trial_index.trial.members[chat] - trial_index.trial.sleepers - trial_index.deleted.keys():
            received = trial_index.received_by_account[account]
            for entry in entries:
                if entry.msg_id not in received and trial_index.must_receive(account, chat, entry):
                    state = trial_index.state(entry.text)
                    yield f"account {account} never got {entry.text} ({chat}/{entry.index}, {state})"


def once(trial_index: IndexedTrial) -> Iterator[str]:
    """No device got a message twice, unless nobody could know of the first delivery."""
    for first, again in repetitions(trial_index):
        if not excusable(trial_index, first, again):
            opened = trial_index.connections[first.connection]
            yield (
                f"{opened.device} twice: at {first.at:.2f} on connection {first.connection} to {opened.edge}, "
                f"{_end(trial_index, first.connection)}; at {again.at:.2f} on {again.connection}: {again.text}"
            )


def _end(trial_index: IndexedTrial, connection: int) -> str:
    closed = trial_index.closed.get(connection)
    return "still open" if closed is None else f"closed at {closed.at:.2f} with {closed.code}"


def ordered(trial_index: IndexedTrial) -> Iterator[str]:
    """On a connection the indexes of a chat grow, besides own echoes that waited for too long, and those that the edge
    sends together with them: of all messages of the same batch."""
    for connection, received in trial_index.received_on.items():
        highest: dict[int, int] = {}
        late: dict[int, float] = {}
        for one in received:
            where = trial_index.place.get(one.msg_id)
            if where is None or where.chat != one.chat:
                continue
            waited = _waited_for_echo(trial_index, one)
            if waited > LATE_ECHO_SECONDS:
                late[one.chat] = one.at
            if waited > 0 and one.at - late.get(one.chat, -math.inf) < _BATCH_SECONDS:
                continue
            before = highest.get(one.chat, 0)
            if where.entry.index < before:
                yield f"connection {connection} got {one.chat}/{where.entry.index} after {before}: {one.text}"
            highest[one.chat] = max(before, where.entry.index)


def _waited_for_echo(trial_index: IndexedTrial, one: MessageReceived) -> float:
    """Seconds since the message was sent on the same connection; 0 for messages of others."""
    sent = trial_index.sent.get(one.text)
    return one.at - sent.at if sent is not None and sent.connection == one.connection else 0.0


def in_turn(trial_index: IndexedTrial) -> Iterator[str]:
    """A sender's messages keep their order: those of one connection, and those sent after an acknowledgement."""
    for (_, chat), sent_and_acked in trial_index.sent_and_acked.items():
        settled = 0
        latest: dict[int, int] = {}
        for sent, is_ack in sent_and_acked:
            index = trial_index.index_of(sent.text)
            if index is None:
                continue
            if is_ack:
                settled = max(settled, index)
                continue
            before = max(settled, latest.get(sent.connection, 0))
            if index < before:
                yield f"{sent.text} has index {chat}/{index}, an earlier message of its sender has {before}"
            latest[sent.connection] = max(index, latest.get(sent.connection, 0))


def dense(trial_index: IndexedTrial) -> Iterator[str]:
    """Indexes are 1, 2, 3 …; times grow within a chat; a message id is used once."""
    for chat, entries in trial_index.trial.history.items():
        if [entry.index for entry in entries] != list(range(1, len(entries) + 1)):
            yield f"the indexes of chat {chat} are not 1 to {len(entries)}"
        for earlier, later in pairwise(entries):
            if later.time <= earlier.time:
                yield f"{chat}/{later.index} is not later than {chat}/{earlier.index}"
    uses = Counter(entry.msg_id for entries in trial_index.trial.history.values() for entry in entries)
    yield from (f"message id {msg_id} is used {count} times" for msg_id, count in uses.items() if count > 1)


def private(trial_index: IndexedTrial) -> Iterator[str]:
    """No account outside a chat gets anything of it."""
    events: list[MessageReceived | ChatAnnounced] = [*trial_index.received, *trial_index.announced]
    for event in events:
        account = trial_index.connections[event.connection].account
        if account not in trial_index.trial.members.get(event.chat, ()):
            yield f"account {account} is no member of chat {event.chat} and got {event}"


def genuine(trial_index: IndexedTrial) -> Iterator[str]:
    """Each stored message was sent, and each received one is stored, with the same text."""
    for text, places in trial_index.stored.items():
        sent = trial_index.sent.get(text)
        for place in places:
            if sent is None:
                yield f"stored, but never sent: {place}"
            elif (place.chat, place.entry.sender) != (sent.chat, trial_index.connections[sent.connection].account):
                yield f"{text} is stored as {place}, but was sent as {sent}"
    for one in trial_index.received:
        place_of = trial_index.place.get(one.msg_id)
        if place_of is None and one.chat not in trial_index.unread:
            yield f"connection {one.connection} got a message that is not in the history: {one}"
        elif place_of and (one.chat, one.sender, one.text, one.time) != (place_of.chat, *place_of.content):
            yield f"connection {one.connection} got {one}, the history has {place_of}"


def answered(trial_index: IndexedTrial) -> Iterator[str]:
    """Each message is answered once and in time, unless its connection ends first."""
    for text, sent in trial_index.sent.items():
        answers = [
            *trial_index.acked.get(text, ()),
            *([trial_index.rejected[text]] if text in trial_index.rejected else []),
        ]
        if len(answers) > 1:
            yield f"{text} was answered {len(answers)} times"
        at = min((answer.at for answer in answers), default=trial_index.end_of(sent.connection))
        edge = trial_index.connections[sent.connection].edge
        if at - sent.at > ANSWER_SECONDS and not trial_index.was_unreachable(edge, sent.at, at):
            yield f"{text} had no answer for {at - sent.at:.1f} s"


def registered(trial_index: IndexedTrial) -> Iterator[str]:
    """At the end, presence names the edge of every open connection."""
    if (presence := trial_index.trial.presence) is None:
        return
    for number, opened in trial_index.connections.items():
        if number not in trial_index.closed and opened.edge not in presence.get(opened.account, ()):
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


def repetitions(trial_index: IndexedTrial) -> Iterator[tuple[MessageReceived, MessageReceived]]:
    """Each repeated delivery of a message to a device, with the delivery before it."""
    by_device: dict[tuple[str, int], list[MessageReceived]] = defaultdict(list)
    for one in trial_index.received:
        by_device[trial_index.connections[one.connection].device, one.msg_id].append(one)
    for received in by_device.values():
        yield from pairwise(received)


def excusable(trial_index: IndexedTrial, first: MessageReceived, again: MessageReceived) -> bool:
    """Whether nobody could know that the first delivery had arrived: its edge was killed or cut off soon after, or the
    network broke its connection, or its client, behind a proxy, left before a ping that came after it."""
    if first.connection == again.connection:
        return False
    edge = trial_index.connections[first.connection].edge
    if trial_index.cut_off_between(edge, first.at, again.at, CONFIRM_SECONDS):
        return True
    if trial_index.broken_by_network(first.connection):
        return first.at >= trial_index.closed[first.connection].at - CONFIRM_SECONDS
    if trial_index.unconfirmed_by_pongs(first):
        left = trial_index.closed[first.connection].at
        return first.at >= left - (CONFIRM_SECONDS if trial_index.clients_harmed(left) else PONG_SECONDS)
    killed = trial_index.killed_under(first.connection)
    return killed is not None and first.at >= killed - CONFIRM_SECONDS and again.at >= killed
