"""Deletes a guest of this node when the guest's last connection ends."""

import asyncio
from typing import Protocol

from services.edge.presence.local_accounts import LocalAccounts
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
    """The guests that are connected to this node. If this node cannot delete a guest, or crashes, the auth service
    deletes the guest some minutes later. It also does so if this node does not know whether the guest is elsewhere."""

    def __init__(self, bus: Bus, tasks: Tasks, nicks: Nicks, connections: LocalAccounts) -> None:
        self._bus = bus
        self._tasks = tasks
        self._nicks = nicks
        self._connections = connections
        self._accounts: dict[AccountId, ProfileSummary | None] = {}

    def began(self, account: AccountId, face: ProfileSummary | None, *, elsewhere: bool = False) -> None:
        """Note that a guest has connected. `elsewhere`: whether the guest is connected to another node, too."""
        is_first = account not in self._accounts and not elsewhere
        self._accounts[account] = face
        if is_first and face is not None:
            self._nicks.seen(account, face, online=True)

    def renamed(self, account: AccountId, face: ProfileSummary) -> None:
        before = self._accounts.get(account)
        if before is None:
            return
        if not face.guest:  # the guest has registered on another node
            self.ended(account)
            return
        self._accounts[account] = face
        if before.nick.lower() != face.nick.lower():
            self._nicks.seen(account, before, online=False)
            self._nicks.seen(account, face, online=True)
        elif before.signature != face.signature:
            self._nicks.seen(account, face, online=True, described=True)

    def __contains__(self, account: AccountId) -> bool:
        return account in self._accounts

    def left(self, account: AccountId, connection: int) -> None:
        """Note that the connection has left the account. If this was the last connection here of a guest, end the
        guest."""
        self._nicks.stop_monitoring(connection)
        if account in self._accounts and not self._connections.connections(account):
            self._tasks.start(self._end(account), "end guest")

    def ended(self, account: AccountId) -> None:
        """Note that the account is deleted, or has registered. It may be a guest. Users who monitor the guest are
        shown that it has left, because NickSeen events of the account end."""
        face = self._accounts.pop(account, None)
        if face is not None:
            self._nicks.seen(account, face, online=False)

    async def is_last(self, account: AccountId) -> bool:
        """Whether the account has a single connection on all nodes, which is here."""
        return self._connections.connections(account) == 1 and not await self._may_be_elsewhere(account)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_KEPT_SECONDS)
            if self._accounts:
                try:
                    await self._bus.send(KeepGuests(sorted(self._accounts)), seconds=_SECONDS, retry=True)
                except RequestError as error:
                    _log.warning("connected guests were not reported", error=str(error))

    async def _end(self, account: AccountId) -> None:
        may_be_elsewhere = await self._may_be_elsewhere(account)
        if self._connections.connections(account):
            return
        if may_be_elsewhere:
            self._accounts.pop(account, None)
            return
        self.ended(account)
        try:
            request = DeleteAccount(account, reason=_CLOSED, of_guest=True)
            await self._bus.send(request, seconds=_SECONDS, retry=True, nonce=new_nonce())
        except RequestError as error:
            _log.warning("the account of a guest was not deleted", account=account, error=str(error))

    async def _may_be_elsewhere(self, account: AccountId) -> bool:
        """Whether the account may have connections to other nodes. While presence is unknown, it may."""
        return bool(await self._connections.other_nodes(account)) or self._connections.presence_unknown
