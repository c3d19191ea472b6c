"""A histogram with logarithmic buckets: values from a microsecond to hours, with an error below 1 %."""

import math

import msgspec

_EXACT_BITS = 8
_STEPS = 1 << (_EXACT_BITS - 1)
"""The number of buckets for each power of two."""


class Histogram(msgspec.Struct):
    """A histogram of non-negative integers (microseconds here). Histograms of several processes can be merged."""

    buckets: dict[int, int] = {}
    count: int = 0
    highest: int = 0

    def record(self, value: int) -> None:
        shift = value.bit_length() - _EXACT_BITS
        bucket = shift * _STEPS + (value >> shift) if shift > 0 else max(value, 0)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.count += 1
        if value > self.highest:
            self.highest = value

    def merge(self, other: "Histogram") -> None:
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        self.count += other.count
        self.highest = max(self.highest, other.highest)

    def quantile(self, share: float) -> int:
        """The value that this share of all values does not exceed, within the error of a bucket. It is 0 if there are
        no values."""
        wanted = max(1, math.ceil(share * self.count))
        for bucket in sorted(self.buckets):
            wanted -= self.buckets[bucket]
            if wanted <= 0:
                return min(_top(bucket), self.highest)
        return 0


def _top(bucket: int) -> int:
    """The largest value that belongs to a bucket."""
    shift = max(0, bucket // _STEPS - 1)
    return (bucket - shift * _STEPS + 1 << shift) - 1
