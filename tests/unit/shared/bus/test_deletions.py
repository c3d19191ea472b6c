"""If the event of a deletion was lost, a service finds the deletion by a comparison with auth."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from shared.bus.client import Bus
from shared.bus.deletions import DeletionReconciler
from shared.contract.auth import DeletedAccounts, ListDeletedAccounts
from shared.contract.events import AccountDeleted
from shared.contract.ids import AccountId
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS

_PAGE = 2


class AccountComparison:
    """The deleted accounts of auth, and the data that a service still has about them."""

    def __init__(self, server: NatsServer, deleted: int) -> None:
        self.deleted = [AccountId(number) for number in range(1, deleted + 1)]
        self.left = {AccountId(2), AccountId(5)}
        self.erased: asyncio.Queue[int] = asyncio.Queue()
        self.compared: list[list[AccountId]] = []
        self.auth = Bus(server.settings("auth"), "auth", CollectorRegistry())
        self.session = Bus(server.settings("session"), "session", CollectorRegistry())
        self.auth.serve(ListDeletedAccounts.route, self._list, queue="auth")
        self.reconciler = DeletionReconciler(self.session, self._unfinished, self._erase)

    async def _list(self, request: ListDeletedAccounts) -> DeletedAccounts:
        return DeletedAccounts([one for one in self.deleted if one > request.after][:_PAGE])

    async def _unfinished(self, accounts: list[AccountId]) -> list[AccountId]:
        self.compared.append(accounts)
        return [one for one in accounts if one in self.left]

    async def _erase(self, event: AccountDeleted) -> None:
        self.left.discard(event.account)
        self.erased.put_nowait(event.account)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.reconciler.start()
        try:
            yield
        finally:
            await self.reconciler.stop()
            await self.session.stop()
            await self.auth.stop()


async def test_unfinished_deletions_are_erased_at_the_start_page_by_page(nats_server: NatsServer) -> None:
    comparison = AccountComparison(nats_server, 5)
    await asyncio.gather(comparison.auth.start(), comparison.session.start())
    async with comparison.running(), asyncio.timeout(WAIT_SECONDS):
        assert [await comparison.erased.get(), await comparison.erased.get()] == [2, 5]
    assert comparison.compared == [[1, 2], [3, 4], [5]]


async def test_lost_events_cause_a_comparison(nats_server: NatsServer) -> None:
    comparison = AccountComparison(nats_server, 1)
    await asyncio.gather(comparison.auth.start(), comparison.session.start())
    async with comparison.running(), asyncio.timeout(WAIT_SECONDS):
        while not comparison.compared:
            await asyncio.sleep(0.01)
        comparison.deleted.append(AccountId(2))
        comparison.session._events_lost()
        assert await comparison.erased.get() == 2


async def test_an_absent_auth_is_compared_with_later(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.bus.deletions._RETRY_SECONDS", 0.05)
    comparison = AccountComparison(nats_server, 2)
    await comparison.session.start()
    async with comparison.running(), asyncio.timeout(WAIT_SECONDS):
        await asyncio.sleep(0.1)
        assert comparison.compared == []
        await comparison.auth.start()
        assert await comparison.erased.get() == 2
