"""Nodes that announce their accounts over NATS: because they cannot reach Redis, or because message cannot. Pure.

What an announcement names is valid for a while, and a later one takes nothing away: a node is counted among those of an
account rather too long. So a node is known, which means that no account is there that is not named, from a complete
list whose announcements have all arrived, as long as no number after it is missing and the list is not old. An account
that has logged in since, with an announcement that has not arrived, is the node's concern: it compares the numbers that
replicas repeat with its own (services.edge.delivery.broadcast_pause).
"""

from collections.abc import Collection, Iterable

from shared.contract.edge import PresenceIncomplete
from shared.contract.ids import AccountId, NodeId

_MAX_NAMED = 100_000
"""A node that names more counts as a node of every account."""


class IncompleteNodes:
    """Times are monotonic seconds. An announcement adds accounts to those of earlier ones, and each is valid for its
    own time: one that is lost takes nothing away. An account takes about 70 bytes, for as long."""

    def __init__(self) -> None:
        self.nodes: dict[NodeId, _IncompleteNode] = {}
        """Empty, as a rule: then there is nothing to ask."""

    def receive(self, state: PresenceIncomplete, now: float) -> None:
        if state.milliseconds <= 0 and not state.number:
            self.nodes.pop(state.node, None)
        else:
            self.nodes.setdefault(state.node, _IncompleteNode()).receive(state, now)

    def any(self, now: float) -> bool:
        """Whether presence may lack accounts of some node."""
        self._drop_expired(now)
        return any(node.lacking_until > now for node in self.nodes.values())

    def any_unnamed(self, now: float) -> bool:
        """Whether some node counts as a node of every account."""
        self._drop_expired(now)
        return any(node.unnamed_until > now for node in self.nodes.values())

    def known(self, now: float) -> dict[NodeId, tuple[int, int]]:
        """The nodes whose accounts are all named, with the numbers of the announcement since which they are, and of the
        last one."""
        numbers = {name: node.numbers for name, node in self.nodes.items() if node.until > now}
        return {name: (one.known_since, one.last) for name, one in numbers.items() if one.are_complete(now)}

    def accounts_at(self, name: NodeId, accounts: Collection[AccountId], now: float) -> list[AccountId]:
        """Those of the accounts that the node may have."""
        node = self.nodes.get(name)
        return [] if node is None else list(node.may_have(accounts, now))

    def add_to(self, nodes: dict[AccountId, tuple[NodeId, ...]], accounts: Collection[AccountId], now: float) -> None:
        """Adds each node to those of the accounts that it may have."""
        self._drop_expired(now)
        for name, node in self.nodes.items():
            for account in node.may_have(accounts, now):
                known = nodes.get(account, ())
                if name not in known:
                    nodes[account] = (*known, name)

    def _drop_expired(self, now: float) -> None:
        if self.nodes:
            self.nodes = {name: node for name, node in self.nodes.items() if node.until > now}


class _IncompleteNode:
    def __init__(self) -> None:
        self.until = 0.0
        """When the last announcement ends."""
        self.lacking_until = 0.0
        """Until then, presence may lack accounts of it."""
        self.unnamed_until = 0.0
        """Until then, any account may be there."""
        self.numbers = _Numbers()
        self._named: dict[AccountId, float] = {}
        """Until when each account may be there."""

    def receive(self, state: PresenceIncomplete, now: float) -> None:
        self.numbers.receive(state, now)
        seconds = state.milliseconds / 1000
        if not state.registered:
            self.lacking_until = now + seconds
        if seconds > 0:
            self._announce(state.accounts, now, now + seconds)

    def _announce(self, accounts: Collection[AccountId] | None, now: float, until: float) -> None:
        self.until = max(self.until, until)
        if accounts is None:
            self.unnamed_until = until
            return
        if 2 * len(accounts) >= len(self._named):  # a complete list: dropping the expired costs no more than adding it
            self._named = {account: end for account, end in self._named.items() if end > now}
        self._named.update(dict.fromkeys(accounts, until))
        if len(self._named) > _MAX_NAMED:
            self._named.clear()
            self.unnamed_until = until

    def may_have(self, accounts: Iterable[AccountId], now: float) -> Iterable[AccountId]:
        if self.unnamed_until > now:
            return accounts
        return [account for account in accounts if self._named.get(account, 0.0) > now]


class _Numbers:
    """The numbers of a node's announcements: whether all have arrived since a complete list. A list counts for half of
    the time for which its names are valid: all that it names outlasts it."""

    def __init__(self) -> None:
        self.known_since = 0
        """The number of the list since which none is missing; 0: there is no such list."""
        self.last = 0
        self._list = 0
        """The number with which the list that is arriving began; 0: none is."""
        self._list_began = 0.0
        self._until = 0.0

    def receive(self, state: PresenceIncomplete, now: float) -> None:
        if not state.number or state.number != self.last + 1:
            self.known_since = self._list = 0
        self.last = state.number
        if state.starts and state.number:
            self._list, self._list_began = state.number, now
        if state.ends and self._list:
            if not self.are_complete(now):
                self.known_since = self._list
            self._until = self._list_began + state.milliseconds / 2000
            self._list = 0

    def are_complete(self, now: float) -> bool:
        return self.known_since > 0 and now < self._until
