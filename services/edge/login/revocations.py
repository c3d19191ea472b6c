"""What must take effect here within a second: revoked logins and maintenance mode, pushed by auth and asked for; and
which keys verify tokens."""

import asyncio
from collections.abc import Callable

from services.edge.canonical.events import Event, MaintenanceChanged
from services.edge.context import EdgeContext
from services.edge.login.token_verifier import TokenVerifier
from shared.contract import subjects
from shared.contract.auth import ListRevocations, Revocation
from shared.contract.errors import RequestError
from shared.telemetry import log

_log = log(__name__)
_EVERY_SECONDS = 1.0
_ATTEMPT_SECONDS = 2.0


class RevocationWatcher:
    """`tell_all` reaches every connection, logged in or not."""

    def __init__(self, node: EdgeContext, gate: TokenVerifier, tell_all: Callable[[Event], None]) -> None:
        self._node = node
        self._gate = gate
        self._tell_all = tell_all
        self._informed = False
        self._pushed = 0
        """How often maintenance mode was told without being asked for."""

    async def run(self) -> None:
        while True:
            try:
                await self.refresh()
            except RequestError as refusal:
                _log.warning("auth could not be asked for revocations", error=str(refusal))
            await asyncio.sleep(_EVERY_SECONDS)

    async def refresh(self) -> None:
        """Raises Refused."""
        more = True
        while more:
            since, pushed = self._node.revision, self._pushed
            watched = await self._node.bus.request(
                subjects.LIST_REVOCATIONS, ListRevocations(since), seconds=_ATTEMPT_SECONDS, retry=True
            )
            self.revoked(watched.revocations)
            if watched.keys:
                self._gate.set_keys(watched.keys)
            if watched.revocations and self._node.revision == since:  # else somebody came meanwhile
                self._node.revision = watched.revocations[-1].number
            if self._pushed == pushed:  # else the answer may be the older news
                self._maintain(watched.maintenance)
            more = watched.more
        self._informed = True
        self._gate.revocations_loaded.set()

    def revoked(self, revocations: list[Revocation]) -> None:
        """Idempotent: a revocation may be heard of twice."""
        self._gate.revoked(revocations)
        for revocation in revocations:
            resident = self._node.accounts.get(revocation.account)
            for recipient in resident.recipients if resident else ():
                recipient.revoked(revocation)

    def maintenance(self, on: bool) -> None:
        """Auth says so unasked."""
        self._pushed += 1
        self._maintain(on)

    def _maintain(self, on: bool) -> None:
        if on == self._node.maintenance:
            return
        self._node.maintenance = on
        if self._informed:
            self._tell_all(MaintenanceChanged(on))
