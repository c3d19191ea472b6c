"""Reports logins by token to the auth service, for its audit trail and its refresh tokens. The service does not see
these logins, because edges themselves verify tokens."""

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
from shared.tokens import Claims

_log = log(__name__)
_PAUSE_SECONDS = 5.0
_REQUEST_SECONDS = 4.0
_PENDING = 10_000
"""The most logins that wait while the auth service is unavailable. Further logins are not reported."""
_REPORTED = 50_000
"""The most logins that are remembered, so that the same token and network are not reported again within a day. Clients
reconnect often."""
_DAY_SECONDS = 86_400.0


class TokenLoginReports:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._pending: dict[TokenLogin, None] = {}
        self._reported: OrderedDict[tuple[AccountId, str, str, int], float] = OrderedDict()
        """When each login was reported, in monotonic seconds."""

    def note(self, claims: Claims, connection: Connection) -> None:
        """Report a login. `claims`: the claims of its token."""
        where = network(connection.address) if connection.address else ""
        key = (claims.account, where, claims.sid, claims.issued)
        now = time.monotonic()
        if now - self._reported.get(key, -_DAY_SECONDS) < _DAY_SECONDS or len(self._pending) >= _PENDING:
            return
        self._reported[key] = now
        if len(self._reported) > _REPORTED:
            self._reported.popitem(last=False)
        client = connection.dialect.name if connection.dialect else ""
        self._pending[TokenLogin(claims.account, where, client, claims.sid, claims.issued)] = None

    async def run(self) -> None:
        """Send logins until this task is cancelled."""
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            await self.send()

    async def send(self) -> None:
        """Send the logins to the auth service, in batches. If it does not accept a batch, the remaining logins wait for
        the next call."""
        while batch := list(self._pending)[:MAX_TOKEN_LOGINS]:
            try:
                await self._bus.send(RecordTokenLogins(batch), seconds=_REQUEST_SECONDS)
            except RequestError as error:
                _log.debug("logins by token were not reported to the auth service", error=str(error))
                return
            for login in batch:
                del self._pending[login]
