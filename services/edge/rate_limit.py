"""Token buckets that limit the rates of connections and accounts; pure: the time is an argument."""

from collections import OrderedDict
from collections.abc import Hashable

_MAX_BUCKETS = 10_000


class TokenBucket:
    """Allows `burst` requests at once, then `per_second`."""

    __slots__ = ("_burst", "_per_second", "_tokens", "_updated")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._updated = now

    def take(self, now: float) -> bool:
        """Take a token. Returns False if there is none: the request is over the limit."""
        tokens = self._tokens + (now - self._updated) * self._per_second
        if tokens > self._burst:
            tokens = self._burst
        self._updated = now
        if tokens < 1:
            self._tokens = tokens
            return False
        self._tokens = tokens - 1
        return True

    def next_at(self) -> float:
        """When the next token is there, if `take` has just returned False."""
        return self._updated + (1 - self._tokens) / self._per_second

    def spend(self, tokens: float) -> None:
        """Take tokens that are missing from the next bursts, too: the debt is a burst at most."""
        self._tokens = max(self._tokens - tokens, -self._burst)


def log_rate(now: float) -> TokenBucket:
    """For log lines whose cause a client can repeat: one a second."""
    return TokenBucket(1.0, 1, now)


class TokenBuckets:
    """A bucket for each key; the least recently used of many are forgotten."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def take(self, key: Hashable, now: float) -> bool:
        """As TokenBucket.take."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._per_second, self._burst, now)
        self._buckets.move_to_end(key)
        while len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return bucket.take(now)

    def spend(self, key: Hashable, tokens: float) -> None:
        """As TokenBucket.spend; a bucket that is forgotten has no debt."""
        if (bucket := self._buckets.get(key)) is not None:
            bucket.spend(tokens)
