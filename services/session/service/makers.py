"""The accounts that have made webhooks and links, which act only while their makers may."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from services.session.service.ports import ActiveAccounts
from shared.contract.hooks import HookView, OutgoingHookView
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import InvitationLink

V = TypeVar("V", HookView, OutgoingHookView, InvitationLink)


class Makers:
    """All raise RequestError when auth does not answer."""

    def __init__(self, accounts: ActiveAccounts) -> None:
        self._accounts = accounts

    async def may_act(self, *accounts: AccountId) -> bool:
        """Whether all of them may."""
        return not await self._accounts.inactive(accounts)

    async def mark_paused(self, made: Sequence[V]) -> list[V]:
        """What inactive accounts have made is paused, whatever their roles are, and what posts as such an account."""
        if not made:
            return []
        acting = [_acting(one) for one in made]
        inactive = await self._accounts.inactive(sorted(frozenset().union(*acting)))
        return [
            one if accounts.isdisjoint(inactive) else msgspec.structs.replace(one, paused=True)
            for one, accounts in zip(made, acting, strict=True)
        ]


def _acting(made: HookView | OutgoingHookView | InvitationLink) -> frozenset[AccountId]:
    """The maker and, of an incoming webhook, its own account."""
    own = made.account if isinstance(made, HookView) else NO_ACCOUNT
    return frozenset({made.by, own}) - {NO_ACCOUNT}
