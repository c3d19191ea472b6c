"""Compares a service's data with auth's deleted accounts: an acknowledged deletion is carried out although its event
was lost with the stream."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from shared.bus.client import Bus
from shared.contract.auth import ListDeletedAccounts
from shared.contract.errors import RequestError
from shared.contract.events import AccountDeleted
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.tasks import Tasks, growing_pauses
from shared.telemetry import log

_log = log(__name__)

_REQUEST_SECONDS = 3.0
_INTERVAL_SECONDS = 60.0
_RETRY_SECONDS = 2.0
_LONGEST_RETRY_SECONDS = 60.0
_REPORTED_RETRY_SECONDS = 8.0
"""A failure is logged at the third attempt: when a system starts, auth may be the last service to be ready."""
_PAUSE_FACTOR = 100
"""At most one hundredth of the time is spent on comparing."""


class DeletionReconciler:
    """`find_unfinished` returns those of the given deleted accounts of which the service has data, `erase` erases
    them. Compares at the start, when durable events were lost, and once a minute."""

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
        """After the request in progress: nats-py stops reading when a reply arrives for a cancelled one."""
        self._stopping = True
        self._woken.set()
        await self._tasks.finish(_REQUEST_SECONDS)

    async def _run(self) -> None:
        while not self._stopping:
            self._woken.clear()
            seconds = await self._try_to_reconcile()
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def _try_to_reconcile(self) -> float:
        """Compare once; returns the seconds until the next time."""
        started = time.monotonic()
        try:
            await self._reconcile()
        except RequestError as error:
            seconds = next(self._pauses)
            if seconds == _REPORTED_RETRY_SECONDS:
                _log.warning("deletions not compared with auth, will be retried", error=str(error))
            return seconds
        except Exception:
            _log.exception("deletions not compared with auth")
            return _INTERVAL_SECONDS
        self._pauses = growing_pauses(_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        return max(_INTERVAL_SECONDS, _PAUSE_FACTOR * (time.monotonic() - started))

    async def _reconcile(self) -> None:
        """Erase what is left of every deleted account. Raises RequestError."""
        after = NO_ACCOUNT
        while not self._stopping and (accounts := await self._next_page(after)):
            for account in await self._find_unfinished(accounts):
                _log.warning("deletion carried out without its event", account=account)
                await self._erase(AccountDeleted(account))
            after = accounts[-1]

    async def _next_page(self, after: AccountId) -> list[AccountId]:
        request = ListDeletedAccounts(after)
        page = await self._bus.request(
            ListDeletedAccounts.route, request, seconds=_REQUEST_SECONDS, retry=True, wait_for_service=False
        )
        return page.accounts
