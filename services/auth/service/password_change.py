"""Change of a password by a user who is logged in and knows the old one."""

import time
from dataclasses import dataclass, replace
from functools import partial

from services.auth import domain
from services.auth.service.login import find_verifier
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.login_trail import LoginTrail
from services.auth.service.new_passwords import NewPasswords
from services.auth.service.ports import PasswordHashing, Transactions
from services.auth.service.revocations import TokenRevocations
from services.auth.service.sessions import LoginSessions
from services.auth.store import accounts, trail
from shared.contract.admin import Act
from shared.contract.auth import Authenticated, ChangePassword, IdentifierKind
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Scheme


@dataclass(frozen=True, kw_only=True)
class PasswordChange:
    database: Transactions
    passwords: PasswordHashing
    new_passwords: NewPasswords
    limits: LoginLimiter
    revocations: TokenRevocations
    sessions: LoginSessions
    trail: LoginTrail

    async def change(self, request: ChangePassword) -> Authenticated:
        """Ends all logins of the account and starts a new one, for the caller. Wrong old passwords are limited like
        failed logins by the account's number. Raises RequestError: `unauthenticated`, `rate_limited`, `invalid`,
        `unavailable`."""
        domain.check_password_change(request)
        self.new_passwords.check(request.new)
        number = str(request.actor)
        step = partial(accounts.find, kind=IdentifierKind.ID, identifier=number)
        account = (await self.database.read(step)).account
        async with self.limits.login(domain.login_subject(account, number), request.origin.address) as attempt:
            held = await find_verifier(self.passwords, account, request.old)
            attempt.failed = held is None
        if account is None or held is None:
            self.trail.note_failure("failed password change", account, request.origin.address)
            raise _wrong()
        if (request.new.scheme is Scheme.SERVICE) is not (Scheme.SERVICE in account.verifiers):
            raise RequestError(ErrorCode.INVALID, "this kind of secret does not fit the account", "new")
        texts = domain.verifier_texts(request.new)
        verifiers = dict(zip(texts, await self.new_passwords.hash(list(texts.values())), strict=True))
        seconds = domain.void_before(time.time())
        change = partial(accounts.change_secrets, account=account.id, held=held, verifiers=verifiers, seconds=seconds)
        act = Act("change password", account.id, "user", request.origin.address)
        revocation = await self.database.write(trail.recorded(change, act))
        if revocation is None:
            raise _wrong()
        await self.revocations.publish(revocation)
        renewed = replace(account, tokens_from=seconds)
        return await self.sessions.start(
            renewed, revocation.number, time.time(), request.origin, refreshable=request.refreshable
        )


def _wrong() -> RequestError:
    return RequestError(ErrorCode.UNAUTHENTICATED, "wrong password", "old")
