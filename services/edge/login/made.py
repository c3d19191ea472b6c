"""What an account has made that acts without a login: tokens of its bots, webhooks, links."""

import asyncio

from services.edge.canonical.replies import AccountMade, MadeCounts
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.bots import ListBots
from shared.contract.errors import RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.made import EndMade, ListMade
from shared.contract.routes import Ack
from shared.request_nonce import new_nonce
from shared.telemetry import log

_log = log(__name__)
_COUNT_SECONDS = 2.0
"""The reply about a new secret waits no longer for what it shows besides."""


class OwnMade:
    """Each request waits for its reply for `seconds`."""

    def __init__(self, bus: Bus, seconds: float) -> None:
        self._bus = bus
        self._seconds = seconds

    async def handle(self, command: ListMade | EndMade, actor: AccountId) -> AccountMade | Ack:
        """Raises RequestError."""
        if isinstance(command, ListMade):
            return await self.list(actor)
        for route in (EndMade.route, subjects.END_BOT_TOKENS):
            await self._bus.request(route, EndMade(actor), seconds=self._seconds, retry=True, nonce=new_nonce())
        return Ack()

    async def list(self, actor: AccountId) -> AccountMade:
        """Raises RequestError."""
        bots = await self._bus.request(ListBots.route, ListBots(actor), seconds=self._seconds, retry=True)
        made = await self._bus.request(ListMade.route, ListMade(actor), seconds=self._seconds, retry=True)
        return AccountMade(tuple(bots.bots), made)

    async def count(self, account: AccountId) -> MadeCounts | None:
        """After the account has got a new secret, which must be acknowledged whatever else fails. None: unknown."""
        if account == NO_ACCOUNT:
            return None
        try:
            async with asyncio.timeout(_COUNT_SECONDS):
                found = await self.list(account)
        except (RequestError, TimeoutError) as error:
            _log.warning("what the account has made is not listed", account=account, error=str(error))
            return None
        outgoing = sum(bool(one.origin) for one in found.made.hooks)
        tokens = sum(len(bot.tokens) for bot in found.bots)
        return MadeCounts(len(found.made.hooks) - outgoing, outgoing, len(found.made.links), tokens)
