"""Deletes each guest of this node when the guest's connection ends."""

import asyncio
from typing import Protocol

from shared.bus.client import Bus
from shared.contract.auth import DeleteAccount
from shared.contract.errors import RequestError
from shared.contract.guests import KeepGuests
from shared.contract.ids import AccountId
from shared.contract.model import ProfileSummary
from shared.request_nonce import new_nonce
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_SECONDS = 10.0
_KEPT_SECONDS = 60.0
_CLOSED = "Connection closed"


class Nicks(Protocol):
    def seen(self, account: AccountId, face: ProfileSummary, *, online: bool, described: bool = False) -> None: ...

    def stop_monitoring(self, connection: int) -> None: ...


class LocalGuests:
    """The guests that are connected to this node. If this node cannot delete a guest, or dies, auth deletes the guest
    some minutes later."""

    def __init__(self, bus: Bus, tasks: Tasks, nicks: Nicks) -> None:
        self._bus = bus
        self._tasks = tasks
        self._nicks = nicks
        self._accounts: dict[AccountId, ProfileSummary | None] = {}

    def began(self, account: AccountId, face: ProfileSummary | None) -> None:
        self._accounts[account] = face
        if face is not None:
            self._nicks.seen(account, face, online=True)

    def renamed(self, account: AccountId, face: ProfileSummary) -> None:
        before = self._accounts.get(account)
        if before is None:
            return
        if before.nick.lower() != face.nick.lower():
            self._nicks.seen(account, before, online=False)
            self.began(account, face)
        else:
            self._accounts[account] = face
            if before.signature != face.signature:
                self._nicks.seen(account, face, online=True, described=True)

    def __contains__(self, account: AccountId) -> bool:
        return account in self._accounts

    def registered(self, account: AccountId) -> None:
        """The guest has become a user, who stays when the connection ends."""
        self._accounts.pop(account, None)

    def left(self, account: AccountId, connection: int) -> None:
        """The connection has left the account, which may be a guest."""
        self._nicks.stop_monitoring(connection)
        if account in self._accounts:
            face = self._accounts.pop(account)
            if face is not None:
                self._nicks.seen(account, face, online=False)
            self._tasks.start(self._end(account), "end guest")

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_KEPT_SECONDS)
            if self._accounts:
                try:
                    await self._bus.send(KeepGuests(sorted(self._accounts)), seconds=_SECONDS, retry=True)
                except RequestError as error:
                    _log.warning("guests not kept", error=str(error))

    async def _end(self, account: AccountId) -> None:
        try:
            request = DeleteAccount(account, reason=_CLOSED, of_guest=True)
            await self._bus.send(request, seconds=_SECONDS, retry=True, nonce=new_nonce())
        except RequestError as error:
            _log.warning("guest not ended", account=account, error=str(error))
