"""Service level objectives under overload, and their violations. Pure."""

import statistics
from collections.abc import Mapping
from typing import NamedTuple

from bench.measurement.result import Measure

_OVERLOADED = 1.3
_BACK = 3.0
_BACK_MS = 20.0
"""Latency has recovered at no more than _BACK times its earlier value, or _BACK_MS above it."""


class FloodResult(NamedTuple):
    """Counts of connections that were accepted, closed with 1013, and failed in another way."""

    let_in: int
    rejected: int
    lost: int


class Bounds(NamedTuple):
    """Objectives: goodput as a share of the saturated rate; memory growth of each process; the wait for a reply beyond
    the setting `edge.request_seconds`; the time until latency has recovered."""

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
    flood: FloodResult


def violations(measured: OverloadMeasured, bounds: Bounds, request_seconds: float) -> list[str]:
    """The violated objectives, as sentences."""
    broken = []
    if measured.goodput < bounds.goodput * measured.saturated:
        broken.append(f"goodput fell to {measured.goodput / max(measured.saturated, 1.0):.2f} of the saturated rate")
    if measured.goodput > _OVERLOADED * measured.saturated:
        broken.append("the offered load was accepted: the machine was busy when saturation was measured; measure again")
    if measured.longest_seconds > request_seconds + bounds.slack_seconds:
        broken.append(f"a sender waited {measured.longest_seconds:.1f} s for a reply")
    if measured.recovery_seconds > bounds.recovery_seconds:
        broken.append(f"latency had not recovered after {bounds.recovery_seconds:g} s")
    broken += [
        f"{name} grew by {grown:,.0f} MiB" for name, grown in measured.memory.items() if grown > bounds.memory_mib
    ]  # fmt: skip
    if not measured.flood.rejected or measured.flood.lost:
        broken.append("connections beyond the limit were not all closed with 1013")
    return broken


def recovery(answers: Measure | None, calm: float, surge: float) -> float:
    """Seconds from the end of the surge until latency has recovered, by the second of the request; infinite if it never
    does."""
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
