"""What auth stores of an account, for the account itself."""

import time
from dataclasses import dataclass
from functools import partial

from services.auth import domain
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.ports import Transactions
from services.auth.store import accounts, bots, logins, trail
from shared.contract.admin import Act
from shared.contract.auth import IdentifierKind
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT
from shared.contract.made import AccountRecord, ExportLogins


@dataclass(frozen=True, kw_only=True)
class OwnData:
    database: Transactions
    limits: LoginLimiter

    async def export(self, request: ExportLogins) -> AccountRecord:
        """Raises RequestError: `unauthenticated`, `rate_limited`, `not_found`, `invalid`, `unavailable`."""
        domain.check_actor(request.actor)
        domain.check_origin(request.origin)
        await self.limits.export(request.actor)
        find = partial(accounts.find, kind=IdentifierKind.ID, identifier=str(request.actor))
        if (account := (await self.database.read(find)).account) is None:
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such account")
        seconds = int(time.time())
        listed = await self.database.read(partial(logins.list_valid, account=request.actor, seconds=seconds))
        list_bots = partial(bots.list_bots, owner=request.actor, after=NO_ACCOUNT, seconds=seconds)
        await self.database.write(partial(trail.add, act=Act("export", request.actor, "user", request.origin.address)))
        return AccountRecord(
            email=account.email,
            username=account.username,
            created=account.profile.created,
            question_id=account.question_id,
            logins=listed,
            bots=(await self.database.read(list_bots)).bots,
            email_verified=account.email_verified,
        )
