"""Changes that must take effect here within a second: revoked logins, maintenance mode, and the keys that verify
tokens. Auth pushes revocations and maintenance mode; all of them are also requested every second."""

import asyncio
from collections.abc import Callable

from services.edge.canonical.events import Event, MaintenanceChanged
from services.edge.login.auth_state import AuthState
from services.edge.login.token_verifier import TokenVerifier
from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.clock import steady_ms
from shared.contract import subjects
from shared.contract.auth import ListRevocations, Revocation
from shared.contract.errors import RequestError
from shared.telemetry import log

_log = log(__name__)
_INTERVAL_SECONDS = 1.0
_ATTEMPT_SECONDS = 2.0


class RevocationWatcher:
    """`notify_all` reaches every connection, logged in or not."""

    def __init__(
        self,
        bus: Bus,
        state: AuthState,
        verifier: TokenVerifier,
        accounts: LocalAccounts,
        notify_all: Callable[[Event], None],
    ) -> None:
        self._bus = bus
        self._state = state
        self._verifier = verifier
        self._accounts = accounts
        self._notify_all = notify_all
        self._loaded = False
        self._pushed = 0
        """How often auth has pushed maintenance mode."""

    async def run(self) -> None:
        while True:
            try:
                await self.refresh()
            except RequestError as error:
                _log.warning("revocations not listed", error=str(error))
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def refresh(self) -> None:
        """Raises RequestError."""
        state, more = self._state, True
        while more:
            since, pushed, sent = state.revision, self._pushed, steady_ms()
            reply = await self._bus.request(
                subjects.LIST_REVOCATIONS, ListRevocations(since), seconds=_ATTEMPT_SECONDS, retry=True
            )
            state.clock.observe(reply.now, sent, steady_ms())
            self.revoked(reply.revocations)
            if reply.keys:
                self._verifier.set_keys(reply.keys)
            if reply.revocations and state.revision == since:  # otherwise a login came meanwhile
                state.revision = reply.revocations[-1].number
            if self._pushed == pushed:  # otherwise the push is newer than the reply
                self._set_maintenance(reply.maintenance)
            more = reply.more
        self._loaded = True
        self._verifier.revocations_loaded.set()

    def revoked(self, revocations: list[Revocation]) -> None:
        """Idempotent: a revocation may be received twice."""
        self._verifier.revoked(revocations)
        for revocation in revocations:
            local = self._accounts.get(revocation.account)
            for recipient in local.recipients if local else ():
                recipient.revoked(revocation)

    def maintenance(self, on: bool) -> None:
        """Auth has pushed maintenance mode."""
        self._pushed += 1
        self._set_maintenance(on)

    def _set_maintenance(self, on: bool) -> None:
        if on == self._state.maintenance:
            return
        self._state.maintenance = on
        if self._loaded:
            self._notify_all(MaintenanceChanged(on))
