"""Announces the accounts of this node over NATS while the node cannot reach Redis, because presence may lack them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection

import nats.errors

from shared.bus.client import pack
from shared.contract.edge import PresenceIncomplete
from shared.contract.ids import AccountId, NodeId
from shared.contract.subjects import PRESENCE_INCOMPLETE
from shared.telemetry import log

_log = log(__name__)

_PAGE_ACCOUNTS = 40_000
"""The most accounts in one announcement, which then takes 360 KB."""

PublishBytes = Callable[[str, bytes], Awaitable[None]]
"""Publishes a payload on a NATS subject. Raises nats.errors.Error."""


class PresenceAnnouncer:
    """An announcement is valid as long as the node's lease, and is repeated each time that the lease should be
    refreshed."""

    def __init__(self, publish: PublishBytes, node: NodeId, lease_seconds: float) -> None:
        self._publish = publish
        self._node = node
        self._milliseconds = int(lease_seconds * 1000)
        self._is_incomplete = False
        self._logins: set[AccountId] = set()
        """The accounts to announce at the end of this event-loop iteration."""

    async def announce_login(self, account: AccountId) -> None:
        """Announce an account that could not be registered in presence, together with the other logins of this
        event-loop iteration."""
        self._logins.add(account)
        await asyncio.sleep(0)
        if self._logins:
            accounts, self._logins = self._logins, set()
            await self.announce_incomplete(accounts)

    async def announce_incomplete(self, accounts: Collection[AccountId]) -> None:
        """Announce accounts that presence may lack."""
        self._is_incomplete = True
        names = list(accounts)
        for start in range(0, len(names), _PAGE_ACCOUNTS):
            await self._announce(self._milliseconds, names[start : start + _PAGE_ACCOUNTS])

    async def announce_complete(self) -> None:
        """Announce that presence lacks no account of this node any more."""
        if self._is_incomplete:
            self._is_incomplete = False
            await self._announce(0, [])

    async def _announce(self, milliseconds: int, accounts: list[AccountId]) -> None:
        try:
            await self._publish(PRESENCE_INCOMPLETE, pack(PresenceIncomplete(self._node, milliseconds, accounts)))
        except nats.errors.Error as error:
            _log.warning("incomplete presence not announced", error=repr(error))
