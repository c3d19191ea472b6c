"""Accounts that log in at the same time share one request. If it fails for one account, the others are not affected."""

import asyncio

from services.edge.catchup.missed import SyncRequests
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_DEVICE, AccountId, DeviceId
from shared.contract.message import Sync, Synced

BROKEN = AccountId(3)


class FakeSyncBus:
    """A fake bus that fails each request that names the broken account."""

    def __init__(self) -> None:
        self.requests: list[list[AccountId]] = []
        self.devices: list[dict[AccountId, DeviceId]] = []

    async def send(self, request: Sync, *, retry: bool) -> Synced:
        accounts = [request.account, *request.also]
        self.requests.append(accounts)
        self.devices.append(request.devices)
        await asyncio.sleep(0)
        if BROKEN in accounts:
            raise RequestError(ErrorCode.NOT_FOUND, "no such account")
        return Synced([], more=False, also={account: Synced([], more=False) for account in request.also})


async def test_a_request_that_fails_is_divided_until_one_account_is_left() -> None:
    bus = FakeSyncBus()
    syncs = SyncRequests(bus)  # type: ignore[arg-type]
    accounts = [AccountId(number) for number in range(1, 9)]
    pages = await asyncio.gather(
        *(syncs.first_page((one, NO_DEVICE), bare=False) for one in accounts), return_exceptions=True
    )
    failed = [account for account, page in zip(accounts, pages, strict=True) if not isinstance(page, Synced)]
    assert bus.requests[0] == accounts
    assert failed == [BROKEN]
    assert [BROKEN] in bus.requests
    await syncs.close()


async def test_two_devices_of_an_account_are_synced_one_after_the_other() -> None:
    """A reply has one page for each account."""
    bus = FakeSyncBus()
    syncs = SyncRequests(bus)  # type: ignore[arg-type]
    logins = [(AccountId(1), DeviceId(5)), (AccountId(2), NO_DEVICE), (AccountId(1), DeviceId(6))]
    await asyncio.gather(*(syncs.first_page(one, bare=False) for one in logins))
    assert bus.requests == [[1, 2], [1]]
    assert bus.devices == [{1: 5}, {1: 6}]
    await syncs.close()
