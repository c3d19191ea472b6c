"""The first pages of what accounts missed, asked for together."""

from collections.abc import Sequence
from functools import partial

from services.edge.rpc.coalescer import Gathering
from services.edge.rpc.retrying import insist
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.ids import AccountId
from shared.contract.message import Sync, Synced

_MOST = 256


class Syncs:
    """See shared.contract.message.Sync. Who reads no messages at its login gets `bare` pages."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._whole = Gathering("syncs", partial(self._ask, bare=False), _MOST)
        self._bare = Gathering("bare syncs", partial(self._ask, bare=True), _MOST)

    async def first_page(self, account: AccountId, *, bare: bool) -> Synced:
        """However long it takes. Raises Refused when asking again would not help."""
        return await (self._bare if bare else self._whole).of(account)

    async def close(self) -> None:
        await self._whole.close()
        await self._bare.close()

    async def _ask(self, accounts: Sequence[AccountId], *, bare: bool) -> dict[AccountId, Synced]:
        first, *others = accounts
        page = await insist(self._bus, subjects.SYNC, Sync(first, also=others, bare=bare))
        return {**page.also, first: page}
