"""native: how often a connection sends commands of the kinds that have a rate of their own."""

from math import ceil

from services.edge.dialects.native.operation import RATES, RateClass
from services.edge.rate_limit import TokenBucket


class CommandRates:
    """Of one connection."""

    __slots__ = ("_buckets", "_promised")

    def __init__(self) -> None:
        self._buckets: dict[RateClass, TokenBucket] = {}
        self._promised: dict[RateClass, float] = {}
        """When the last rejected command of this rate may come again."""

    def retry_ms(self, rate: RateClass, now: float) -> int:
        """Counts a command of a rate in RATES. 0: it may come now; otherwise it is rejected, and succeeds after so many
        milliseconds: each one has a turn of its own."""
        per_second, burst = RATES[rate]
        bucket = self._buckets.get(rate)
        if bucket is None:
            bucket = self._buckets[rate] = TokenBucket(per_second, burst, now)
        if bucket.take(now):
            return 0
        at = self._promised[rate] = max(bucket.next_at(), self._promised.get(rate, 0.0) + 1 / per_second)
        return ceil((at - now) * 1000)
