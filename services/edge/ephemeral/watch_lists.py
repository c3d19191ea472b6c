"""Which connection watches which accounts, and what it was shown of them. Pure."""

from collections.abc import Collection, Iterable, Iterator

from services.edge.presence.local_accounts import Recipient
from shared.contract.ephemeral import PresenceChanged
from shared.contract.ids import AccountId
from shared.presence.states import OFFLINE, GivenState

_UNKNOWN = GivenState("unknown", 0)


class Watcher:
    """One connection of `account`. `allowed`: those of the `wanted` accounts that it may see, since `checked` (None: to
    be checked again). `behind`: accounts of which it may lack the present state."""

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
        """Changes of blocks that concern it."""


class WatchLists:
    def __init__(self) -> None:
        self.watchers: dict[int, Watcher] = {}
        """By the number of the connection."""
        self._by_account: dict[AccountId, dict[int, Watcher]] = {}
        self._states: dict[AccountId, GivenState] = {}
        """Of the watched accounts, as far as they are known."""

    def put(self, number: int, watcher: Watcher) -> None:
        self.remove(number)
        self.watchers[number] = watcher
        self._add(number, watcher, watcher.allowed)

    def remove(self, number: int) -> None:
        watcher = self.watchers.pop(number, None)
        if watcher is not None:
            self._discard(number, watcher.allowed)

    def allow(self, number: int, allowed: frozenset[AccountId], now: float) -> None:
        """What the connection may see from now on. It is behind with what is new, and with what it may see no more."""
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

    def watchers_of(self, account: AccountId) -> Collection[Watcher]:
        """The connections of this account that watch others."""
        return [watcher for watcher in self.watchers.values() if watcher.account == account]

    def observe(self, states: dict[AccountId, GivenState]) -> None:
        """Present states. Watchers who see a difference are behind."""
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
        """What each watcher lacks."""
        for watcher in self.watchers.values():
            if watcher.behind and watcher.checked is not None:
                for account in list(watcher.behind):
                    yield watcher, self.shown(watcher, account)

    def shown(self, watcher: Watcher, account: AccountId) -> PresenceChanged:
        state = self._states.get(account, _UNKNOWN) if account in watcher.allowed else _UNKNOWN
        return PresenceChanged(account, *_visible(state, account, watcher))


def _visible(state: GivenState, account: AccountId, watcher: Watcher) -> GivenState:
    return OFFLINE if state.state == "hidden" and account != watcher.account else state
