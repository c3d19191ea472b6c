"""Requests to auth about accounts, and to message about chats."""

from collections.abc import Collection, Mapping, Sequence

from shared.bus.client import Bus
from shared.contract.auth import FindInactive
from shared.contract.bots import CreatedBot, CreateHookAccount
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHeads, GetHistory, Heads
from shared.contract.model import Message

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


class MessageHeads:
    """Implements the port ChatHeads."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def last_index(self, chat: ChatId) -> int:
        return (await self.last_change(chat))[0]

    async def last_change(self, chat: ChatId) -> tuple[int, int | None]:
        found = await self._get([chat])
        return found.heads.get(chat, 0), found.revs.get(chat)

    async def last_indexes(self, chats: Sequence[ChatId]) -> Mapping[ChatId, int]:
        return (await self._get(chats)).heads

    async def _get(self, chats: Sequence[ChatId]) -> Heads:
        return await self._bus.request(GetHeads.route, GetHeads(list(chats)), seconds=_REQUEST_SECONDS, retry=True)


class MessageReader(MessageHeads):
    """Implements the port ChatMessages."""

    async def read(self, chat: ChatId, start: int, count: int, actor: AccountId) -> list[Message]:
        request = GetHistory(chat, start, count, older=False, actor=actor)
        return (await self._bus.request(GetHistory.route, request, seconds=_REQUEST_SECONDS, retry=True)).messages
