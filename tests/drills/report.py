"""Writes the result of a run as text and as JSON."""

from bisect import bisect_left
from collections import Counter, defaultdict
from typing import Any

from tests.drills.checker import CheckResult
from tests.drills.record_index import RecordIndex
from tests.drills.records import Fault

_SHOWN = 5
_LENGTH = 240
RESULTS = ("PASSED", "FAILED", "INCONCLUSIVE")


def summary(record_index: RecordIndex, result: CheckResult) -> dict[str, Any]:
    """Returns all figures. Durations are in seconds."""
    states = Counter(record_index.state(text) for text in record_index.sent)
    broken = Counter(violation.invariant for violation in result.violations)
    return {
        "result": RESULTS[result.exit_status].lower(),
        "sent": len(record_index.sent),
        "acknowledged": states["acknowledged"],
        "unknown": states["unknown"],
        "rejected": states["rejected"],
        "delivered": len(record_index.received),
        "changed": len(record_index.changes_acked),
        "stored": sum(map(len, record_index.recorded.history.values())),
        "twice_excused": result.excused,
        "held_up_max_seconds": round(max((held.seconds for held in record_index.held), default=0.0), 2),
        "logins": len(record_index.connections),
        "cut_off": sum(1 for closed in record_index.closed.values() if closed.code != 1000),
        "faults": dict(Counter(f"{fault.kind} {fault.target}" for fault in record_index.faults)),
        "worst_outage_seconds": outages(record_index),
        "invariants": {name: broken[name] for name in result.invariants},
        "violations": [_line(f"{violation.invariant}: {violation.text}") for violation in result.violations],
        "doubts": result.doubts,
    }


def outages(record_index: RecordIndex) -> dict[str, float]:
    """Returns, for each kind of fault, the longest time until every device had an acknowledgement.

    The message must have been sent after the fault.
    """
    acked: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for text, acks in record_index.acked.items():
        sent = record_index.sent[text]
        acked[record_index.connections[sent.connection].device].append((sent.at, acks[0].at))
    for pairs in acked.values():
        pairs.sort()
    worst: dict[str, float] = {}
    for fault in record_index.faults:
        name = f"{fault.kind} {fault.target}"
        worst[name] = max(worst.get(name, 0.0), *(_back(fault, pairs) for pairs in acked.values()))
    return {name: round(seconds, 2) for name, seconds in worst.items()}


def table(figures: dict[str, Any]) -> str:
    lines = [
        f"{name.replace('_', ' '):<24}{value:>10}" for name, value in figures.items() if isinstance(value, int | float)
    ]
    lines += ["", f"{'fault':<24}{'times':>10}{'worst outage':>16}"]
    for name, times in figures["faults"].items():
        outage = figures["worst_outage_seconds"].get(name)
        lines.append(f"{name:<24}{times:>10}{'not measured' if outage is None else f'{outage:.2f} s':>16}")
    lines += ["", f"{'invariant':<24}{'violations':>10}"]
    lines += [f"{name:<24}{count or 'ok':>10}" for name, count in figures["invariants"].items()]
    for violations in _by_invariant(figures["violations"]).values():
        lines += ["", *violations[:_SHOWN]]
        if len(violations) > _SHOWN:
            lines.append(f"… and {len(violations) - _SHOWN} more")
    lines += ["", *figures["doubts"], figures["result"].upper()]
    return "\n".join(lines)


def _back(fault: Fault, pairs: list[tuple[float, float]]) -> float:
    position = bisect_left(pairs, (fault.at, 0.0))
    return pairs[position][1] - fault.at if position < len(pairs) else 0.0


def _line(text: str) -> str:
    return " ".join(text.split())[:_LENGTH]


def _by_invariant(violations: list[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for violation in violations:
        groups[violation.split(":", 1)[0]].append(violation)
    return groups
