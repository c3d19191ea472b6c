"""Announces the accounts of this node over NATS. It does so while the node cannot reach Redis, and while replicas of
the message service cannot reach Redis and request announcements.

For the replicas, announcements have numbers. A new account on the node is unconfirmed until the heartbeats of the
replicas contain the number of an announcement with this account. Until then, the replicas may send the account nothing.
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
"""Returns all accounts that have connections here, or are about to have one."""


class AnnouncedLogin(NamedTuple):
    number: int
    """The number of the announcement that names the login."""
    time: float


class PresenceAnnouncer:
    """An announcement is valid as long as the node's lease, and is repeated each time that the lease is refreshed.
    `wanted`: whether replicas of the message service want announcements. Times are on the event loop's clock."""

    def __init__(self, publish: PublishBytes, node: NodeId, lease_seconds: float) -> None:
        self._publish = publish
        self._node = node
        self._milliseconds = int(lease_seconds * 1000)
        self._incomplete = False
        self.wanted = False
        self.first = 0
        """The number of the first announcement since announcements have been wanted."""
        self._number = 0
        """The number of the last announcement, or a number that was skipped."""
        self._listing = asyncio.Lock()
        self.listed_at = float("-inf")
        """When this node last began to announce all accounts."""
        self._logins: set[AccountId] = set()
        """The accounts to announce at the end of this event-loop iteration."""
        self.unconfirmed: dict[AccountId, AnnouncedLogin] = {}
        """The accounts that are not confirmed yet. Other modules may only read this."""

    async def announce_login(self, account: AccountId) -> None:
        """Announce an account that could not be registered in presence."""
        self._incomplete = True
        await self._announce_soon(account)

    async def announce_registered(self, account: AccountId) -> None:
        """Announce an account that is registered in presence. Only replicas that cannot read presence need this."""
        if self.wanted:
            await self._announce_soon(account)

    async def _announce_soon(self, account: AccountId) -> None:
        """Announce an account together with the other logins of this event-loop iteration."""
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
        async with self._listing:  # the announcements of two lists must not alternate
            names = list(present())  # accounts that log in after this line get later numbers
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
        """Number the announcements from now on. One number is skipped. A replica that has not noticed the end of the
        previous announcements must not continue with its old knowledge."""
        self.wanted = True
        self._number += 1
        self.first = self._number + 1

    async def withdraw(self) -> None:
        """Stop announcing, because the replicas do not want announcements any more. The replicas forget the
        accounts."""
        self.wanted = False
        await self._announce([], milliseconds=self._milliseconds if self._incomplete else 0)

    # The following method tracks logins that the replicas may not know yet.

    def confirm(self, number: int, before: float) -> list[AccountId]:
        """Note that the replicas know the announcements up to `number`, and need not know logins from before the time
        `before`. Returns the accounts that are confirmed by this. The caller must sync these accounts."""
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
