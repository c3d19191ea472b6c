"""Announces over NATS the accounts of this node that presence may lack, while the node cannot reach Redis."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import nats.errors

from shared.bus.client import pack
from shared.contract.edge import PresenceIncomplete
from shared.contract.ids import AccountId, NodeId
from shared.contract.subjects import PRESENCE_INCOMPLETE
from shared.telemetry import log

_log = log(__name__)
_PAGE_ACCOUNTS = 40_000
"""They take 360 KB."""

PublishBytes = Callable[[str, bytes], Awaitable[None]]
"""Publishes a payload on a NATS subject. Raises nats.errors.Error."""


class PresenceAnnouncer:
    """An announcement is valid for a lease, and is repeated by each beat of the lease."""

    def __init__(self, publish: PublishBytes, node: NodeId, lease_seconds: float) -> None:
        self._publish = publish
        self._node = node
        self._milliseconds = int(lease_seconds * 1000)
        self._incomplete = False
        self._logins: set[AccountId] = set()
        """Accounts that are announced in the next tick."""

    async def announce_login(self, account: AccountId) -> None:
        """The account could not be registered. Logins of one tick share an announcement."""
        self._logins.add(account)
        await asyncio.sleep(0)
        if self._logins:
            accounts, self._logins = self._logins, set()
            await self.announce_incomplete(accounts)

    async def announce_incomplete(self, accounts: Iterable[AccountId]) -> None:
        """Presence may lack these accounts."""
        self._incomplete = True
        names = list(accounts)
        for start in range(0, len(names), _PAGE_ACCOUNTS) or (0,):
            await self._announce(self._milliseconds, names[start : start + _PAGE_ACCOUNTS])

    async def announce_complete(self) -> None:
        if self._incomplete:
            self._incomplete = False
            await self._announce(0, [])

    async def _announce(self, milliseconds: int, accounts: list[AccountId]) -> None:
        try:
            await self._publish(PRESENCE_INCOMPLETE, pack(PresenceIncomplete(self._node, milliseconds, accounts)))
        except nats.errors.Error as error:
            _log.warning("state of presence not announced", error=repr(error))
