"""Requests to auth about the states of accounts."""

from collections.abc import Collection, Sequence

from shared.bus.client import Bus
from shared.contract.auth import FindInactive
from shared.contract.ids import AccountId
from shared.contract.subjects import FIND_INACTIVE

_REQUEST_SECONDS = 3.0


class BusActiveAccounts:
    """Implements the port ActiveAccounts."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def inactive(self, accounts: Sequence[AccountId]) -> Collection[AccountId]:
        request = FindInactive([*accounts])
        return (await self._bus.request(FIND_INACTIVE, request, seconds=_REQUEST_SECONDS, retry=True)).accounts
