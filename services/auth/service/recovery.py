"""Recovery of an account by its security question, or by a ticket that is mailed to the account."""

import time
from dataclasses import dataclass
from functools import partial
from secrets import token_hex

from services.auth import domain, verifiers
from services.auth.domain import Account
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.login_trail import LoginTrail
from services.auth.service.passwords import NewPasswords
from services.auth.service.ports import PasswordHashing, RecoveryTemplate
from services.auth.service.revocations import TokenRevocations
from services.auth.store import accounts, recoveries, trail
from services.auth.store.recoveries import NewTicket
from services.auth.store.requests import REVOKED, once, stored
from shared.clock import now_ms
from shared.contract.admin import Act
from shared.contract.auth import IdentifierKind, Revocation
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.recovery import Recover, RecoverByTicket, Recovered, RequestRecovery, SetSecurity
from shared.contract.routes import Ack
from shared.request_nonce import stored_or
from shared.settings import Settings
from shared.settings.accounts import AuthSettings
from shared.transactions import Transactions


@dataclass(frozen=True, kw_only=True)
class PasswordRecovery:
    database: Transactions
    passwords: PasswordHashing
    new_passwords: NewPasswords
    limits: LoginLimiter
    revocations: TokenRevocations
    trail: LoginTrail
    settings: AuthSettings

    async def recover(self, request: Recover) -> Recovered:
        """Raises RequestError: `unauthenticated` for an unknown account, a wrong question or a wrong answer,
        `rate_limited`, `invalid`, `unavailable`."""
        domain.check_recovery(request)
        self.new_passwords.check(request.secret)
        revocation = await stored_or(self.database, stored(*REVOKED), partial(self._recover, request))
        await self.revocations.publish(revocation)
        return Recovered(revocation.account)

    async def _recover(self, request: Recover) -> Revocation:
        if not self.settings.recovery:
            raise _unrecoverable()
        kind, name = IdentifierKind.ANY, request.username
        account = (await self.database.read(accounts.find, kind, name)).account
        answer = domain.expected_answer(account, request)
        async with self.limits.recovery(domain.login_subject(name, account), request.origin.address) as attempt:
            judged = None if attempt.is_blocked else answer
            attempt.failed = not await self.passwords.verify(judged, verifiers.plain_text(request.answer))
        if attempt.failed or account is None or answer is None:
            self.trail.note_failure("failed recovery", account, request.origin.address)
            raise _unrecoverable()
        return await self._replace_secrets(account.id, answer, request)

    async def _replace_secrets(self, account: AccountId, answer: str, request: Recover) -> Revocation:
        verifiers = await self.new_passwords.verifiers(request.secret)
        seconds = int(time.time())
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


def recovers_by_mail(settings: Settings) -> bool:
    return settings.mail.is_on and settings.auth.mail_recovery != "off"


@dataclass(frozen=True, kw_only=True)
class MailRecovery:
    database: Transactions
    new_passwords: NewPasswords
    limits: LoginLimiter
    revocations: TokenRevocations
    trail: LoginTrail
    template: RecoveryTemplate
    settings: Settings

    async def request(self, request: RequestRecovery) -> Ack:
        """Takes the same steps for any identifier. The mail is sent later, from the outbox. An immediate mail would
        delay the reply, and so reveal that the account exists. Raises RequestError: `forbidden`, `rate_limited`,
        `invalid`, `unavailable`."""
        domain.check_identifier(request.identifier)
        domain.check_origin(request.origin)
        self._check_enabled()
        await stored_or(self.database, stored(bool), partial(self._request, request))
        return Ack()

    async def _request(self, request: RequestRecovery) -> bool:
        """Returns whether a mail is sent."""
        await self.limits.mail(request.origin.address)
        account = (await self.database.read(accounts.find, IdentifierKind.ANY, request.identifier)).account
        return await self.database.write(once(recoveries.request_mail, bool), self._new_ticket(account), now_ms())

    def _new_ticket(self, account: Account | None) -> NewTicket:
        """Returns a new ticket. The ticket is a decoy if the account may not be recovered by mail."""
        ticket, expires = token_hex(16), now_ms() + int(self.settings.verification.time_limit_seconds * 1000)
        any_address = self.settings.auth.mail_recovery == "any"
        if account is None or not domain.is_mail_recoverable(account, any_address=any_address):
            return NewTicket(domain.digest(ticket), NO_ACCOUNT, self.template("", ticket, expires))
        return NewTicket(domain.digest(ticket), account.id, self.template(account.email, ticket, expires))

    async def recover(self, request: RecoverByTicket) -> Recovered:
        """Raises RequestError: `unauthenticated`, `forbidden`, `invalid`, `unavailable`. A hash is computed only for a
        valid ticket."""
        domain.check_opaque(request.ticket, "ticket")
        domain.check_new_secret(request.secret)
        domain.check_origin(request.origin)
        self._check_enabled()
        self.new_passwords.check(request.secret)
        revocation = await stored_or(self.database, stored(*REVOKED), partial(self._recover, request))
        await self.revocations.publish(revocation)
        return Recovered(revocation.account)

    async def _recover(self, request: RecoverByTicket) -> Revocation:
        digest = domain.digest(request.ticket)
        number = await self.database.read(recoveries.find, digest, now_ms())
        if number is None or (account := await self.database.read(accounts.find_numbered, number)) is None:
            self.trail.note_failure("failed recovery", None, request.origin.address)
            raise _rejected()
        revocation = await self._replace_secrets(account, digest, request)
        await self.limits.reset(account)
        return revocation

    async def _replace_secrets(self, account: Account, digest: str, request: RecoverByTicket) -> Revocation:
        verifiers = await self.new_passwords.verifiers(request.secret)
        act = Act("recover", account.id, "user", request.origin.address, "by mail")
        revocation = await self.database.write(
            once(trail.recorded(accounts.recover_by_ticket, act), *REVOKED),
            account.id,
            digest,
            verifiers,
            int(time.time()),
            now_ms(),
        )
        if revocation is None:
            self.trail.note_failure("failed recovery", account, request.origin.address)
            raise _rejected()
        return revocation

    def _check_enabled(self) -> None:
        if not recovers_by_mail(self.settings):
            raise RequestError(
                ErrorCode.FORBIDDEN, "this server does not mail tickets for a new password", reason=Reason.SWITCHED_OFF
            )


def _rejected() -> RequestError:
    return RequestError(ErrorCode.UNAUTHENTICATED, "the ticket is not valid, or has expired", "ticket")
