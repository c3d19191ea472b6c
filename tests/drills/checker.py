"""Proves the delivery contract from what clients wrote down and the history that is left: a pure function.

The invariants are those of docs/delivery.md. Each is one function that yields what violates it; `check` runs them
all. Too little evidence is no proof: then the verdict is inconclusive.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from tests.drills.evidence import Demands, doubts
from tests.drills.indexed_trial import Facts
from tests.drills.records import Heard, Told, Trial

ANSWER_SECONDS = 12.0
"""A request is answered within this time, if only by an error, while its connection lives."""
CONFIRM_SECONDS = 15.0
"""What arrived longer than this before its edge was killed is known to have arrived, and does not come again."""


Invariant = Callable[[Facts], Iterable[str]]


class DeliveryViolation(NamedTuple):
    invariant: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """`doubts` say why there is no proof although nothing was violated; `excused`: messages that came twice because
    the edge that had delivered them was killed; `invariants`: the names of all that were asked after."""

    violations: list[DeliveryViolation]
    doubts: list[str]
    excused: int
    invariants: Sequence[str]

    @property
    def exit_status(self) -> int:
        """0 proven, 1 violated, 2 inconclusive."""
        return 1 if self.violations else 2 if self.doubts else 0


def check(trial: Trial, demands: Demands, more: Mapping[str, Invariant] | None = None) -> Verdict:
    """`more`: what must hold in this drill beside the contract."""
    facts, invariants = Facts(trial), {**INVARIANTS, **(more or {})}
    found = [DeliveryViolation(name, text) for name, invariant in invariants.items() for text in invariant(facts)]
    excused = sum(1 for first, again in repetitions(facts) if excusable(facts, first, again))
    return Verdict(found, doubts(facts, demands), excused, list(invariants))


def durable(facts: Facts) -> Iterator[str]:
    """What was acknowledged is in the history once, as it was acknowledged; what was refused is not."""
    for text, said in facts.said.items():
        stored = facts.stored.get(text, [])
        if len(stored) > 1:
            yield f"{text} is {len(stored)} times in the history"
        for ack in facts.acked.get(text, ()):
            if not stored and said.chat not in facts.unread:
                yield f"{text} was acknowledged and is not in the history"
            elif stored and (stored[0].chat, stored[0].entry.msg_id) != (said.chat, ack.msg_id):
                yield f"{text} was acknowledged as {ack.msg_id} in {said.chat}, stored as {stored[0]}"
        denied = facts.denied.get(text)
        if denied and not denied.unknown and stored:
            yield f"{text} was refused ({denied.details}) and is in the history"


def delivered(facts: Facts) -> Iterator[str]:
    """Every other member got every message of the history, on one of its devices at least."""
    for chat, entries in facts.trial.history.items():
        for account in facts.trial.members[chat]:
            heard = facts.heard_by_account[account]
            for entry in entries:
                if entry.sender != account and entry.msg_id not in heard:
                    yield f"account {account} never got {entry.text} ({chat}/{entry.index}, {facts.state(entry.text)})"


def once(facts: Facts) -> Iterator[str]:
    """No device got a message twice, unless the edge that had delivered it was killed soon after."""
    for first, again in repetitions(facts):
        if not excusable(facts, first, again):
            device = facts.connections[again.connection].device
            yield (
                f"{device} got {again.text} twice: on connection {first.connection} at {first.at:.2f}, "
                f"on {again.connection} at {again.at:.2f}"
            )


def ordered(facts: Facts) -> Iterator[str]:
    """On a connection the indexes of a chat grow."""
    for connection, heard in facts.heard_on.items():
        highest: dict[int, int] = {}
        for one in heard:
            where = facts.place.get(one.msg_id)
            if where is None or where.chat != one.chat:
                continue
            before = highest.get(one.chat, 0)
            if where.entry.index < before:
                yield f"connection {connection} got {one.chat}/{where.entry.index} after {before}: {one.text}"
            highest[one.chat] = max(before, where.entry.index)


def in_turn(facts: Facts) -> Iterator[str]:
    """A sender's messages keep their order: those of one connection, and what is said after an acknowledgement."""
    for (_, chat), words in facts.words.items():
        settled = 0
        latest: dict[int, int] = {}
        for said, is_ack in words:
            index = facts.index_of(said.text)
            if index is None:
                continue
            if is_ack:
                settled = max(settled, index)
                continue
            before = max(settled, latest.get(said.connection, 0))
            if index < before:
                yield f"{said.text} has index {chat}/{index}, what its sender said before it has {before}"
            latest[said.connection] = max(index, latest.get(said.connection, 0))


