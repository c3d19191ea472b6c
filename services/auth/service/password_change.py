"""Changes the password of a user who is logged in and knows the old password."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from services.auth import domain
from services.auth.service.passwords import NewPasswords, OwnSecret, wrong
from services.auth.service.revocations import TokenRevocations
from services.auth.service.sessions import LoginSessions
from services.auth.store import accounts, logins, trail
from services.auth.store.requests import once, stored
from shared.contract.admin import Act
from shared.contract.auth import Authenticated, ChangePassword, Revocation
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.model import Scheme
from shared.request_nonce import stored_or
from shared.transactions import Transactions


class _Changed(NamedTuple):
    """The result of a password change. `device`: the device of the caller's previous login."""

    revocation: Revocation
    device: str


@dataclass(frozen=True, kw_only=True)
class PasswordChange:
    database: Transactions
    own_secret: OwnSecret
    new_passwords: NewPasswords
    revocations: TokenRevocations
    sessions: LoginSessions

    async def change(self, request: ChangePassword) -> Authenticated:
        """Changes the password, ends all logins of the account, and starts a new login for the caller. Raises
        RequestError: `unauthenticated`, `rate_limited`, `invalid`, `unavailable`."""
        domain.check_password_change(request)
        self.new_passwords.check(request.new)
        changed = await stored_or(self.database, stored(_Changed, type(None)), partial(self._change, request))
        revocation = changed.revocation
        await self.revocations.publish(revocation)
        account = await self.own_secret.find(request.actor)
        if account is None:
            raise wrong("old")
        return await self.sessions.start(
            account, revocation.number, time.time(), request.origin, changed.device, refreshable=request.refreshable
        )

    async def _change(self, request: ChangePassword) -> _Changed:
        account = await self.own_secret.find(request.actor)
        if account is None:
            raise wrong("old")
        address = request.origin.address
        held = await self.own_secret.check(account, request.old, address, "failed password change", "old")
        if (request.new.scheme is Scheme.SERVICE) is not (Scheme.SERVICE in account.verifiers):
            raise RequestError(
                ErrorCode.INVALID, "the account does not use this kind of secret", "new", reason=Reason.CHOICE
            )
        verifiers = await self.new_passwords.verifiers(request.new)
        seconds = int(time.time())
        change = partial(accounts.change_secrets, account=account.id, held=held, verifiers=verifiers, seconds=seconds)
        recorded = trail.recorded(change, Act("change password", account.id, "user", address))

        def carry_out(connection: Any) -> _Changed | None:
            device = logins.device(connection, account.id, request.caller_sid)
            revocation = recorded(connection)
            return None if revocation is None else _Changed(revocation, device)

        changed = await self.database.write(once(carry_out, _Changed, type(None)))
        if changed is None:
            raise wrong("old")
        return changed
