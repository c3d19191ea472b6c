"""The accounts that have made webhooks and links, which act only while their makers may."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from services.session.service.ports import ActiveAccounts
from shared.contract.hooks import HookView
from shared.contract.ids import AccountId
from shared.contract.invitations import InvitationLink
from shared.contract.outgoing_hooks import OutgoingHookView

V = TypeVar("V", HookView, OutgoingHookView, InvitationLink)


class Makers:
    """All raise RequestError when auth does not answer."""

    def __init__(self, accounts: ActiveAccounts) -> None:
        self._accounts = accounts

    async def may_act(self, maker: AccountId) -> bool:
        return not await self._accounts.inactive([maker])

    async def mark_paused(self, made: Sequence[V]) -> list[V]:
        """What inactive accounts have made is paused, whatever their roles are."""
        if not made:
            return []
        inactive = await self._accounts.inactive(sorted({one.by for one in made}))
        return [msgspec.structs.replace(one, paused=True) if one.by in inactive else one for one in made]
