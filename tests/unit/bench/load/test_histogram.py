import random

import msgspec
import pytest

from bench.load.histogram import Histogram


def _of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_quantiles_are_within_one_percent(share: float) -> None:
    generator = random.Random(7)
    values = sorted(int(generator.lognormvariate(8, 3)) for _ in range(5_000))
    exact = values[max(0, min(len(values) - 1, -(-int(share * 1_000_000) * len(values) // 1_000_000) - 1))]
    assert exact <= _of(values).quantile(share) <= exact * 1.01 + 1


def test_small_values_are_exact() -> None:
    assert [_of(list(range(256))).quantile((value + 1) / 256) for value in range(256)] == list(range(256))


def test_every_value_is_below_the_next_bucket() -> None:
    for value in [255, 256, 257, 511, 512, 1023, 1024, 2**20 - 1, 2**20, 2**40]:
        one = _of([value, 2**50])
        assert value <= one.quantile(0.5) <= value * 1.01


def test_histograms_are_merged_and_serialized() -> None:
    one, other = _of([1, 2, 3]), _of([1_000_000])
    one.merge(msgspec.json.decode(msgspec.json.encode(other), type=Histogram))
    assert one == _of([1, 2, 3, 1_000_000])
    assert (one.count, one.highest, one.quantile(1.0)) == (4, 1_000_000, 1_000_000)


def test_an_empty_histogram_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) == 0
