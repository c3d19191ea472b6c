"""Decides whether enough happened in a run for its result to count."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.drills.record_index import RecordIndex


@dataclass(frozen=True)
class RequiredEvidence:
    """The least that must have happened in a run.

    `faults` is the number of faults for each target; `kinds` is the number for each kind of fault. If `ending`, every
    device must have got an acknowledgement after the last fault.
    """

    acked: int = 1
    received: int = 1
    faults: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, int] = field(default_factory=dict)
    ending: bool = True

    @classmethod
    def of(cls, sent: float, faults: Mapping[str, int], kinds: Mapping[str, int] | None = None) -> "RequiredEvidence":
        """Requires a fifth of the planned messages, and every fault."""
        least = int(sent / 5)
        return cls(acked=least, received=2 * least, faults=faults, kinds=kinds or {})


def doubts(record_index: RecordIndex, required_evidence: RequiredEvidence) -> list[str]:
    """Returns the reasons why the drill cannot pass. There are none if the evidence suffices."""
    found = []
    if (acked := len(record_index.acked)) < required_evidence.acked:
        found.append(f"only {acked} messages were acknowledged, {required_evidence.acked} are needed")
    if (received := len(record_index.received)) < required_evidence.received:
        found.append(f"only {received} messages were delivered, {required_evidence.received} are needed")
    seen = Counter(fault.target for fault in record_index.faults)
    for target, least in required_evidence.faults.items():
        if seen[target] < least:
            found.append(f"{target} was disturbed {seen[target]} times, {least} are needed")
    seen_kinds = Counter(fault.kind for fault in record_index.faults)
    for kind, least in required_evidence.kinds.items():
        if seen_kinds[kind] < least:
            found.append(f"only {seen_kinds[kind]} faults were of the kind {kind}, {least} are needed")
    if record_index.recorded.sleepers and not any(shown.count for shown in record_index.unread_shown):
        found.append("no login showed any unread message")
    if record_index.recorded.followers and not record_index.changes_acked:
        found.append("no change of a message was acknowledged")
    if record_index.unread:
        found.append(f"the history of {len(record_index.unread)} chats was not read")
    return found + ([*_silent(record_index), *_not_looked_at(record_index)] if required_evidence.ending else [])


def _silent(record_index: RecordIndex) -> list[str]:
    last = max((fault.at for fault in record_index.faults), default=0.0)
    alive = {
        record_index.connections[ack.connection].device
        for acks in record_index.acked.values()
        for ack in acks
        if ack.at > last
    }
    staying = [one for one in record_index.connections.values() if one.account not in record_index.deleted]
    silent = {opened.device for opened in staying} - alive
    return [f"{device} was acknowledged nothing after the last fault" for device in sorted(silent)]


def _not_looked_at(record_index: RecordIndex) -> list[str]:
    looked = {account for account, _, _ in record_index.last_states}
    blind = record_index.recorded.followers - looked
    return [f"account {account} never read the last states of its messages" for account in sorted(blind)]
