"""Reports logins by token to auth, for its audit trail: edges verify tokens by themselves."""

import asyncio
import time
from collections import OrderedDict

from services.edge.client.connection import Connection
from shared.addresses import network
from shared.bus.client import Bus
from shared.contract.auth import MAX_TOKEN_LOGINS, RecordTokenLogins, TokenLogin
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId
from shared.telemetry import log

_log = log(__name__)
_PAUSE_SECONDS = 5.0
_REQUEST_SECONDS = 4.0
_PENDING = 10_000
"""While auth is away; further ones are not reported."""
_REPORTED = 50_000
"""Accounts and networks that are not reported again on the same day: clients reconnect often."""
_DAY_SECONDS = 86_400.0


class TokenLoginReports:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._pending: dict[TokenLogin, None] = {}
        self._reported: OrderedDict[tuple[AccountId, str], float] = OrderedDict()
        """Monotonic seconds."""

    def note(self, account: AccountId, connection: Connection) -> None:
        where = network(connection.address) if connection.address else ""
        now = time.monotonic()
        if now - self._reported.get((account, where), -_DAY_SECONDS) < _DAY_SECONDS or len(self._pending) >= _PENDING:
            return
        self._reported[account, where] = now
        if len(self._reported) > _REPORTED:
            self._reported.popitem(last=False)
        client = connection.dialect.name if connection.dialect else ""
        self._pending[TokenLogin(account, where, client)] = None

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            await self.send()

    async def send(self) -> None:
        """Sends all batches; what auth does not accept now stays for the next time."""
        while batch := list(self._pending)[:MAX_TOKEN_LOGINS]:
            if self._bus.is_denied(RecordTokenLogins.route.subject):
                self._pending.clear()
                return
            try:
                await self._bus.send(RecordTokenLogins(batch), seconds=_REQUEST_SECONDS)
            except RequestError as error:
                _log.debug("logins by token not reported", error=str(error))
                return
            for login in batch:
                del self._pending[login]
