"""How often and how many at once: the limits of requests by HTTP. Pure; the clock comes in."""

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from services.edge.rate_limit import TokenBucket
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.settings import Limits

_REMEMBERED = 10_000
_AT_ONCE = 4


class RateLimiter:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()
        self._busy: Counter[AccountId] = Counter()

    def admit(self, who: Hashable, now: float) -> None:
        """One more request of an address or an account. Raises Refused."""
        if not self._limits.rates:
            return
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = TokenBucket(
                self._limits.requests_per_second, self._limits.requests_burst, now
            )
        self._buckets.move_to_end(who)
        while len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        if not bucket.take(now):
            raise RequestError(ErrorCode.RATE_LIMITED, "too many requests, please wait a moment")

    @contextmanager
    def slot(self, account: AccountId) -> Iterator[None]:
        """For one upload, while it lasts. Raises Refused."""
        if self._busy[account] >= _AT_ONCE:
            raise RequestError(ErrorCode.RATE_LIMITED, f"at most {_AT_ONCE} uploads at the same time")
        self._busy[account] += 1
        try:
            yield
        finally:
            self._busy[account] -= 1
            if not self._busy[account]:
                del self._busy[account]
