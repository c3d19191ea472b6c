"""Rate limits: registrations and mails per address, failed logins per address and account."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.auth import domain
from services.auth.service.ports import EventWindow
from shared.contract.errors import ErrorCode, RequestError
from shared.settings import LimitsSettings

MINUTE = 60.0
TEN_MINUTES = 600.0
_COUNTED_FAILURES = 100
"""Of one account over all addresses. More failures do not increase the delay."""
_DELAYED_LOGINS = 1_000
"""Delayed at once; more are rejected, which bounds the memory that delays take."""


class LoginAttempt:
    """One login whose secret is being checked."""

    def __init__(self) -> None:
        self.failed = False


class LoginLimiter:
    """With `limits.rates` off nothing is rejected or delayed. `count_failures` still counts failed logins, for
    verification."""

    def __init__(self, limits: LimitsSettings, window: EventWindow, *, count_failures: bool) -> None:
        self._limits = limits
        self._window = window
        self._counts_failures = limits.rates or count_failures
        self._delayed = 0

    async def registration(self, address: str) -> None:
        """Counts a registration. Raises RequestError (`rate_limited`)."""
        if not self._limits.rates:
            return
        limit = self._limits.registrations_per_minute
        if await self._window.change(f"register:{domain.network(address)}", MINUTE, limit, "add") >= limit:
            raise _too_many("registrations")

    async def mail(self, address: str) -> None:
        """Counts a mail that this address requested. Raises RequestError (`rate_limited`)."""
        if not self._limits.rates:
            return
        limit = self._limits.mails_per_address
        if await self._window.change(f"mail:{domain.network(address)}", TEN_MINUTES, limit, "add") >= limit:
            raise _too_many("mails")

    @asynccontextmanager
    async def attempt(self, throttle_key: str, address: str) -> AsyncIterator[LoginAttempt]:
        """Surrounds the check of a secret; set `failed` on the yielded attempt if the secret was wrong. Raises
        RequestError (`rate_limited`).

        A running attempt counts as failed, which bounds the attempts at once by the limit."""
        network = domain.network(address)
        await self._admit(throttle_key, network)
        attempt = LoginAttempt()
        try:
            yield attempt
        finally:
            if attempt.failed:
                await self._count_failure(throttle_key, network)
            else:
                await self._uncount_attempt(throttle_key, network)

    async def failures(self, throttle_key: str) -> int:
        """Failed logins of an account within ten minutes, over all addresses."""
        return await self._window.change(f"failed:{throttle_key}", TEN_MINUTES, 0, "peek")

    async def reset(self, throttle_key: str) -> None:
        """Forgets the failed logins: the account's owner was verified."""
        await self._window.clear(f"failed:{throttle_key}")

    async def _admit(self, throttle_key: str, network: str) -> None:
        if not self._limits.rates:
            return
        per_address, per_pair = self._limits.failed_logins_per_address, self._limits.failed_logins_per_account
        if await self._window.change(f"address:{network}", TEN_MINUTES, per_address, "peek") >= per_address:
            raise _too_many("failed logins")
        if await self._window.change(f"pair:{throttle_key}:{network}", TEN_MINUTES, per_pair, "add") >= per_pair:
            raise _too_many("failed logins")
        try:
            await self._delay(domain.delay_seconds(await self.failures(throttle_key)))
        except BaseException:
            await self._uncount_attempt(throttle_key, network)
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

    async def _count_failure(self, throttle_key: str, network: str) -> None:
        if self._counts_failures:
            await self._window.change(f"failed:{throttle_key}", TEN_MINUTES, _COUNTED_FAILURES, "add")
        if self._limits.rates:
            limit = self._limits.failed_logins_per_address
            await self._window.change(f"address:{network}", TEN_MINUTES, limit, "add")

    async def _uncount_attempt(self, throttle_key: str, network: str) -> None:
        if self._limits.rates:
            limit = self._limits.failed_logins_per_account
            await self._window.change(f"pair:{throttle_key}:{network}", TEN_MINUTES, limit, "remove")


def _too_many(kind: str) -> RequestError:
    return RequestError(ErrorCode.RATE_LIMITED, f"too many {kind}, please wait")
