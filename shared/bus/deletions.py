"""Compares a service's data with the list of deleted accounts from the auth service. So an acknowledged deletion is
carried out even if its durable event was lost."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from shared.bus.client import Bus
from shared.contract.auth import ListDeletedAccounts
from shared.contract.errors import RequestError
from shared.contract.events import AccountDeleted
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.tasks import Tasks, growing_pauses, is_set_within
from shared.telemetry import log

_log = log(__name__)

_REQUEST_SECONDS = 3.0
_INTERVAL_SECONDS = 60.0
_RETRY_SECONDS = 2.0
_LONGEST_RETRY_SECONDS = 60.0
_REPORTED_RETRY_SECONDS = 8.0
"""The pause before the third attempt. Failures are logged from this attempt on, because auth may be the last service
that becomes ready when a system starts."""
_PAUSE_FACTOR = 100
"""At most one hundredth of the time is used for comparisons."""


class DeletionReconciler:
    """Compares at the start, after a loss of durable events, and once a minute. `find_unfinished` returns those of the
    deleted accounts of which the service still has data. `erase` erases an account."""

    def __init__(
        self,
        bus: Bus,
        find_unfinished: Callable[[list[AccountId]], Awaitable[list[AccountId]]],
        erase: Callable[[AccountDeleted], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._find_unfinished = find_unfinished
        self._erase = erase
        self._woken = asyncio.Event()
        self._stopping = False
        self._tasks = Tasks()
        self._pauses = growing_pauses(_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        bus.notify_events_lost(self._woken.set)

    def start(self) -> None:
        self._tasks.start(self._run(), "deletions")

    async def stop(self) -> None:
        """Stop after the request in progress, because nats-py stops reading when the reply to a cancelled request
        arrives."""
        self._stopping = True
        self._woken.set()
        await self._tasks.finish(_REQUEST_SECONDS)

    async def _run(self) -> None:
        while not self._stopping:
            self._woken.clear()
            seconds = await self._try_to_reconcile()
            await is_set_within(self._woken, seconds)

    async def _try_to_reconcile(self) -> float:
        """Compare once. Returns the seconds until the next comparison."""
        started = time.monotonic()
        try:
            await self._reconcile()
        except RequestError as error:
            seconds = next(self._pauses)
            if seconds == _REPORTED_RETRY_SECONDS:
                _log.warning("deletions were not compared with the auth service: will be retried", error=str(error))
            return seconds
        except Exception:
            _log.exception("deletions were not compared with the auth service")
            return _INTERVAL_SECONDS
        self._pauses = growing_pauses(_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        return max(_INTERVAL_SECONDS, _PAUSE_FACTOR * (time.monotonic() - started))

    async def _reconcile(self) -> None:
        """Erase the remaining data of every deleted account. Raises RequestError."""
        after = NO_ACCOUNT
        while not self._stopping and (accounts := await self._next_page(after)):
            for account in await self._find_unfinished(accounts):
                _log.warning(
                    "an account was deleted here late, because the event of its deletion never came", account=account
                )
                await self._erase(AccountDeleted(account))
            after = accounts[-1]

    async def _next_page(self, after: AccountId) -> list[AccountId]:
        request = ListDeletedAccounts(after)
        page = await self._bus.send(request, seconds=_REQUEST_SECONDS, retry=True, wait_for_service=False)
        return page.accounts
