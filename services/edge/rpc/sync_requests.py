"""Requests the first pages of accounts' missed messages, many accounts in one request."""

from collections.abc import Sequence
from functools import partial

from services.edge.rpc.coalescer import RequestCoalescer
from services.edge.rpc.retrying import request_until_answered
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.ids import AccountId
from shared.contract.message import Sync, Synced

_ACCOUNTS_PER_REQUEST = 256


class SyncRequests:
    """See shared.contract.message.Sync. An account that reads no messages at its login requests `bare` pages."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._whole = RequestCoalescer("syncs", partial(self._request, bare=False), _ACCOUNTS_PER_REQUEST)
        self._bare = RequestCoalescer("bare syncs", partial(self._request, bare=True), _ACCOUNTS_PER_REQUEST)

    async def first_page(self, account: AccountId, *, bare: bool) -> Synced:
        """However long it takes. Raises RequestError when a retry would not help."""
        return await (self._bare if bare else self._whole).get(account)

    async def close(self) -> None:
        await self._whole.close()
        await self._bare.close()

    async def _request(self, accounts: Sequence[AccountId], *, bare: bool) -> dict[AccountId, Synced]:
        first, *others = accounts
        page = await request_until_answered(self._bus, subjects.SYNC, Sync(first, also=others, bare=bare))
        return {**page.also, first: page}
