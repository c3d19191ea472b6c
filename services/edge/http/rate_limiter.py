"""Rate and concurrency limits of HTTP requests; pure: the time is an argument."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from services.edge.rate_limit import TokenBuckets
from shared.addresses import network
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.settings import LimitsSettings

_MAX_UPLOADS = 4


class RateLimiter:
    def __init__(self, limits: LimitsSettings) -> None:
        self._limits = limits
        self._requests = TokenBuckets(limits.requests_per_second, limits.requests_burst)
        self._uploads: Counter[AccountId] = Counter()

    def admit_address(self, address: str, now: float) -> None:
        """Count one request of an address; an IPv6 /64 is one. Raises RequestError over the limit."""
        self._admit(network(address), now)

    def admit_account(self, account: AccountId, now: float) -> None:
        """Count one request of an account. Raises RequestError over the limit."""
        self._admit(account, now)

    def _admit(self, client: Hashable, now: float) -> None:
        if self._limits.rates and not self._requests.take(client, now):
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
