"""Nodes that cannot reach Redis, and the accounts there that presence may lack, as they announce them. Pure."""

from collections.abc import Collection, Iterable

from shared.contract.edge import PresenceIncomplete
from shared.contract.ids import AccountId, NodeId

_MAX_NAMED = 100_000
"""A node that names more counts as a node of every account."""


class IncompleteNodes:
    """Times are monotonic seconds. An announcement adds accounts to those of earlier ones, and each is valid for its
    own time: one that is lost takes nothing away."""

    def __init__(self) -> None:
        self._nodes: dict[NodeId, _IncompleteNode] = {}

    def receive(self, state: PresenceIncomplete, now: float) -> None:
        if state.milliseconds <= 0:
            self._nodes.pop(state.node, None)
            return
        self._nodes.setdefault(state.node, _IncompleteNode()).announce(
            state.accounts, now, now + state.milliseconds / 1000
        )

    def any(self, now: float) -> bool:
        self._drop_expired(now)
        return bool(self._nodes)

    def any_unnamed(self, now: float) -> bool:
        """Whether some node counts as a node of every account."""
        self._drop_expired(now)
        return any(node.unnamed_until > now for node in self._nodes.values())

    def add_to(self, nodes: dict[AccountId, tuple[NodeId, ...]], accounts: Collection[AccountId], now: float) -> None:
        """Adds each node to those of the accounts that it may have."""
        self._drop_expired(now)
        for name, node in self._nodes.items():
            for account in node.may_have(accounts, now):
                known = nodes.get(account, ())
                if name not in known:
                    nodes[account] = (*known, name)

    def _drop_expired(self, now: float) -> None:
        if self._nodes:
            self._nodes = {name: node for name, node in self._nodes.items() if node.until > now}


class _IncompleteNode:
    def __init__(self) -> None:
        self.until = 0.0
        """When the last announcement ends."""
        self.unnamed_until = 0.0
        """Until then, any account may be there."""
        self._named: dict[AccountId, float] = {}
        """Until when each account may be there."""

    def announce(self, accounts: Collection[AccountId] | None, now: float, until: float) -> None:
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
