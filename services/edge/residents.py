"""The accounts that have connections on this node, and their registration in presence.

Presence is joined before an account's missed messages are read, and left only after its read state is committed.
When Redis is away, nothing waits for it: services then tell every node, and the lease registers later.
"""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from redis.exceptions import RedisError

from services.edge.encoding import Encoded
from services.edge.rates import Bucket
from services.edge.requests import Event
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.message import ChatSync
from shared.presence import Presence
from shared.telemetry import log

_log = log(__name__)


class Recipient(Protocol):
    """A connection of a resident, as those see it who have something for it."""

    def deliver(self, encoded: Encoded) -> None:
        """A message, in the order of its chat's index."""

    def tell(self, event: Event) -> None: ...

    def catch_up(self, entry: ChatSync) -> None:
        """A re-sync found a chat that the account was not known to be in."""

    def hang_up(self, code: int, reason: str) -> None: ...

    def revoked(self, sid: str, number: int) -> None:
        """Revocation `number` ends the login session `sid` (empty: every session of the account)."""

    async def settle(self) -> None:
        """Find out, within a second, whether what was pushed has arrived."""


class Resident:
    """One account here. `recipients` is replaced, never changed, so it may be iterated while connections come and
    go."""

    __slots__ = ("account", "chats", "recipients", "registered", "requests")

    def __init__(self, account: AccountId, requests: Bucket | None) -> None:
        self.account = account
        self.recipients: tuple[Recipient, ...] = ()
        self.chats: set[ChatId] = set()
        self.requests = requests
        self.registered = True
        """False: presence could not be joined, or was lost."""


class Residents:
    def __init__(self, node: NodeId, presence: Presence) -> None:
        self._node = node
        self._presence = presence
        self._residents: dict[AccountId, Resident] = {}
        self._leaving: set[AccountId] = set()
        self._registering = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._residents)

    def get(self, account: AccountId) -> Resident | None:
        return self._residents.get(account)

    def all(self) -> list[Resident]:
        return list(self._residents.values())

    def attach(self, account: AccountId, recipient: Recipient, requests: Bucket | None) -> Resident:
        """From now on what comes for the account goes to this connection too."""
        resident = self._residents.get(account)
        if resident is None:
            resident = self._residents[account] = Resident(account, requests)
        self._leaving.discard(account)
        resident.recipients += (recipient,)
        return resident

    def detach(self, account: AccountId, recipient: Recipient) -> Resident | None:
        """The connection leaves; returns the resident if it was the last one (its presence is left later)."""
        resident = self._residents.get(account)
        if resident is None or recipient not in resident.recipients:
            return None
        resident.recipients = tuple(other for other in resident.recipients if other is not recipient)
        if resident.recipients:
            return None
        del self._residents[account]
        self._leaving.add(account)
        return resident

    async def register(self, account: AccountId) -> list[NodeId]:
        """Join presence; the other nodes the account is on. Without Redis: none, and it is registered later."""
        try:
            others = await self._presence.join(self._node, [account])
        except RedisError as error:
            _log.warning("presence not joined", error=repr(error))
            if resident := self._residents.get(account):
                resident.registered = False
            return []
        return others.get(account, [])

    async def register_all(self, *, again: bool) -> list[AccountId]:
        """Join presence for those that are not registered, or for all `again`; returns whom. Raises RedisError."""
        async with self._registering:
            if again:
                for resident in self._residents.values():
                    resident.registered = False
            missing = [resident for resident in self._residents.values() if not resident.registered]
            for start in range(0, len(missing), 1000):
                some = missing[start : start + 1000]
                await self._presence.join(self._node, [resident.account for resident in some])
                for resident in some:
                    resident.registered = True
            return [resident.account for resident in missing]

    def departed(self) -> list[AccountId]:
        """Accounts whose last connection has left, and whose presence has not been left yet."""
        return list(self._leaving)

    async def leave(self, accounts: Iterable[AccountId]) -> None:
        """Leave presence, save for those who are back. Raises RedisError."""
        gone = [account for account in accounts if account in self._leaving]
        if not gone:
            return
        await self._presence.leave(self._node, gone)
        self._leaving.difference_update(gone)
        back = [account for account in gone if account in self._residents]
        if back:  # they came while their departure was on its way
            await self._presence.join(self._node, back)
