"""The numbers of a panel are computed from two samples of the metrics."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.dashboard.panels import Panel, PanelKind, Unit, count, gauge, mean, percentiles, rate, share
from shared.dashboard.sampler import Reading, between, quantile, read


def looks(row: Panel, registry: CollectorRegistry, happens: Callable[[], None]) -> dict[str, float | None]:
    """Returns the numbers of the row for two seconds, in which `happens` is called."""

    def look() -> Reading:
        return read(row, {metric.name: metric for metric in registry.collect()})

    before = look()
    happens()
    return between(row, before, look(), 2.0, 1_000.0)


def test_a_rate_is_per_second_and_by_label() -> None:
    registry = CollectorRegistry()
    counter = Counter("said", "Said", ["word", "tone"], registry=registry)
    counter.labels("old", "loud").inc(5)

    def happens() -> None:
        counter.labels("old", "loud").inc(2)
        counter.labels("old", "low").inc(4)
        counter.labels("new", "low").inc(1)

    assert looks(rate("", "said", by="word"), registry, happens) == {"old": 3.0, "new": 0.5}
    assert looks(rate("", "said", by="word", but="old"), registry, lambda: None) == {"new": 0.0}
    assert looks(rate("", "said"), registry, happens) == {"": 3.5}


def test_a_histogram_has_rate_mean_and_spread() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("took_seconds", "Took", ["way"], buckets=(1, 2, 4), registry=registry)
    histogram.labels("far").observe(100)

    def happens() -> None:
        for seconds in (0.5, 1.5, 1.5, 3):
            histogram.labels("far").observe(seconds)

    assert looks(count("", "took_seconds"), registry, happens) == {"": 2.0}
    assert looks(mean("", "took_seconds"), registry, happens) == {"": 6.5 / 4}
    assert looks(percentiles("", "took_seconds"), registry, happens) == {"p50": 1.5, "p99": pytest.approx(3.92)}
    assert looks(percentiles("", "took_seconds"), registry, lambda: None) == {"p50": None, "p99": None}
    assert looks(mean("", "took_seconds"), registry, lambda: None) == {"": None}


def test_a_share_is_of_another_counter_and_of_nothing_when_nothing_is_counted() -> None:
    registry = CollectorRegistry()
    made, sent = Counter("made", "Made", registry=registry), Counter("sent", "Sent", registry=registry)

    def happens() -> None:
        made.inc(3)
        sent.inc(12)

    assert looks(share("", "made", "sent"), registry, happens) == {"": 0.25}
    assert looks(share("", "made", "sent"), registry, lambda: None) == {"": None}


def test_a_gauge_is_what_it_is_and_an_age_grows() -> None:
    registry = CollectorRegistry()
    here = Gauge("here", "Here", ["kind"], registry=registry)
    here.labels("one").set(600)
    assert looks(gauge("", "here"), registry, lambda: None) == {"": 600.0}
    assert looks(Panel("", "here", PanelKind.AGE, Unit.SECONDS), registry, lambda: None) == {"": 400.0}


@pytest.mark.parametrize(
    "row", [rate("", "none"), gauge("", "none"), share("", "none", "none"), percentiles("", "none")]
)
def test_a_metric_that_is_not_there_has_no_numbers(row: Panel) -> None:
    numbers = looks(row, CollectorRegistry(), lambda: None)
    assert all(number is None for number in numbers.values())


def test_quantiles_never_go_beyond_the_last_bound() -> None:
    assert quantile([(1.0, 0), (2.0, 0), (float("inf"), 10)], 0.99) == 2.0
    assert quantile([(2.0, 10), (1.0, 10)], 0.5) == 0.5
    assert quantile([], 0.5) is None
