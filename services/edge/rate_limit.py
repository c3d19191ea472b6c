"""Token buckets that limit the rates of connections and accounts. This module is pure: times are arguments."""

from collections import OrderedDict
from collections.abc import Hashable

_MAX_BUCKETS = 10_000
_PACED_SECONDS = 1.2
"""A connection that has waited for its turn within this time still counts as paced. It is about twice the time between
two turns."""


class TokenBucket:
    """Admits `burst` requests at once, and then `per_second` requests a second."""

    __slots__ = ("_burst", "_per_second", "_tokens", "_updated")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._updated = now

    def take(self, now: float) -> bool:
        """Take a token. Returns False if no token is left, which means that the request is over the limit."""
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
        """The time of the next token. The result is valid only just after `take` has returned False."""
        return self._updated + (1 - self._tokens) / self._per_second

    def spend(self, tokens: float) -> None:
        """Take tokens even if they are not there. Then they are missing later. The debt is at most one burst."""
        self._tokens = max(self._tokens - tokens, -self._burst)


class AccountRequests(TokenBucket):
    """The requests of all connections of an account on this node. If the frames of several connections are paced, these
    connections get equal shares."""

    __slots__ = ("_paced",)

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        super().__init__(per_second, burst, now)
        self._paced: dict[int, float] = {}
        """For each connection, by its number, the time at which it last waited for its turn."""

    def others_paced(self, connection: int, now: float) -> int:
        """Note that this connection waits for its turn. Returns how many other connections of the account have waited
        recently."""
        self._paced[connection] = now
        self._paced = {number: at for number, at in self._paced.items() if now - at < _PACED_SECONDS}
        return len(self._paced) - 1


def log_rate(now: float) -> TokenBucket:
    """A limit of one log line a second, for a cause that a client can repeat."""
    return TokenBucket(1.0, 1, now)


class TokenBuckets:
    """A bucket for each key. If there are too many keys, the least recently used buckets are forgotten."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def take(self, key: Hashable, now: float) -> bool:
        """Take a token from the bucket of this key. See TokenBucket.take."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._per_second, self._burst, now)
        self._buckets.move_to_end(key)
        while len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return bucket.take(now)

    def spend(self, key: Hashable, tokens: float) -> None:
        """Spend tokens from the bucket of this key. See TokenBucket.spend. A bucket that was forgotten has no debt."""
        if (bucket := self._buckets.get(key)) is not None:
            bucket.spend(tokens)
