"""Rate and concurrency limits of HTTP requests; pure: the time is an argument."""

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from services.edge.rate_limit import TokenBucket
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.settings import LimitsSettings

_MAX_BUCKETS = 10_000
_MAX_UPLOADS = 4


class RateLimiter:
    def __init__(self, limits: LimitsSettings) -> None:
        self._limits = limits
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()
        self._uploads: Counter[AccountId] = Counter()

    def admit(self, client: Hashable, now: float) -> None:
        """Count one request of an address or an account. Raises RequestError over the limit."""
        if not self._limits.rates:
            return
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = TokenBucket(
                self._limits.requests_per_second, self._limits.requests_burst, now
            )
        self._buckets.move_to_end(client)
        while len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if not bucket.take(now):
            raise RequestError(ErrorCode.RATE_LIMITED, "too many requests, please wait a moment")

    @contextmanager
    def slot(self, account: AccountId) -> Iterator[None]:
        """Held by one upload while it lasts. Raises RequestError when too many are active."""
        if self._uploads[account] >= _MAX_UPLOADS:
            raise RequestError(ErrorCode.RATE_LIMITED, f"at most {_MAX_UPLOADS} uploads at the same time")
        self._uploads[account] += 1
        try:
            yield
        finally:
            self._uploads[account] -= 1
            if not self._uploads[account]:
                del self._uploads[account]
