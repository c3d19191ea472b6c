"""What must take effect here within a second: revoked logins and maintenance mode, pushed by auth and asked for."""

import asyncio
from collections.abc import Callable

from services.edge.node import Node
from services.edge.requests import Event, MaintenanceChanged
from shared.contract import subjects
from shared.contract.auth import Revocation, Watch
from shared.contract.errors import Refused
from shared.telemetry import log

_log = log(__name__)
_EVERY_SECONDS = 1.0


class Watcher:
    """`tell_all` reaches every connection, logged in or not."""

    def __init__(self, node: Node, tell_all: Callable[[Event], None]) -> None:
        self._node = node
        self._tell_all = tell_all
        self._since = 0
        self._informed = False

    async def run(self) -> None:
        while True:
            try:
                await self.ask()
            except Refused as refusal:
                _log.warning("auth could not be asked for revocations", error=str(refusal))
            await asyncio.sleep(_EVERY_SECONDS)

    async def ask(self) -> None:
        """Raises Refused."""
        more = True
        while more:
            watched = await self._node.bus.ask(subjects.WATCH, Watch(self._since), seconds=2.0, retry=True)
            self.revoked(watched.revocations)
            if watched.revocations:
                self._since = max(self._since, watched.revocations[-1].number)
            self.maintenance(watched.maintenance)
            more = watched.more
        self._informed = True

    def revoked(self, revocations: list[Revocation]) -> None:
        """Idempotent: a revocation may be heard of twice."""
        for revocation in revocations:
            resident = self._node.residents.get(revocation.account)
            for recipient in resident.recipients if resident else ():
                recipient.revoked(revocation.sid, revocation.number)

    def maintenance(self, on: bool) -> None:
        if on == self._node.maintenance:
            return
        self._node.maintenance = on
        if self._informed:
            self._tell_all(MaintenanceChanged(on))
