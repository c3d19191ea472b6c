"""Token buckets that limit the rates of connections and accounts; pure: the time is an argument."""


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
