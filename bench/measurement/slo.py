"""What must be kept under overload, and whether it was: pure."""

import statistics
from collections.abc import Mapping
from typing import NamedTuple

from bench.measurement.result import Measure

_OVERLOADED = 1.3
_BACK = 3.0
_BACK_MS = 20.0
"""Latency is back when it is no more than so many times what it was before, or so much above."""


class FloodResult(NamedTuple):
    """How many stayed, were closed with 1013, and met with anything else."""

    let_in: int
    refused: int
    lost: int


class Bounds(NamedTuple):
    """What must be kept: goodput as a share of what was taken without overload; growth of each process; the wait for an
    answer, beyond the setting `edge.request_seconds`; the time until latency is back."""

    goodput: float = 0.9
    memory_mib: float = 256.0
    slack_seconds: float = 2.0
    recovery_seconds: float = 10.0


class OverloadMeasured(NamedTuple):
    """Rates in messages a second, memory as growth in MiB by process."""

    saturated: float
    goodput: float
    memory: Mapping[str, float]
    longest_seconds: float
    recovery_seconds: float
    crowded: FloodResult


def violations(found: OverloadMeasured, bounds: Bounds, request_seconds: float) -> list[str]:
    """What was not kept, in words."""
    broken = []
    if found.goodput < bounds.goodput * found.saturated:
        broken.append(f"goodput fell to {found.goodput / max(found.saturated, 1.0):.2f} of what is taken otherwise")
    if found.goodput > _OVERLOADED * found.saturated:
        broken.append("what was offered was taken: the machine was busy when saturation was measured; measure again")
    if found.longest_seconds > request_seconds + bounds.slack_seconds:
        broken.append(f"somebody waited {found.longest_seconds:.1f} s for an answer")
    if found.recovery_seconds > bounds.recovery_seconds:
        broken.append(f"latency was not back after {bounds.recovery_seconds:g} s")
    broken += [
        f"{name} grew by {grown:,.0f} MiB" for name, grown in found.memory.items() if grown > bounds.memory_mib
    ]  # fmt: skip
    if not found.crowded.refused or found.crowded.lost:
        broken.append("connections beyond the limit were not all closed with 1013")
    return broken


def recovery(answers: Measure | None, calm: float, surge: float) -> float:
    """Seconds after the surge from which on answers are as quick as before it, by the second in which they were asked
    for; infinite when they never are."""
    if answers is None:
        return float("inf")
    before = [point.p50 for point in answers.points if 1 <= point.second < calm]
    after = [point for point in answers.points if point.second >= calm + surge]
    if not before or not after:
        return float("inf")
    usual = max(_BACK * statistics.median(before), statistics.median(before) + _BACK_MS * 1000)
    slow = [point.second for point in after if point.p50 > usual]
    first = max(slow) + 1 if slow else calm + surge
    return first - calm - surge if first <= after[-1].second else float("inf")
