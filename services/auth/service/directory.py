"""Accounts found by their exact names, by other users; and which accounts may act, for other services."""

from dataclasses import dataclass

from services.auth import domain
from services.auth.service.login_limits import LoginLimiter
from services.auth.store import accounts
from shared.contract.auth import FindInactive, InactiveAccounts
from shared.contract.contacts import AccountsLookedUp, LookUpAccounts
from shared.contract.errors import ErrorCode, RequestError
from shared.transactions import Transactions

_ACCOUNTS = 1_000


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
        return AccountsLookedUp(await self.database.read(accounts.look_up, request.identifier))

    async def find_inactive(self, request: FindInactive) -> InactiveAccounts:
        """Raises RequestError: `limit`, `invalid`, `unavailable`."""
        if len(request.accounts) > _ACCOUNTS:
            raise RequestError(ErrorCode.LIMIT, f"at most {_ACCOUNTS} at once", "accounts")
        for account in request.accounts:
            domain.check_number(account, "accounts")
        active = await self.database.read(accounts.active_among, request.accounts)
        return InactiveAccounts([account for account in request.accounts if account not in active])
