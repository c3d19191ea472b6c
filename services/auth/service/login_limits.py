"""Who may try how often: registrations and mails per address, failed logins per address and account."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.auth import domain
from services.auth.adapters.sliding_window import SlidingWindow
from shared.contract.errors import ErrorCode, RequestError
from shared.settings import Limits as Rates

MINUTE = 60.0
TEN_MINUTES = 600.0
_COUNTED_FAILURES = 100
"""Of one account over all addresses: beyond it the delay does not grow."""
_DELAYED_LOGINS = 1_000
"""Waiting at one time; more are refused, so that waiting costs us nothing."""


class LoginAttempt:
    """One login that is being tried."""

    def __init__(self) -> None:
        self.failed = False


class LoginLimiter:
    """With `rates` off nothing is refused or delayed. Failures are counted on, where verification asks for them."""

    def __init__(self, rates: Rates, counters: SlidingWindow, *, count_failures: bool) -> None:
        self._rates = rates
        self._window = counters
        self._counts_failures = rates.rates or count_failures
        self._delayed = 0

    async def registration(self, address: str) -> None:
        """Raises Refused (`rate_limited`)."""
        if not self._rates.rates:
            return
        limit = self._rates.registrations_per_minute
        if await self._window.change(f"register:{domain.network(address)}", MINUTE, limit, "add") >= limit:
            raise _too_many("registrations")

    async def mail(self, address: str) -> None:
        """One more mail that somebody there has asked for. Raises Refused (`rate_limited`)."""
        if not self._rates.rates:
            return
        limit = self._rates.mails_per_address
        if await self._window.change(f"mail:{domain.network(address)}", TEN_MINUTES, limit, "add") >= limit:
            raise _too_many("mails")

    @asynccontextmanager
    async def attempt(self, subject: str, address: str) -> AsyncIterator[LoginAttempt]:
        """Try a login: set `failed` on what is yielded if the secret was wrong. Raises Refused (`rate_limited`).

        An attempt counts as failed while it lasts, so that no more than the limit are tried at the same time."""
        network = domain.network(address)
        await self._admit(subject, network)
        attempt = LoginAttempt()
        try:
            yield attempt
        finally:
            if attempt.failed:
                await self._count_failure(subject, network)
            else:
                await self._uncount_attempt(subject, network)

    async def failures(self, subject: str) -> int:
        """Failed logins of an account within ten minutes, over all addresses."""
        return await self._window.change(f"failed:{subject}", TEN_MINUTES, 0, "peek")

    async def reset(self, subject: str) -> None:
        """Somebody has shown that the account is theirs."""
        await self._window.clear(f"failed:{subject}")

    async def _admit(self, subject: str, network: str) -> None:
        if not self._rates.rates:
            return
        per_address, per_pair = self._rates.failed_logins_per_address, self._rates.failed_logins_per_account
        if await self._window.change(f"address:{network}", TEN_MINUTES, per_address, "peek") >= per_address:
            raise _too_many("failed logins")
        if await self._window.change(f"pair:{subject}:{network}", TEN_MINUTES, per_pair, "add") >= per_pair:
            raise _too_many("failed logins")
        try:
            await self._delay(domain.delay_seconds(await self.failures(subject)))
        except BaseException:
            await self._uncount_attempt(subject, network)
            raise

    async def _delay(self, seconds: float) -> None:
        if seconds == 0:
            return
        if self._delayed >= _DELAYED_LOGINS:
            raise _too_many("failed logins")
        self._delayed += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._delayed -= 1

    async def _count_failure(self, subject: str, network: str) -> None:
        if self._counts_failures:
            await self._window.change(f"failed:{subject}", TEN_MINUTES, _COUNTED_FAILURES, "add")
        if self._rates.rates:
            limit = self._rates.failed_logins_per_address
            await self._window.change(f"address:{network}", TEN_MINUTES, limit, "add")

    async def _uncount_attempt(self, subject: str, network: str) -> None:
        if self._rates.rates:
            limit = self._rates.failed_logins_per_account
            await self._window.change(f"pair:{subject}:{network}", TEN_MINUTES, limit, "remove")


def _too_many(what: str) -> RequestError:
    return RequestError(ErrorCode.RATE_LIMITED, f"too many {what}, please wait")
