"""Whether a trial saw enough to prove anything."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.drills.indexed_trial import Facts


@dataclass(frozen=True)
class Demands:
    """The least that must have happened. `faults`: by target; `ending` says that every device must have been
    acknowledged something after the last fault."""

    acked: int = 1
    heard: int = 1
    faults: Mapping[str, int] = field(default_factory=dict)
    ending: bool = True

    @classmethod
    def of(cls, said: float, faults: Mapping[str, int]) -> "Demands":
        """For so many messages as should be said: a fifth of them, and every fault."""
        least = int(said / 5)
        return cls(acked=least, heard=2 * least, faults=faults)


def doubts(facts: Facts, demands: Demands) -> list[str]:
    """Why nothing is proven; empty when the evidence will do."""
    found = []
    if (acked := len(facts.acked)) < demands.acked:
        found.append(f"only {acked} messages were acknowledged, {demands.acked} are needed")
    if (heard := len(facts.heard)) < demands.heard:
        found.append(f"only {heard} messages were delivered, {demands.heard} are needed")
    seen = Counter(fault.target for fault in facts.faults)
    for target, least in demands.faults.items():
        if seen[target] < least:
            found.append(f"{target} was disturbed {seen[target]} times, {least} are needed")
    if facts.unread:
        found.append(f"the history of {len(facts.unread)} chats was not read")
    return found + (_silent(facts) if demands.ending else [])


def _silent(facts: Facts) -> list[str]:
    last = max((fault.at for fault in facts.faults), default=0.0)
    alive = {facts.connections[ack.connection].device for acks in facts.acked.values() for ack in acks if ack.at > last}
    silent = {opened.device for opened in facts.connections.values()} - alive
    return [f"{device} was acknowledged nothing after the last fault" for device in sorted(silent)]
