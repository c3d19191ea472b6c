"""Accounts found by their exact names, by other users."""

from dataclasses import dataclass
from functools import partial

from services.auth import domain
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.ports import Transactions
from services.auth.store import accounts
from shared.contract.contacts import AccountsLookedUp, LookUpAccounts


@dataclass(frozen=True, kw_only=True)
class AccountDirectory:
    database: Transactions
    limits: LoginLimiter

    async def look_up(self, request: LookUpAccounts) -> AccountsLookedUp:
        """Each search counts, whether it finds an account or not: names cannot be enumerated. Raises RequestError:
        `rate_limited`, `invalid`, `unauthenticated`, `unavailable`."""
        domain.check_actor(request.actor)
        domain.check_identifier(request.identifier)
        await self.limits.search(request.actor)
        return AccountsLookedUp(await self.database.read(partial(accounts.look_up, identifier=request.identifier)))
