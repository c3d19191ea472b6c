"""Requests to auth about accounts."""

from collections.abc import Collection, Sequence

from shared.bus.client import Bus
from shared.contract.auth import FindInactive
from shared.contract.bots import CreatedBot, CreateHookAccount
from shared.contract.ids import AccountId

_REQUEST_SECONDS = 3.0
_ACCOUNTS = 1_000
"""In one request."""


class AuthAccounts:
    """Implements the ports ActiveAccounts and HookAccounts."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def inactive(self, accounts: Sequence[AccountId]) -> Collection[AccountId]:
        found: list[AccountId] = []
        for start in range(0, len(accounts), _ACCOUNTS):
            request = FindInactive([*accounts[start : start + _ACCOUNTS]])
            found += (
                await self._bus.request(FindInactive.route, request, seconds=_REQUEST_SECONDS, retry=True)
            ).accounts
        return found

    async def create(self, name: str, signature: str, maker: AccountId, nonce: str) -> CreatedBot:
        request = CreateHookAccount(name, signature, maker)
        return await self._bus.request(
            CreateHookAccount.route, request, seconds=_REQUEST_SECONDS, retry=True, nonce=nonce
        )
