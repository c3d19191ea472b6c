"""Shows connections the presence of the accounts that they watch. One task of the edge reads presence in small batches
for all these connections.

Presence is read and not pushed. A push would cost something at each login and logout, even for accounts that no
connection watches. `_ACCOUNTS_PER_SECOND` limits the cost, and nothing is read while no connection watches an account.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator

from redis.exceptions import RedisError

from services.edge.ephemeral.own_states import OwnStates
from services.edge.presence.local_accounts import LocalAccounts, Recipient
from shared.bus.client import Bus
from shared.clock import until_next
from shared.contract.contacts import FindWatchable
from shared.contract.ephemeral import PresenceChanged
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.presence.states import OFFLINE, GivenState
from shared.presence.store import Presence
from shared.telemetry import log

_UNKNOWN = GivenState("unknown", 0)
_log = log(__name__)
_PERIOD_SECONDS = 3.0
_BATCH_ACCOUNTS = 500
_ACCOUNTS_PER_SECOND = 2_000
_CHECKED_SECONDS = 600.0
"""After this time, the session service is asked again which accounts a connection may see, because friendships may have
ended."""
_REQUEST_SECONDS = 2.0


class Watcher:
    """One connection of `account` that watches others. `allowed`: the `wanted` accounts that it may see. `checked`:
    when this was last checked, or None if it must be checked again. `behind`: the accounts whose present state may not
    have been pushed to the connection yet."""

    __slots__ = ("account", "allowed", "behind", "blocks", "checked", "recipient", "wanted")

    def __init__(
        self,
        account: AccountId,
        recipient: Recipient,
        wanted: frozenset[AccountId],
        allowed: frozenset[AccountId],
        checked: float,
    ) -> None:
        self.account = account
        self.recipient = recipient
        self.wanted = wanted
        self.allowed = allowed
        self.checked: float | None = checked
        self.behind: set[AccountId] = set()
        self.blocks = 0
        """The number of times that a block that concerns this connection has changed."""


class WatchLists:
    def __init__(self) -> None:
        self.watchers: dict[int, Watcher] = {}
        """The watchers, by the numbers of their connections."""
        self._by_account: dict[AccountId, dict[int, Watcher]] = {}
        self._states: dict[AccountId, GivenState] = {}
        """The states of the watched accounts, as far as they are known."""

    def put(self, number: int, watcher: Watcher) -> None:
        self.remove(number)
        self.watchers[number] = watcher
        self._add(number, watcher, watcher.allowed)

    def remove(self, number: int) -> None:
        watcher = self.watchers.pop(number, None)
        if watcher is not None:
            self._discard(number, watcher.allowed)

    def allow(self, number: int, allowed: frozenset[AccountId], now: float) -> None:
        """Set the accounts whose presence the connection may see from now on. New accounts are marked as `behind`, and
        so are accounts that the connection may not see any more."""
        watcher = self.watchers[number]
        self._add(number, watcher, allowed - watcher.allowed)
        self._discard(number, watcher.allowed - allowed)
        watcher.behind |= watcher.allowed ^ allowed
        watcher.allowed, watcher.checked = allowed, now

    def _add(self, number: int, watcher: Watcher, accounts: Iterable[AccountId]) -> None:
        for account in accounts:
            self._by_account.setdefault(account, {})[number] = watcher

    def _discard(self, number: int, accounts: Iterable[AccountId]) -> None:
        for account in accounts:
            others = self._by_account[account]
            del others[number]
            if not others:
                del self._by_account[account]
                self._states.pop(account, None)

    def watched(self) -> list[AccountId]:
        return list(self._by_account)

    def observe(self, states: dict[AccountId, GivenState]) -> None:
        """Note the present states. An account whose state has changed is marked as `behind` for its watchers."""
        for account, state in states.items():
            watchers = self._by_account.get(account)
            if watchers is None:
                continue
            before, self._states[account] = self._states.get(account, _UNKNOWN), state
            if before == state:
                continue
            for watcher in watchers.values():
                if _visible(before, account, watcher) != _visible(state, account, watcher):
                    watcher.behind.add(account)

    def due(self) -> Iterator[tuple[Watcher, PresenceChanged]]:
        """The changes that must be pushed to each watcher."""
        for watcher in self.watchers.values():
            if watcher.behind and watcher.checked is not None:
                for account in list(watcher.behind):
                    yield watcher, self.shown(watcher, account)

    def shown(self, watcher: Watcher, account: AccountId) -> PresenceChanged:
        state = self._states.get(account, _UNKNOWN) if account in watcher.allowed else _UNKNOWN
        return PresenceChanged(account, *_visible(state, account, watcher))


def _visible(state: GivenState, account: AccountId, watcher: Watcher) -> GivenState:
    return OFFLINE if state.state == "hidden" and account != watcher.account else state


class PresenceWatch:
    """`clock` is the clock of the connections."""

    def __init__(
        self, bus: Bus, presence: Presence, accounts: LocalAccounts, own: OwnStates, clock: Callable[[], float]
    ) -> None:
        self._bus = bus
        self._presence = presence
        self._accounts = accounts
        self._own = own
        self._clock = clock
        self._lists = WatchLists()
        self._was_lost = False

    async def watch(
        self, account: AccountId, connection: int, wanted: Collection[AccountId]
    ) -> tuple[PresenceChanged, ...]:
        """Return the present states. Later states will be pushed. Raises RequestError."""
        allowed, now = await self._find_allowed(account, wanted), self._clock()
        states = await self._read(allowed)
        recipient = self._accounts.recipient(account, connection)
        if recipient is None:
            raise RequestError(ErrorCode.UNAVAILABLE, "the connection is closed")
        watcher = Watcher(account, recipient, frozenset(wanted), allowed, now)
        self._lists.put(connection, watcher)
        self._lists.observe(states)
        watcher.behind.clear()
        return tuple([self._lists.shown(watcher, one) for one in wanted])

    async def read_now(self, account: AccountId, wanted: Collection[AccountId]) -> tuple[PresenceChanged, ...]:
        """Return the present states, without pushing later ones. The result also contains guests, and members of small
        groups that the account is in. Raises RequestError."""
        if not wanted:
            return ()
        request = FindWatchable(list(wanted), account, near=True)
        allowed = (await self._bus.send(request, seconds=_REQUEST_SECONDS, retry=True)).accounts
        states = await self._read(allowed)
        return tuple([PresenceChanged(one, *states[one]) for one in allowed if one in states])

    def check_again(self, account: AccountId) -> None:
        """Check again which presence this account may see, because another account has blocked or unblocked it. Until
        that check, its connections are shown no changes."""
        for watcher in self._lists.watchers.values():
            if watcher.account == account:
                watcher.checked = None
                watcher.blocks += 1

    async def run(self) -> None:
        while True:
            await asyncio.sleep(until_next(_PERIOD_SECONDS))
            try:
                await self.poll()
            except RedisError as error:
                _log.warning("watched presence not read", error=repr(error))

    async def poll(self) -> None:
        """Read the states of some watched accounts. Raises RedisError."""
        if self._presence.has_lost_state:
            self._was_lost = True
            return
        if self._was_lost:
            await self._own.restore()
            self._was_lost = False
        await self._own.end_departed()
        await self._check_watchers()
        watched = self._lists.watched()
        for start in range(0, len(watched), _BATCH_ACCOUNTS):
            batch = watched[start : start + _BATCH_ACCOUNTS]
            self._lists.observe(await self._presence.states(batch))
            self._push()
            await asyncio.sleep(len(batch) / _ACCOUNTS_PER_SECOND)
        self._push()

    def _push(self) -> None:
        """Push the changes that are due. If a connection cannot take a change now, the change stays due."""
        for watcher, changed in self._lists.due():
            if watcher.recipient.notify_ephemeral(changed):
                watcher.behind.discard(changed.account)

    async def _check_watchers(self) -> None:
        """Forget connections that have ended, and check which accounts the other connections may watch, if a check is
        due."""
        due: list[tuple[int, Watcher]] = []
        for number, watcher in list(self._lists.watchers.items()):
            if self._accounts.recipient(watcher.account, number) is not watcher.recipient:
                self._lists.remove(number)
            elif watcher.checked is None or self._clock() - watcher.checked > _CHECKED_SECONDS:
                due.append((number, watcher))
        try:
            for number, watcher in due:
                await self._check(number, watcher)
        except RequestError as error:
            _log.info("watched accounts not checked", watchers=len(due), error=str(error))

    async def _check(self, number: int, watcher: Watcher) -> None:
        """Raises RequestError. The watcher is then checked later."""
        blocks = watcher.blocks
        allowed = await self._find_allowed(watcher.account, watcher.wanted)
        if self._lists.watchers.get(number) is watcher and watcher.blocks == blocks:
            self._lists.allow(number, allowed, self._clock())

    async def _find_allowed(self, account: AccountId, wanted: Collection[AccountId]) -> frozenset[AccountId]:
        if not wanted:
            return frozenset()
        request = FindWatchable(list(wanted), account)
        reply = await self._bus.send(request, seconds=_REQUEST_SECONDS, retry=True)
        return frozenset(reply.accounts).intersection(wanted)

    async def _read(self, accounts: Collection[AccountId]) -> dict[AccountId, GivenState]:
        """The states of these accounts. The result is empty while presence is unknown."""
        if not accounts or self._presence.has_lost_state:
            return {}
        try:
            return await self._presence.states(accounts)
        except RedisError as error:
            _log.warning("watched presence not read", error=repr(error))
            return {}
