"""Accounts with connections on this node, and their registration in presence.

An account joins presence before its missed messages are read, and leaves presence only after its read state is
committed. Several joins share a request to Redis, and so do several lookups. At most one call to Redis is in flight for
each account, so that no call overtakes another. There is none while presence is compared with the accounts here. If
Redis is unavailable, nothing waits. The node announces the accounts that presence lacks, and the services use these
announcements. The lease registers the accounts later.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from redis.exceptions import RedisError

from services.edge.canonical.events import Event
from services.edge.dialects.base import Dialect
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.journal import DeliveryRecord
from services.edge.presence.announcer import PresenceAnnouncer
from services.edge.rate_limit import AccountRequests
from services.edge.rpc.coalescer import RequestCoalescer
from shared.contract.audit import DeliveryStage
from shared.contract.auth import Revocation
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import ProfileSummary
from shared.presence.scripts import SHARDS, RegisteredAccounts
from shared.presence.store import Presence
from shared.settings.limits import ConnectionLimits
from shared.telemetry import log

_log = log(__name__)
_BATCH_ACCOUNTS = 1_000


class Recipient(ABC):
    """A connection of a local account, as delivery and notifications use it. Recipient is a base class instead of a
    Protocol, because compiled code calls the methods of a class directly. These methods are called for every
    delivery."""

    __slots__ = ()

    @property
    @abstractmethod
    def record(self) -> DeliveryRecord | None:
        """The record of the messages that this connection gets, while the login is audited. It is removed at the end of
        the login."""

    @abstractmethod
    def keep_record(self, record: DeliveryRecord | None) -> None:
        """Set the record, or end the audit with None."""

    @property
    @abstractmethod
    def number(self) -> int:
        """The number of the connection on this node."""

    @property
    @abstractmethod
    def dialect(self) -> Dialect: ...

    @property
    @abstractmethod
    def shows_pending_requests(self) -> bool:
        """Whether pending requests and stored notifications are pushed to the connection."""

    @abstractmethod
    def delivery_stage(self, chat: ChatId, index: int, time: int) -> DeliveryStage | None:
        """The stage of an undelivered message on this connection. None if the connection should have the message and
        does not. `time`: when the message was committed."""

    @abstractmethod
    def deliver(self, messages: Sequence[EncodedMessage]) -> None:
        """Deliver new messages of one chat, in index order."""

    def deliver_later(self, messages: list[EncodedMessage]) -> None:
        """Deliver new messages of a chat with many local members, before anything that happens later."""
        self.deliver(messages)

    def notify_later(self, event: Event) -> None:
        """Push an event to one of many connections, before anything that happens later."""
        self.notify(event)

    @abstractmethod
    def notify(self, event: Event) -> None: ...

    @abstractmethod
    def notify_ephemeral(self, event: Event) -> bool:
        """Push the ephemeral event now, or drop it. It is dropped if other output waits, or if the dialect does not
        show such events. Returns whether it was pushed."""

    @abstractmethod
    def catch_up(self, chat: ChatId, fresh: int) -> None:
        """Read the messages of this chat that were not delivered, because the node did not know that the account is in
        it. Messages from index `fresh` on arrived after the login, and are pushed like live ones."""

    @abstractmethod
    def close(self, code: int, reason: str) -> None: ...

    @abstractmethod
    def revoked(self, revocation: Revocation) -> None:
        """Note that some of the account's logins are revoked. This may be called twice, or late."""

    @abstractmethod
    async def confirm_all(self) -> None:
        """Wait, at most a second, until all pushed messages are confirmed."""

    @abstractmethod
    async def has_arrived(self) -> bool:
        """Wait, at most some seconds, until everything that was pushed has arrived. Returns whether it has."""


class LocalAccount:
    """One account with connections on this node. `recipients` is replaced, never mutated, so that it can be iterated
    while connections open and close. `requests` limits all connections of the account together. `left`: for each chat
    that the account has left, the membership version of its departure. Older versions are ignored."""

    __slots__ = ("account", "chats", "left", "private_chats", "recipients", "requests", "summary")

    def __init__(self, account: AccountId, requests: AccountRequests) -> None:
        self.account = account
        self.recipients: tuple[Recipient, ...] = ()
        self.chats: set[ChatId] = set()
        self.left: dict[ChatId, int] = {}
        self.requests = requests
        self.summary: ProfileSummary | None = None
        self.private_chats: dict[AccountId, ChatId] = {}
        """The private chats to which the account has posted over this node. The key is the other member."""

    def catch_up(self, chat: ChatId, fresh: int) -> None:
        for recipient in self.recipients:
            recipient.catch_up(chat, fresh)

    def notify(self, event: Event, *, later: bool = False) -> None:
        """`later`: see Recipient.notify_later."""
        for recipient in self.recipients:
            if later:
                recipient.notify_later(event)
            else:
                recipient.notify(event)

    def notify_ephemeral(self, event: Event) -> None:
        for recipient in self.recipients:
            recipient.notify_ephemeral(event)


