"""Lookups of accounts. Other users find accounts by exact names, services find out whether accounts may act, and an
account gets its own data."""

import time
from dataclasses import dataclass

from services.auth import domain
from services.auth.service.login_limits import LoginLimiter
from services.auth.store import accounts, bots, logins, trail
from shared.contract.admin import Act
from shared.contract.auth import FindInactive, InactiveAccounts
from shared.contract.contacts import AccountsLookedUp, LookUpAccounts
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT
from shared.contract.made import AccountRecord, ExportLogins
from shared.transactions import Transactions

_ACCOUNTS = 1_000


@dataclass(frozen=True, kw_only=True)
class AccountDirectory:
    database: Transactions
    limits: LoginLimiter

    async def look_up(self, request: LookUpAccounts) -> AccountsLookedUp:
        """Each search counts towards the limit, whether it finds an account or not. So nobody can find all names by
        trying. Raises RequestError: `rate_limited`, `invalid`, `unauthenticated`, `unavailable`."""
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

    async def export(self, request: ExportLogins) -> AccountRecord:
        """Raises RequestError: `unauthenticated`, `rate_limited`, `not_found`, `invalid`, `unavailable`."""
        domain.check_actor(request.actor)
        domain.check_origin(request.origin)
        await self.limits.export(request.actor)
        if (account := await self.database.read(accounts.find_numbered, request.actor)) is None:
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such account")
        seconds = int(time.time())
        listed = await self.database.read(logins.list_valid, request.actor, seconds)
        await self.database.write(trail.add, Act("export", request.actor, "user", request.origin.address))
        return AccountRecord(
            email=account.email,
            username=account.username,
            created=account.profile.created,
            question_id=account.question_id,
            logins=listed,
            bots=(await self.database.read(bots.list_bots, request.actor, NO_ACCOUNT, seconds)).bots,
            email_verified=account.email_verified,
        )
