"""Lookups in presence."""

from collections.abc import Collection, Sequence

from shared.contract.ids import AccountId
from shared.presence.store import Presence


class PresenceReader:
    """Implements the port OnlineAccounts."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence

    async def select_online(self, accounts: Sequence[AccountId]) -> Collection[AccountId] | None:
        nodes = (await self._presence.lookup(accounts)).nodes
        return None if nodes is None or self._presence.has_unnamed_accounts else nodes.keys()
