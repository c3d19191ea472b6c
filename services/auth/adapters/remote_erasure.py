"""Erases an account's data in session and message by requests on the bus."""

import asyncio

from shared.bus.client import Bus
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId
from shared.contract.routes import Ack, Route
from shared.contract.session import EraseAccount
from shared.contract.subjects import ERASE_PROFILE, ERASE_READ_STATE
from shared.telemetry import log

_log = log(__name__)
_ERASE_SECONDS = 1.5
"""Below the 2 s after which the deletion request itself is repeated."""


class BusErasure:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def erase(self, account: AccountId) -> None:
        """A service that does not reply in time erases the data later, when it receives the durable event."""
        await asyncio.gather(*(self._request(route, account) for route in (ERASE_PROFILE, ERASE_READ_STATE)))

    async def _request(self, route: Route[EraseAccount, Ack], account: AccountId) -> None:
        try:
            await self._bus.request(route, EraseAccount(account), seconds=_ERASE_SECONDS, retry=True)
        except RequestError as error:
            _log.warning("erasure left to the durable event", route=route.subject, error=str(error))
