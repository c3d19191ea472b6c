"""Computes a panel's numbers from two samples of a registry (pure), and measures the event loop."""

import asyncio
import time
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Gauge, Histogram, Metric
from prometheus_client.samples import Sample

from shared.clock import until_next
from shared.dashboard.panels import Panel, PanelKind

Reading = Mapping[str, float]
"""One sample of a panel's metric. The keys are labels, upper bounds of buckets, or `part` and `whole`."""


def read(row: Panel, families: Mapping[str, Metric]) -> Reading:
    samples = families[row.metric].samples if row.metric in families else []
    match row.kind:
        case PanelKind.GAUGE | PanelKind.AGE:
            return _sums(samples, row.metric, row)
        case PanelKind.RATE:
            return _sums(samples, row.metric + "_total", row)
        case PanelKind.COUNT:
            return _sums(samples, row.metric + "_count", row)
        case PanelKind.PERCENTILES:
            return _by(samples, row.metric + "_bucket", "le")
        case PanelKind.MEAN:
            return {"part": _total(samples, row.metric + "_sum"), "whole": _total(samples, row.metric + "_count")}
        case PanelKind.SHARE:
            whole = families[row.of].samples if row.of in families else []
            return {"part": _total(samples, row.metric + "_total"), "whole": _total(whole, row.of + "_total")}


def between(
    row: Panel, before: Reading, after: Reading, seconds: float, unix_seconds: float
) -> dict[str, float | None]:
    """The panel's numbers by label (empty without a label). A number is None if there were no observations. Percentiles
    have the labels `p50` and `p99`."""
    match row.kind:
        case PanelKind.GAUGE:
            return dict(after)
        case PanelKind.AGE:
            return {name: unix_seconds - since for name, since in after.items()}
        case PanelKind.RATE | PanelKind.COUNT:
            return {name: (count - before.get(name, 0)) / seconds for name, count in after.items()}
        case PanelKind.PERCENTILES:
            counts = [(float(bound), count - before.get(bound, 0)) for bound, count in after.items()]
            return {"p50": quantile(counts, 0.5), "p99": quantile(counts, 0.99)}
        case PanelKind.MEAN | PanelKind.SHARE:
            whole = after["whole"] - before.get("whole", 0)
            return {"": (after["part"] - before.get("part", 0)) / whole if whole else None}


def quantile(buckets: Iterable[tuple[float, float]], share: float) -> float | None:
    """The quantile of a histogram, whose `buckets` are cumulative counts by upper bound. It is computed as in
    Prometheus: linear within a bucket, and at most the last bound."""
    buckets = sorted(buckets)
    rank = share * (buckets[-1][1] if buckets else 0)
    if not rank:
        return None
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            return low if bound == float("inf") else low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low


def _sums(samples: Iterable[Sample], name: str, row: Panel) -> dict[str, float]:
    return {label: value for label, value in _by(samples, name, row.by).items() if not row.but or label != row.but}


def _by(samples: Iterable[Sample], name: str, label: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for sample in samples:
        if sample.name == name:
            value = sample.labels.get(label, "")
            sums[value] = sums.get(value, 0) + sample.value
    return sums


def _total(samples: Iterable[Sample], name: str) -> float:
    return sum(sample.value for sample in samples if sample.name == name)


_BUSY_SAMPLES = 10
_BUSY_SECONDS = 0.03
"""A process is busy if it has used more CPU time than this in the last second."""
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class EventLoopMetrics:
    """Metrics of the event loop: its lag, which delays all work of the process at least by this time, and the number of
    its tasks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "dragoman_loop_lag_seconds",
            "Delay with which the event loop ran its timer",
            buckets=_SECONDS,
            registry=registry,
        )
        self._tasks = Gauge("dragoman_loop_tasks", "Unfinished tasks of the event loop", registry=registry)

    async def watch(self) -> None:
        """Sample the lag ten times a second while the process is busy, and otherwise once, because each sample wakes
        the process."""
        samples = _BUSY_SAMPLES
        while True:
            self._tasks.set(len(asyncio.all_tasks()))
            used = time.process_time()
            for _ in range(samples):
                pause = until_next(1 / samples)
                due = time.monotonic() + pause
                await asyncio.sleep(pause)
                self._seconds.observe(max(0.0, time.monotonic() - due))
            samples = _BUSY_SAMPLES if time.process_time() - used > _BUSY_SECONDS else 1
