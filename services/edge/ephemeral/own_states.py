"""The states (such as away) that accounts have set over connections of this node. A state ends with the connection that
set it."""

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from redis.exceptions import RedisError

from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, NodeId
from shared.presence import states as presence_states
from shared.presence.states import GivenState
from shared.presence.store import Presence

_BATCH = 500


class _Given(NamedTuple):
    connection: int
    state: GivenState


class OwnStates:
    """`now_ms`: a function that returns the wall clock in milliseconds."""

    def __init__(self, presence: Presence, node: NodeId, accounts: LocalAccounts, now_ms: Callable[[], int]) -> None:
        self._presence = presence
        self._node = node
        self._accounts = accounts
        self._now_ms = now_ms
        self._given: dict[AccountId, _Given] = {}

    async def give(self, account: AccountId, connection: int, state: str, text: str) -> None:
        """Raises RequestError."""
        given = GivenState(state, self._now_ms(), text)
        try:
            await self._presence.change_states([presence_states.set_state(self._node, account, given)])
        except RedisError as error:
            raise RequestError(ErrorCode.UNAVAILABLE, "presence is not available, please try again") from error
        self._given[account] = _Given(connection, given)

    async def end_departed(self) -> None:
        """Remove the states of connections that have ended. The state of an account that is leaving presence is removed
        only after it has left. Otherwise a hidden account would be shown for a moment. Raises RedisError."""
        departed = [
            (account, given)
            for account, given in self._given.items()
            if self._accounts.recipient(account, given.connection) is None and not self._accounts.is_leaving(account)
        ]
        for account, given in departed[:_BATCH]:
            await self._presence.change_states([presence_states.withdraw(self._node, account, given.state)])
            if self._given.get(account) is given:  # otherwise, another connection has set a state meanwhile
                del self._given[account]

    async def restore(self) -> None:
        """Write all states again after presence data was lost. A state that has been set again since is not
        overwritten. Raises RedisError."""
        states = iter([(account, given.state) for account, given in self._given.items()])
        while batch := list(islice(states, _BATCH)):
            await self._presence.change_states(
                [presence_states.restore(self._node, account, given) for account, given in batch]
            )
