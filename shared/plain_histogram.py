"""Histograms of plain numbers. They are for values that are observed with each batch or message, because a histogram of
prometheus_client needs ten calls for each."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

LATENCY_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
"""The buckets of histograms, in seconds."""


class PlainHistogram:
    """Only the event loop's thread may observe values. `bounds` are ascending. `labels` distinguish several series."""

    def __init__(
        self,
        name: str,
        documentation: str,
        bounds: Sequence[float],
        registry: CollectorRegistry,
        labels: tuple[str, ...] = (),
    ) -> None:
        self._bounds = bounds
        self._series: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}
        """The counts of each bucket and the sum of the values, by the values of the labels."""
        if not labels:
            self.observe(0.0, 0)
        registry.register(_Exporter(self, name, documentation, labels))

    def observe(self, value: float, times: int = 1, of: tuple[str, ...] = ()) -> None:
        """Observes a value `times` times. `of`: the values of the labels."""
        series = self._series.get(of)
        if series is None:
            series = self._series[of] = [0] * (len(self._bounds) + 1), [0.0]
        counts, total = series
        counts[bisect_left(self._bounds, value)] += times
        total[0] += value * times

    def add_to(self, family: HistogramMetricFamily) -> None:
        """Adds the series to a metric. Another thread may call this, so the mapping is copied."""
        bounds = [*map(str, map(float, self._bounds)), "+Inf"]
        for of, (counts, total) in list(self._series.items()):
            family.add_metric(of, list(zip(bounds, map(float, accumulate(counts)), strict=True)), total[0])


class _Exporter(Collector):
    """Exports a histogram. The histogram itself is compiled to C, and then cannot have a base class of a library."""

    def __init__(self, histogram: PlainHistogram, name: str, documentation: str, labels: tuple[str, ...]) -> None:
        self._histogram = histogram
        self._name = name
        self._documentation = documentation
        self._labelnames = labels  # prometheus_client's metrics also have this attribute

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labelnames)
        self._histogram.add_to(family)
        yield family
