"""Recovery of an account by its security question."""

import time
from dataclasses import dataclass
from functools import partial

from services.auth import domain, verifiers
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.login_trail import LoginTrail
from services.auth.service.new_passwords import NewPasswords
from services.auth.service.ports import PasswordHashing
from services.auth.service.revocations import TokenRevocations
from services.auth.store import accounts, trail
from services.auth.store.requests import REVOKED, once, stored
from shared.contract.admin import Act
from shared.contract.auth import IdentifierKind, Revocation
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.recovery import Recover, Recovered, SetSecurity
from shared.contract.routes import Ack
from shared.request_nonce import stored_or
from shared.transactions import Transactions


@dataclass(frozen=True, kw_only=True)
class PasswordRecovery:
    database: Transactions
    passwords: PasswordHashing
    new_passwords: NewPasswords
    limits: LoginLimiter
    revocations: TokenRevocations
    trail: LoginTrail
    enabled: bool
    """Otherwise no answer is right."""

    async def recover(self, request: Recover) -> Recovered:
        """Raises RequestError: `unauthenticated` for an unknown account, a wrong question and a wrong answer alike,
        `rate_limited`, `invalid`, `unavailable`."""
        domain.check_recovery(request)
        self.new_passwords.check(request.secret)
        revocation = await stored_or(self.database, stored(*REVOKED), partial(self._recover, request))
        await self.revocations.publish(revocation)
        return Recovered(revocation.account)

    async def _recover(self, request: Recover) -> Revocation:
        if not self.enabled:
            raise _unrecoverable()
        kind, name = IdentifierKind.ANY, request.username
        account = (await self.database.read(accounts.find, kind, name)).account
        answer = domain.expected_answer(account, request)
        async with self.limits.recovery(domain.login_subject(account, name), request.origin.address) as attempt:
            judged = None if attempt.is_blocked else answer
            attempt.failed = not await self._is_right(judged, request.answer)
        if attempt.failed or account is None or answer is None:
            self.trail.note_failure("failed recovery", account, request.origin.address)
            raise _unrecoverable()
        return await self._replace_secrets(account.id, answer, request)

    async def _is_right(self, answer: str | None, text: str) -> bool:
        for form in verifiers.text_forms(text):
            if await self.passwords.verify(answer, form):
                return True
        return False

    async def _replace_secrets(self, account: AccountId, answer: str, request: Recover) -> Revocation:
        verifiers = await self.new_passwords.verifiers(request.secret)
        seconds = domain.void_before(time.time())
        act = Act("recover", account, "user", request.origin.address)
        revocation = await self.database.write(
            once(trail.recorded(accounts.recover, act), *REVOKED), account, answer, verifiers, seconds
        )
        if revocation is None:
            raise _unrecoverable()
        return revocation

    async def set_security(self, request: SetSecurity) -> Ack:
        """Raises RequestError: `unauthenticated` for a deleted account, `invalid`, `unavailable`."""
        domain.check_security(request)
        answer = (await self.passwords.hash([verifiers.plain_text(request.answer)]))[0] if request.answer else None
        act = Act("change security question", request.actor, "user")
        if not await self.database.write(
            once(trail.recorded(accounts.set_security, act), bool), request.actor, request.question_id, answer
        ):
            raise RequestError(ErrorCode.UNAUTHENTICATED, "nobody is logged in")
        return Ack()


def _unrecoverable() -> RequestError:
    return RequestError(ErrorCode.UNAUTHENTICATED, "wrong account, question or answer")
