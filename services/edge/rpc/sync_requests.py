"""Requests the first pages of accounts' missed messages, many accounts in one request."""

from collections.abc import Sequence
from functools import partial

from services.edge.rpc.coalescer import RequestCoalescer
from services.edge.rpc.retrying import retry_until_answered
from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.message import Sync, Synced

_ACCOUNTS_PER_REQUEST = 256
_NOT_ANSWERED = (ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED)
"""Failures that do not depend on the accounts of the request."""


class SyncRequests:
    """See shared.contract.message.Sync. An account that reads no messages at its login requests `bare` pages."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._whole = RequestCoalescer("syncs", partial(self._request, bare=False), _ACCOUNTS_PER_REQUEST)
        self._bare = RequestCoalescer("bare syncs", partial(self._request, bare=True), _ACCOUNTS_PER_REQUEST)

    async def first_page(self, account: AccountId, *, bare: bool) -> Synced:
        """However long it takes. Raises RequestError when a retry would not help."""
        requests = self._bare if bare else self._whole
        return await retry_until_answered(lambda: requests.get(account), f"sync of account {account}")

    async def close(self) -> None:
        await self._whole.close()
        await self._bare.close()

    async def _request(self, accounts: Sequence[AccountId], *, bare: bool) -> dict[AccountId, Synced | RequestError]:
        """A request that fails is divided: an account that cannot be synced does not keep the others waiting."""
        first, *others = accounts
        try:
            page = await self._bus.request(Sync.route, Sync(first, also=others, bare=bare), retry=True)
        except RequestError as error:
            if not others or error.failure.code in _NOT_ANSWERED:
                return dict.fromkeys(accounts, error)
            half = len(accounts) // 2
            first_half, second_half = accounts[:half], accounts[half:]
            return {**await self._request(first_half, bare=bare), **await self._request(second_half, bare=bare)}
        return {**page.also, first: page}