def dense(facts: Facts) -> Iterator[str]:
    """Indexes are 1, 2, 3 …; times grow within a chat; a message id is used once."""
    for chat, entries in facts.trial.history.items():
        if [entry.index for entry in entries] != list(range(1, len(entries) + 1)):
            yield f"the indexes of chat {chat} are not 1 to {len(entries)}"
        for earlier, later in pairwise(entries):
            if later.time <= earlier.time:
                yield f"{chat}/{later.index} is not later than {chat}/{earlier.index}"
    uses = Counter(entry.msg_id for entries in facts.trial.history.values() for entry in entries)
    yield from (f"message id {msg_id} is used {count} times" for msg_id, count in uses.items() if count > 1)


def private(facts: Facts) -> Iterator[str]:
    """Nobody outside a chat hears of it."""
    events: list[Heard | Told] = [*facts.heard, *facts.told]
    for event in events:
        account = facts.connections[event.connection].account
        if account not in facts.trial.members.get(event.chat, ()):
            yield f"account {account} is no member of chat {event.chat} and got {event}"


def genuine(facts: Facts) -> Iterator[str]:
    """What is stored was said, and what is heard is what is stored, word for word."""
    for text, places in facts.stored.items():
        said = facts.said.get(text)
        for place in places:
            if said is None:
                yield f"nobody said what is stored as {place}"
            elif (place.chat, place.entry.sender) != (said.chat, facts.connections[said.connection].account):
                yield f"{text} is stored as {place}, but was said otherwise: {said}"
    for one in facts.heard:
        place_of = facts.place.get(one.msg_id)
        if place_of is None and one.chat not in facts.unread:
            yield f"connection {one.connection} got what is not in the history: {one}"
        elif place_of and (one.chat, one.sender, one.text, one.time) != (place_of.chat, *place_of.content):
            yield f"connection {one.connection} got {one}, the history has {place_of}"


def answered(facts: Facts) -> Iterator[str]:
    """Everything said is answered once and in time, unless its connection ends first."""
    for text, said in facts.said.items():
        answers = [*facts.acked.get(text, ()), *([facts.denied[text]] if text in facts.denied else [])]
        if len(answers) > 1:
            yield f"{text} was answered {len(answers)} times"
        at = min((answer.at for answer in answers), default=facts.end_of(said.connection))
        if at - said.at > ANSWER_SECONDS:
            yield f"{text} had no answer for {at - said.at:.1f} s"


INVARIANTS: dict[str, Invariant] = {
    "I1 durability": durable,
    "I2 delivery": delivered,
    "I2 once": once,
    "I3 order": ordered,
    "I3 sender's order": in_turn,
    "I4 dense": dense,
    "I5 outsiders": private,
    "I6 phantoms": genuine,
    "I9 answers": answered,
}


def repetitions(facts: Facts) -> Iterator[tuple[Heard, Heard]]:
    """Each time a device got a message again, with the time before."""
    by_device: dict[tuple[str, int], list[Heard]] = defaultdict(list)
    for one in facts.heard:
        by_device[facts.connections[one.connection].device, one.msg_id].append(one)
    for heard in by_device.values():
        yield from pairwise(heard)


def excusable(facts: Facts, first: Heard, again: Heard) -> bool:
    """Whether the edge was killed before it could know that the first one had arrived."""
    if first.connection == again.connection:
        return False
    killed = facts.killed_under(first.connection)
    return killed is not None and first.at >= killed - CONFIRM_SECONDS and again.at >= killed