class LocalAccounts:
    def __init__(
        self, node: NodeId, presence: Presence, limits: ConnectionLimits, announcer: PresenceAnnouncer
    ) -> None:
        self._node = node
        self._presence = presence
        self._announcer = announcer
        self._limits = limits
        self.by_account: dict[AccountId, LocalAccount] = {}
        """The local accounts. Other modules may only read this."""
        self.ephemeral_connections = 0
        """The number of connections on this node whose dialect shows ephemeral events."""
        self.connections_with_joins = 0
        """The number of connections here whose dialect shows when others join a broadcast chat."""
        self.stale_profiles: set[AccountId] = set()
        """Accounts whose profile summary may have changed without an event."""
        self._leaving: set[AccountId] = set()
        """Accounts that have no connection here any more, and are still in presence."""
        self.on_departed: Callable[[], None] = lambda: None
        """Called whenever accounts must leave presence."""
        self._missing: set[AccountId] = set()
        """Accounts that may be missing in presence."""
        self._registered = RegisteredAccounts()
        self._unregistered: tuple[set[AccountId], set[AccountId]] = set(), set()
        """Accounts that could not be registered. The first set is from before the last call of `unregistered_to_sync`,
        and the second from after it."""
        self._comparison: asyncio.Event | None = None
        """Set while presence is compared with the accounts here. Other calls wait for this event, which the end of the
        comparison sets."""
        self._in_flight: dict[AccountId, asyncio.Event] = {}
        """The accounts that have a call to Redis in flight. The event is set when the call ends."""
        self._joins = RequestCoalescer("presence", self._join, _BATCH_ACCOUNTS)
        self._lookups = RequestCoalescer("presence lookup", self._look_up, _BATCH_ACCOUNTS)

    async def close(self) -> None:
        await self._joins.close()
        await self._lookups.close()

    def names_senders(self, account: AccountId) -> bool:
        """Whether any of the account's connections here shows senders' names."""
        return any(recipient.dialect.names_senders for recipient in self.recipients(account))

    def __len__(self) -> int:
        return len(self.by_account)

    def get(self, account: AccountId) -> LocalAccount | None:
        return self.by_account.get(account)

    def recipients(self, account: AccountId) -> tuple[Recipient, ...]:
        """The account's connections on this node."""
        local = self.by_account.get(account)
        return local.recipients if local is not None else ()

    def recipient(self, account: AccountId, connection: int) -> Recipient | None:
        """The account's connection with this number; None if it has ended."""
        return next((one for one in self.recipients(account) if one.number == connection), None)

    def connections(self, account: AccountId) -> int:
        """The number of the account's connections on this node."""
        return len(self.recipients(account))

    def is_full(self, account: AccountId) -> bool:
        """Whether the account has the most connections here that it may have."""
        return self._limits.rates and self.connections(account) >= self._limits.connections_per_account

    def attach(self, account: AccountId, recipient: Recipient, now: float) -> LocalAccount:
        """Add a connection of the account."""
        local = self.by_account.get(account)
        if local is None:
            requests = AccountRequests(self._limits.requests_per_second, self._limits.requests_burst, now)
            local = self.by_account[account] = LocalAccount(account, requests)
        self._leaving.discard(account)
        self.stale_profiles.add(account)
        local.recipients += (recipient,)
        self.ephemeral_connections += recipient.dialect.shows_ephemeral
        self.connections_with_joins += recipient.dialect.shows_others_joins
        return local

    def detach(self, local: LocalAccount, recipient: Recipient) -> bool:
        """Remove a connection. Returns whether it was the account's last connection here. If so, the account leaves
        presence later."""
        local.recipients = tuple(other for other in local.recipients if other is not recipient)
        self.ephemeral_connections -= recipient.dialect.shows_ephemeral
        self.connections_with_joins -= recipient.dialect.shows_others_joins
        if local.recipients:
            return False
        del self.by_account[local.account]
        self._begin_leaving([local.account])
        return True

    def _begin_leaving(self, accounts: Iterable[AccountId]) -> None:
        self._leaving.update(accounts)
        self.on_departed()

    # Presence

    async def register(self, account: AccountId) -> list[NodeId]:
        """Join presence for an account. The caller must attach the account in the same event-loop iteration. Otherwise
        the account leaves presence again. Returns the account's other nodes. Without Redis, the list is empty, and the
        account is registered later."""
        while (call := self._in_flight.get(account) or self._comparison) is not None:
            await call.wait()
        with self._exclusive_call([account]):
            try:
                others = await self._joins.get(account)
                self._registered.add([account])
            except RedisError:
                self._missing.add(account)
                self._unregistered[1].add(account)
                await self._announcer.announce_login(account)
                others = []
        if account not in self.by_account:
            self._begin_leaving([account])
        return others

    def present(self) -> set[AccountId]:
        """The accounts that have connections here, or are about to have one."""
        return {*self.by_account, *self._in_flight}

    @property
    def has_unconfirmed(self) -> bool:
        due, since = self._unregistered
        return bool(due or since)

    def is_unconfirmed(self, account: AccountId) -> bool:
        """Whether services may not know yet that the account is on this node, because it has just logged in without
        Redis."""
        return any(account in one for one in self._unregistered)

    @property
    def presence_unknown(self) -> bool:
        """Whether presence data was lost. Then an account may be on nodes that presence does not contain yet."""
        return self._presence.has_lost_state

    async def other_nodes(self, account: AccountId) -> list[NodeId]:
        """The account's other nodes. The list is empty without Redis."""
        return [node for node in await self._lookups.get(account) if node != self._node]

    async def _join(self, accounts: Collection[AccountId]) -> Mapping[AccountId, list[NodeId]]:
        try:
            return await self._presence.join(self._node, accounts)
        except RedisError as error:
            _log.warning("presence not joined", accounts=len(accounts), error=repr(error))
            raise

    async def _look_up(self, accounts: Collection[AccountId]) -> Mapping[AccountId, tuple[NodeId, ...]]:
        try:
            return await self._presence.nodes(accounts)
        except RedisError as error:
            _log.warning("presence unknown", accounts=len(accounts), error=repr(error))
            return dict.fromkeys(accounts, ())

    def forget(self) -> None:
        """Register all accounts again, because presence data was lost."""
        self._registered.clear()
        self._missing.update(self.by_account)

    @property
    def has_unregistered(self) -> bool:
        """Whether an account that is here, or about to be here, may be missing in presence."""
        return not (self._missing.isdisjoint(self.by_account) and self._missing.isdisjoint(self._in_flight))

    def unregistered_to_sync(self) -> set[AccountId]:
        """The accounts that could not be registered before the last call of this method. Services did not know that
        these accounts are here, and may have sent them nothing."""
        due, since = self._unregistered
        self._unregistered = since, set()
        return due

    async def compare(self) -> list[AccountId]:
        """Compare presence with the accounts here, shard by shard, and correct it. Returns the accounts that were
        missing in presence. Other calls to Redis wait meanwhile. Raises RedisError."""
        self._comparison = ended = asyncio.Event()
        lacking: list[AccountId] = []
        try:
            while self._in_flight:
                await next(iter(self._in_flight.values())).wait()
            for shard in self._registered.differing(await self._presence.marks(self._node)):
                accounts = [one for one in {*self.by_account, *self._leaving} if one % SHARDS == shard]
                self._registered.replace(shard, accounts)
                lacking += await self._presence.repair(self._node, shard, accounts)
        finally:
            self._comparison = None
            ended.set()
        return lacking

    async def register_missing(self) -> list[AccountId]:
        """Register a batch of missing accounts, and return it. The list is empty when all are registered. Raises
        RedisError."""
        self._missing = {one for one in self._missing if one in self.by_account or one in self._in_flight}
        batch = [account for account in self._missing if account not in self._in_flight][:_BATCH_ACCOUNTS]
        if batch:
            with self._exclusive_call(batch):
                await self._presence.join(self._node, batch)
            self._registered.add(batch)
            self._missing.difference_update(batch)
        return batch

    def awaiting_leave(self) -> list[AccountId]:
        """Accounts that have no connection here any more and have not left presence yet."""
        return list(self._leaving)

    def is_leaving(self, account: AccountId) -> bool:
        """Whether the account may be in presence here without a connection."""
        return account in self._leaving or account in self._in_flight

    async def leave(self, accounts: Collection[AccountId]) -> None:
        """Remove accounts from presence, except those that have connected again. Raises RedisError."""
        while self._comparison is not None:
            await self._comparison.wait()
        gone = [account for account in accounts if account in self._leaving and account not in self._in_flight]
        if not gone:
            return
        self._leaving.difference_update(gone)
        with self._exclusive_call(gone):
            try:
                await self._presence.leave(self._node, gone)
                self._registered.remove(gone)
            except BaseException:  # even if the call was cancelled
                self._begin_leaving(account for account in gone if account not in self.by_account)
                # Redis may still perform this removal after the accounts have connected again
                self._missing.update(gone)
                raise

    @contextmanager
    def _exclusive_call(self, accounts: Collection[AccountId]) -> Iterator[None]:
        ended = asyncio.Event()
        self._in_flight.update(dict.fromkeys(accounts, ended))
        try:
            yield
        finally:
            for account in accounts:
                del self._in_flight[account]
            ended.set()
