"""The verdict of a trial for people, and for programs."""

from bisect import bisect_left
from collections import Counter, defaultdict
from typing import Any

from tests.drills.checker import Verdict
from tests.drills.indexed_trial import Facts
from tests.drills.records import Fault

_SHOWN = 5
_LENGTH = 240
_WORDS = ("PROVEN", "VIOLATED", "INCONCLUSIVE")


def summary(facts: Facts, verdict: Verdict) -> dict[str, Any]:
    """All figures; seconds for what took time."""
    states = Counter(facts.state(text) for text in facts.said)
    broken = Counter(violation.invariant for violation in verdict.violations)
    return {
        "verdict": _WORDS[verdict.exit_status].lower(),
        "said": len(facts.said),
        "acknowledged": states["acknowledged"],
        "unknown": states["unknown"],
        "refused": states["refused"],
        "delivered": len(facts.heard),
        "stored": sum(map(len, facts.trial.history.values())),
        "twice_after_edge_kill": verdict.excused,
        "held_up_max_seconds": round(max((held.seconds for held in facts.held), default=0.0), 2),
        "logins": len(facts.connections),
        "cut_off": sum(1 for closed in facts.closed.values() if closed.code != 1000),
        "faults": dict(Counter(f"{fault.kind} {fault.target}" for fault in facts.faults)),
        "worst_outage_seconds": outages(facts),
        "invariants": {name: broken[name] for name in verdict.invariants},
        "violations": [_line(f"{violation.invariant}: {violation.text}") for violation in verdict.violations],
        "doubts": verdict.doubts,
    }


def outages(facts: Facts) -> dict[str, float]:
    """By kind of fault: how long it took, at worst, until every device was acknowledged something said after it."""
    acked: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for text, acks in facts.acked.items():
        said = facts.said[text]
        acked[facts.connections[said.connection].device].append((said.at, acks[0].at))
    for pairs in acked.values():
        pairs.sort()
    worst: dict[str, float] = {}
    for fault in facts.faults:
        name = f"{fault.kind} {fault.target}"
        worst[name] = max(worst.get(name, 0.0), *(_back(fault, pairs) for pairs in acked.values()))
    return {name: round(seconds, 2) for name, seconds in worst.items()}


def table(figures: dict[str, Any]) -> str:
    lines = [
        f"{name.replace('_', ' '):<24}{value:>10}" for name, value in figures.items() if isinstance(value, int | float)
    ]
    lines += ["", f"{'fault':<24}{'times':>10}{'worst outage':>16}"]
    lines += [
        f"{name:<24}{times:>10}{figures['worst_outage_seconds'].get(name, 0):>14.2f} s"
        for name, times in figures["faults"].items()
    ]
    lines += ["", f"{'invariant':<24}{'violations':>10}"]
    lines += [f"{name:<24}{count or 'ok':>10}" for name, count in figures["invariants"].items()]
    for violations in _by_invariant(figures["violations"]).values():
        lines += ["", *violations[:_SHOWN]]
        if len(violations) > _SHOWN:
            lines.append(f"… and {len(violations) - _SHOWN} more")
    lines += ["", *figures["doubts"], figures["verdict"].upper()]
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
