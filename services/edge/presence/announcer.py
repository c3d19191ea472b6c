"""Announces the accounts of this node over NATS: while the node cannot reach Redis, and while replicas of the message
service cannot reach Redis and request announcements.

For the replicas, announcements are numbered. A new account on the node is unconfirmed until the replicas have repeated
the number of an announcement with this account. Until then, the replicas may send the account nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple

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

PresentAccounts = Callable[[], Collection[AccountId]]
"""Returns all accounts that are here or about to be."""


class AnnouncedLogin(NamedTuple):
    number: int
    """The number of the announcement that names the login."""
    time: float


class PresenceAnnouncer:
    """An announcement is valid for a lease, and each beat of the lease repeats it. `wanted`: whether replicas of the
    message service want announcements. Times are the event loop's."""

    def __init__(self, publish: PublishBytes, node: NodeId, lease_seconds: float) -> None:
        self._publish = publish
        self._node = node
        self._milliseconds = int(lease_seconds * 1000)
        self._incomplete = False
        self.wanted = False
        self.first = 0
        """The lowest number since announcements have been wanted."""
        self._number = 0
        """The last number, which may have been skipped."""
        self._listing = asyncio.Lock()
        self.listed_at = float("-inf")
        """When the last list of all accounts began."""
        self._logins: set[AccountId] = set()
        """The accounts to announce at the end of this event-loop iteration."""
        self.unconfirmed: dict[AccountId, AnnouncedLogin] = {}
        """Read-only for other modules."""

    async def announce_login(self, account: AccountId) -> None:
        """Announce an account that could not be registered in presence."""
        self._incomplete = True
        await self._announce_soon(account)

    async def announce_registered(self, account: AccountId) -> None:
        """Announce an account that is registered. Only replicas that cannot read presence lack the account."""
        if self.wanted:
            await self._announce_soon(account)

    async def _announce_soon(self, account: AccountId) -> None:
        """The logins of one event-loop iteration share an announcement."""
        self._logins.add(account)
        await asyncio.sleep(0)
        if self._logins:
            accounts, self._logins = self._logins, set()
            if self.wanted:
                self.unconfirmed.update(dict.fromkeys(accounts, AnnouncedLogin(self._number + 1, _now())))
            await self._announce(list(accounts))

    async def announce_incomplete(self, present: PresentAccounts) -> None:
        """Announce all accounts, because presence may lack any of them."""
        self._incomplete = True
        await self.announce_all(present)

    async def announce_all(self, present: PresentAccounts) -> None:
        async with self._listing:  # two lists must not interleave their announcements
            names = list(present())  # accounts that log in from here on get later numbers
            self.listed_at = _now()
            starts = range(0, len(names), _PAGE_ACCOUNTS) or (0,)
            for start in starts:
                page = names[start : start + _PAGE_ACCOUNTS]
                await self._announce(page, starts=start == 0, ends=start == starts[-1])

    async def announce_complete(self) -> None:
        if self._incomplete:
            self._incomplete = False
            await self._announce([], milliseconds=0)

    def want(self) -> None:
        """Number the announcements from now on. The node skips one number: a replica that has not noticed the previous
        end must not continue with its old knowledge."""
        self.wanted = True
        self._number += 1
        self.first = self._number + 1

    async def withdraw(self) -> None:
        """Replicas do not want the announcements any more, and forget them."""
        self.wanted = False
        await self._announce([], milliseconds=self._milliseconds if self._incomplete else 0)

    # The methods below track logins that the replicas may not know yet.

    def confirm(self, number: int, before: float) -> list[AccountId]:
        """Replicas know the announcements up to `number`, or need not know logins from before the time `before`.
        Returns the accounts that are confirmed by this; the caller must sync these accounts."""
        confirmed = [one for one, login in self.unconfirmed.items() if login.number <= number or login.time < before]
        for account in confirmed:
            del self.unconfirmed[account]
        return confirmed

    async def _announce(
        self, accounts: list[AccountId], *, milliseconds: int | None = None, starts: bool = False, ends: bool = False
    ) -> None:
        self._number += self.wanted
        life, number = self._milliseconds if milliseconds is None else milliseconds, self._number if self.wanted else 0
        registered = life > 0 and not self._incomplete
        announced = PresenceIncomplete(self._node, life, accounts, number, starts, ends, registered)
        try:
            await self._publish(PRESENCE_INCOMPLETE, pack(announced))
        except nats.errors.Error as error:
            _log.warning("incomplete presence not announced", error=repr(error))


def _now() -> float:
    return asyncio.get_running_loop().time()
