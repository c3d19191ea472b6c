"""The accounts that have connections on this node, and their registration in presence.

Presence is joined before an account's missed messages are read, and left only after its read state is committed; many
join together. Of one account only one call to Redis is under way at a time, so that none overtakes another. When Redis
is away, nothing waits for it: services then tell every node, and the lease registers later.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from redis.exceptions import RedisError

from services.edge.canonical.events import Event
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.rate_limit import TokenBucket
from services.edge.rpc.coalescer import RequestCoalescer
from shared.contract.auth import Revocation
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import ProfileSummary
from shared.presence import Presence
from shared.settings import Limits
from shared.telemetry import log

_log = log(__name__)
_AT_ONCE = 1_000


class Recipient(Protocol):
    """A connection of a resident, as those see it who have something for it."""

    @property
    def names_senders(self) -> bool:
        """Whether its client is shown how senders are called."""

    @property
    def pushes_pending_requests(self) -> bool:
        """Whether its client is shown what happened while nobody was here."""

    def deliver(self, said: Sequence[EncodedMessage]) -> None:
        """Messages of one chat, in the order of its index."""

    def notify(self, event: Event) -> None: ...

    def catch_up(self, chat: ChatId, fresh: int) -> None:
        """Messages of this chat were not delivered, because the account was not known to be in it; from index `fresh`
        on they are news."""

    def close(self, code: int, reason: str) -> None: ...

    def revoked(self, revocation: Revocation) -> None:
        """Some of the account's logins are void; it may be heard of twice, or late."""

    async def confirm_all(self) -> None:
        """Find out, within a second, whether what was pushed has arrived."""


class LocalAccount:
    """One account here. `recipients` is replaced, never changed, so it may be iterated while connections come and
    go; `requests` limits all of them together; `left` are chats it was in, and the membership's version that says that
    it is not any more: nothing older is believed."""

    __slots__ = ("account", "chats", "left", "private_chats", "recipients", "requests", "summary")

    def __init__(self, account: AccountId, requests: TokenBucket) -> None:
        self.account = account
        self.recipients: tuple[Recipient, ...] = ()
        self.chats: set[ChatId] = set()
        self.left: dict[ChatId, int] = {}
        self.requests = requests
        self.summary: ProfileSummary | None = None
        self.private_chats: dict[AccountId, ChatId] = {}
        """Those it has spoken in from here, by the other one."""

    def catch_up(self, chat: ChatId, fresh: int) -> None:
        for recipient in self.recipients:
            recipient.catch_up(chat, fresh)

    def notify(self, event: Event) -> None:
        for recipient in self.recipients:
            recipient.notify(event)


class LocalAccounts:
    def __init__(self, node: NodeId, presence: Presence, limits: Limits) -> None:
        self._node = node
        self._presence = presence
        self._limits = limits
        self.by_account: dict[AccountId, LocalAccount] = {}
        """To be read."""
        self.stale_profiles: set[AccountId] = set()
        """Those whose faces may have changed unnoticed."""
        self._leaving: set[AccountId] = set()
        """Not here (any more), and still in presence."""
        self._missing: set[AccountId] = set()
        """Not, or not surely, in presence."""
        self._in_flight: dict[AccountId, asyncio.Event] = {}
        """A call to Redis is under way; set when it is over."""
        self._joins = RequestCoalescer("presence", partial(presence.join, node), _AT_ONCE)

    async def close(self) -> None:
        await self._joins.close()

    def names_senders(self, account: AccountId) -> bool:
        """Whether any client of the account here is shown how senders are called."""
        resident = self.by_account.get(account)
        return resident is not None and any(recipient.names_senders for recipient in resident.recipients)

    def __len__(self) -> int:
        return len(self.by_account)

    def get(self, account: AccountId) -> LocalAccount | None:
        return self.by_account.get(account)

    def attach(self, account: AccountId, recipient: Recipient, now: float) -> LocalAccount:
        """From now on what comes for the account goes to this connection too."""
        resident = self.by_account.get(account)
        if resident is None:
            requests = TokenBucket(self._limits.requests_per_second, self._limits.requests_burst, now)
            resident = self.by_account[account] = LocalAccount(account, requests)
        self._leaving.discard(account)
        self.stale_profiles.add(account)
        resident.recipients += (recipient,)
        return resident

    def detach(self, resident: LocalAccount, recipient: Recipient) -> bool:
        """The connection leaves; whether it was the account's last one (its presence is left later)."""
        resident.recipients = tuple(other for other in resident.recipients if other is not recipient)
        if resident.recipients:
            return False
        del self.by_account[resident.account]
        self._leaving.add(resident.account)
        return True

    # Presence

    async def register(self, account: AccountId) -> list[NodeId]:
        """Join presence for an account that is about to be attached, in this very moment; if it never is, its presence
        is left again. Returns the other nodes the account is on; none without Redis, and it is registered later."""
        while (call := self._in_flight.get(account)) is not None:
            await call.wait()
        with self._call([account]):
            try:
                others = await self._joins.get(account)
            except RedisError as error:
                _log.warning("presence not joined", error=repr(error))
                self._missing.add(account)
                others = []
        if account not in self.by_account:
            self._leaving.add(account)
        return others

    @property
    def presence_unknown(self) -> bool:
        """Accounts may be on nodes that presence, which was lost, does not name yet."""
        return self._presence.has_lost_state

    async def other_nodes(self, account: AccountId) -> list[NodeId]:
        """The other nodes the account is on; none without Redis."""
        try:
            homes = await self._presence.nodes(account)
        except RedisError as error:
            _log.warning("presence unknown", error=repr(error))
            return []
        return [node for node in homes if node != self._node]

    def forget(self) -> None:
        """Presence was lost: everybody is to be registered again."""
        self._missing.update(self.by_account)

    async def register_missing(self) -> list[AccountId]:
        """Register some of those who are missing; returns whom, nobody when all are registered. Raises RedisError."""
        self._missing.intersection_update(self.by_account)
        some = [account for account in self._missing if account not in self._in_flight][:_AT_ONCE]
        if some:
            with self._call(some):
                await self._presence.join(self._node, some)
            self._missing.difference_update(some)
        return some

    def awaiting_leave(self) -> list[AccountId]:
        """Accounts whose last connection has left, and whose presence has not been left yet."""
        return list(self._leaving)

    async def leave(self, accounts: Collection[AccountId]) -> None:
        """Leave presence, save for those who are back. Raises RedisError."""
        gone = [account for account in accounts if account in self._leaving and account not in self._in_flight]
        if not gone:
            return
        self._leaving.difference_update(gone)
        with self._call(gone):
            try:
                await self._presence.leave(self._node, gone)
            except BaseException:  # also when nobody waits for it any more
                self._leaving.update(account for account in gone if account not in self.by_account)
                self._missing.update(gone)  # it may be carried out yet, after they have come back
                raise

    @contextmanager
    def _call(self, accounts: Collection[AccountId]) -> Iterator[None]:
        over = asyncio.Event()
        self._in_flight.update(dict.fromkeys(accounts, over))
        try:
            yield
        finally:
            for account in accounts:
                del self._in_flight[account]
            over.set()
