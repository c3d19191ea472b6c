"""Rate limits. Registrations and mails are limited per address, and searches per account. Wrong secrets are limited per
address, network, identifier and account."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import NamedTuple
from weakref import WeakValueDictionary

from services.auth import domain
from services.auth.domain import Account, LoginSubject
from services.auth.service.ports import Admission, EventWindow
from shared.addresses import network, networks
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.request_nonce import request_nonce
from shared.settings.limits import AccountLimits

MINUTE = 60.0
TEN_MINUTES = 600.0
DAY = 86_400.0
_COUNTED_FAILURES = 100
"""The most counted failures of one identifier, over all addresses. More failures do not increase the delay."""
_WAITING_LOGINS = 1_000
"""The most logins that are delayed or wait for a place at once. Further logins are rejected, which bounds the
memory."""
_PLACE_SECONDS = 4.0
"""An attempt waits no longer than this for the end of another attempt. So an attempt in the queue for a hash waits for
few other attempts from its own address: at most as many as one limit permits."""
_BETWEEN_TRIES_SECONDS = 0.1
"""The pause between tries while attempts at other replicas have all places."""


class LoginAttempt:
    """One login whose secret is being checked. If `is_blocked`, the secret must not be checked, and the reply must not
    show that the attempt was blocked."""

    def __init__(self) -> None:
        self.failed = False
        self.is_blocked = False
        self.is_repeated: bool | None = None
        """Whether an earlier attempt at the same request has failed; None if this is not known yet."""


class _Bound(NamedTuple):
    """`limit` is the most failed and running attempts together, within `seconds`."""

    key: str
    seconds: float
    limit: int


class LoginLimiter:
    """Limits logins and other requests. If `limits.rates` is off, the limiter rejects and delays nothing. With
    `count_failures`, it still counts failed logins, because verification needs their number.

    The replies that a caller can see depend on the limits of the identifier, not on those of its account. Otherwise, a
    limit that one identifier has reached would show which other identifiers belong to the same account."""

    def __init__(self, limits: AccountLimits, window: EventWindow, *, count_failures: bool) -> None:
        self._limits = limits
        self._window = window
        self._counts_failures = count_failures
        self._waiting = 0
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """The places for running attempts, by the key of the limit. The attempts of this process get places in the
        order of arrival."""

    async def registration(self, address: str) -> None:
        """Counts a registration. Raises RequestError (`rate_limited`)."""
        limit = self._limits.registrations_per_minute
        await self._count(f"register:{network(address)}", MINUTE, limit, "registrations from this address")

    async def mail(self, address: str) -> None:
        """Count a mail that this address requested, even if it goes to nobody. Raises RequestError (`rate_limited`)."""
        await self._count(f"mail:{network(address)}", TEN_MINUTES, self._limits.mails_per_address, "mails")

    async def offer(self, address: str) -> None:
        """Count a mail that a login from this address causes. Such mails are counted apart from the mails that users
        request, whose limit they must not use up. Raises RequestError (`rate_limited`)."""
        await self._count(f"offer:{network(address)}", TEN_MINUTES, self._limits.mails_per_address, "mails")

    async def search(self, account: AccountId) -> None:
        """Count a search for another account. Raises RequestError (`rate_limited`)."""
        await self._count(f"search:{account}", TEN_MINUTES, self._limits.searches_per_account, "searches")

    async def export(self, account: AccountId) -> None:
        """Count an export of the account's data. Raises RequestError (`rate_limited`)."""
        await self._count(f"export:{account}", DAY, self._limits.exports_per_account, "exports")

    async def webhook(self, account: AccountId) -> None:
        """Count a webhook that the account makes. Raises RequestError (`rate_limited`)."""
        await self._count(f"hook:{account}", DAY, self._limits.incoming_webhooks_per_account, "incoming webhooks")

    def login(self, subject: LoginSubject, address: str) -> AbstractAsyncContextManager[LoginAttempt]:
        """The check of a secret runs inside this context. The caller sets `failed` on the yielded attempt if the secret
        was wrong. Raises RequestError (`rate_limited`).

        A running attempt counts as failed until it ends. An attempt beyond the limit waits until a running attempt
        ends."""
        return self._attempt(subject, self._login_bounds(subject, address))

    @asynccontextmanager
    async def recovery(self, subject: LoginSubject, address: str) -> AsyncIterator[LoginAttempt]:
        """The check of an answer runs inside this context, as the check of a secret runs inside `login`. Wrong answers
        have two more limits over all addresses, one for the identifier and one for the account. If the account's limit
        is reached, the attempt is blocked. These two limits have no effect on logins."""
        limit, (account,) = self._limits.failed_recoveries_per_account, subject.accounts
        bounds = [*self._login_bounds(subject, address), _Bound(f"recovering:{subject.identifier}", DAY, limit)]
        async with (
            self._attempt(subject, bounds) as attempt,
            self._block(_Bound(f"recovery:{account}", DAY, limit), attempt),
        ):
            yield attempt

    async def failures(self, account: Account) -> int:
        """Failed logins of an account within ten minutes, over all addresses and identifiers."""
        return await self._window.count(f"account:{account.id}", TEN_MINUTES)

    async def reset(self, account: Account) -> None:
        """Forget the failed logins, because the account's owner was verified."""
        await self._window.clear(f"account:{account.id}")
        for key in domain.identifier_keys(account):
            await self._window.clear(f"failed:{key}")

    # The edge repeats a request that waits long. The attempts at it count once.

    async def _count(self, key: str, seconds: float, limit: int, kind: str) -> None:
        """Counts the current request. Raises RequestError (`rate_limited`)."""
        if not self._limits.rates:
            return
        nonce = request_nonce.get()
        attempt = f"attempt:{key}:{domain.digest(nonce)}"
        if nonce and await self._window.count(attempt, MINUTE):
            return
        if await self._window.add(key, seconds, limit) >= limit:
            raise _too_many(kind, seconds)
        if nonce:
            await self._window.add(attempt, MINUTE, 1)

    async def _has_failed(self, attempt: LoginAttempt) -> bool:
        """Whether the attempt counts as failed."""
        if attempt.failed and attempt.is_repeated is None:
            nonce = request_nonce.get()
            key = f"attempt:failed:{domain.digest(nonce)}"
            attempt.is_repeated = bool(nonce) and await self._window.add(key, MINUTE, 1) > 0
        return attempt.failed and not attempt.is_repeated

    def _login_bounds(self, subject: LoginSubject, address: str) -> list[_Bound]:
        limits = self._limits
        bounds = [
            _Bound(f"address:{unit}", TEN_MINUTES, limits.failed_logins_per_address * factor)
            for unit, factor in networks(address)
        ]
        pair = f"pair:{subject.identifier}:{network(address)}"
        return [*bounds, _Bound(pair, TEN_MINUTES, limits.failed_logins_per_account)]

    @asynccontextmanager
    async def _attempt(self, subject: LoginSubject, bounds: Iterable[_Bound]) -> AsyncIterator[LoginAttempt]:
        attempt = LoginAttempt()
        failed = f"failed:{subject.identifier}"
        async with AsyncExitStack() as places:
            if self._limits.rates:
                until = asyncio.get_running_loop().time() + _PLACE_SECONDS
                for bound in bounds:
                    await places.enter_async_context(self._place(bound, attempt, until))
                await self._delay(domain.delay_seconds(await self._window.count(failed, TEN_MINUTES)))
            try:
                yield attempt
            finally:
                has_failed = await self._has_failed(attempt)
                if has_failed and self._limits.rates:
                    await self._window.add(failed, TEN_MINUTES, _COUNTED_FAILURES)
                for account in subject.accounts if has_failed and self._counts_failures else ():
                    await self._window.add(f"account:{account}", TEN_MINUTES, _COUNTED_FAILURES)

    @asynccontextmanager
    async def _block(self, bound: _Bound, attempt: LoginAttempt) -> AsyncIterator[None]:
        """Block an attempt beyond a limit that the caller must not notice. A blocked attempt does not wait for a
        place."""
        attempt.is_blocked = self._limits.rates and await self._window.begin(*bound) is not Admission.ADMITTED
        try:
            yield
        finally:
            if self._limits.rates and not attempt.is_blocked:
                await self._window.end(*bound, failed=await self._has_failed(attempt))

    @asynccontextmanager
    async def _place(self, bound: _Bound, attempt: LoginAttempt, until: float) -> AsyncIterator[None]:
        places = self._places.setdefault(bound.key, asyncio.Semaphore(bound.limit))
        await self._wait_for_place(places, until)
        try:
            await self._begin(bound, until)
            try:
                yield
            finally:
                await self._window.end(*bound, failed=await self._has_failed(attempt))
        finally:
            places.release()

    async def _wait_for_place(self, places: asyncio.Semaphore, until: float) -> None:
        if not places.locked():
            await places.acquire()
            return
        with self._one_more_waiting():
            try:
                async with asyncio.timeout_at(until):
                    await places.acquire()
            except TimeoutError:
                raise _too_many("logins") from None

    async def _begin(self, bound: _Bound, until: float) -> None:
        while (admission := await self._window.begin(*bound)) is not Admission.ADMITTED:
            if admission is Admission.FULL:
                raise _too_many("failed logins", bound.seconds)
            if asyncio.get_running_loop().time() > until:
                raise _too_many("logins")
            await self._delay(_BETWEEN_TRIES_SECONDS)

    async def _delay(self, seconds: float) -> None:
        if seconds == 0:
            return
        with self._one_more_waiting():
            await asyncio.sleep(seconds)

    @contextmanager
    def _one_more_waiting(self) -> Iterator[None]:
        if self._waiting >= _WAITING_LOGINS:
            raise _too_many("logins")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


def _too_many(kind: str, seconds: float = 0.0) -> RequestError:
    """The error for too many events of a kind. `seconds`: the oldest of the events stops counting after this time at
    the latest."""
    return RequestError(ErrorCode.RATE_LIMITED, f"too many {kind}, please wait", retry_ms=round(seconds * 1000))
