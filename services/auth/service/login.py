"""Login by password or another secret."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.auth import domain, verifiers
from services.auth.domain import Account, VerificationPurpose, VerificationSubject
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.login_trail import LoginTrail
from services.auth.service.ports import PasswordHashing
from services.auth.service.sessions import LoginSessions
from services.auth.service.verification import EmailVerification, MailedLinks
from services.auth.store import accounts
from services.auth.store.accounts import AccountSnapshot
from shared.contract.auth import Login, LoginReply, VerificationNeeded
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Scheme, Secret
from shared.transactions import Transactions


@dataclass(frozen=True, kw_only=True)
class PasswordLogin:
    database: Transactions
    passwords: PasswordHashing
    sessions: LoginSessions
    limits: LoginLimiter
    verification: EmailVerification
    links: MailedLinks
    trail: LoginTrail

    async def login(self, request: Login) -> LoginReply:
        """Raises RequestError: `unauthenticated` both for an unknown account and for a wrong secret, `rate_limited`,
        `invalid`, `unavailable`."""
        domain.check_login(request)
        began = time.time()
        named = await self.database.read(accounts.find_all, request.kind, request.identifier)
        subject = domain.login_subject(request.identifier, *(one.account for one in named))
        async with self.limits.login(subject, request.origin.address) as attempt:
            found = await self._authenticate(named, request.secret)
            attempt.failed = found is None
        if found is None or (account := found.account) is None:
            self.trail.note_failure("failed login", named[0].account, request.origin.address)
            raise RequestError(ErrorCode.UNAUTHENTICATED, "wrong account or password")
        if needed := await self._required_verification(account, request):
            return needed
        reply = await self.sessions.start(
            account, found.revision, began, request.origin, request.device, refreshable=request.refreshable
        )
        await self.links.offer_once(account, request)
        return reply

    async def _authenticate(self, named: Sequence[AccountSnapshot], secret: Secret) -> AccountSnapshot | None:
        """The first of these accounts that has the secret; None if none has it. So a username that is the number of
        another account does not take the number from that account."""
        for found in named:
            if await self._has_secret(found.account, secret):
                return found
        return None

    async def _has_secret(self, account: Account | None, secret: Secret) -> bool:
        held = await find_verifier(self.passwords, account, secret)
        if account is None or held is None:
            return False
        scheme, verifier, text = held
        if self.passwords.is_outdated(verifier) and not self.passwords.is_busy:
            [renewed] = await self.passwords.hash([text])
            return await self.database.write(accounts.replace_verifier, account.id, scheme, verifier, renewed)
        return await self.database.read(accounts.holds_verifier, account.id, scheme, verifier)

    async def _required_verification(self, account: Account, request: Login) -> VerificationNeeded | None:
        """Returns the verification that the login needs; None if the login needs no verification, or has consumed
        one."""
        allowed = self.verification.settings.after_failed_logins
        if not allowed or not account.email or await self.limits.failures(account) < allowed:
            return None
        subject = VerificationSubject(VerificationPurpose.LOGIN, account.email, account.id)
        ticket = await self.verification.find_passed(subject, request)
        if ticket and await self.verification.consume(subject, ticket):
            await self.database.write(accounts.confirm_email, account.id)
            await self.limits.reset(account)
            return None
        return await self.verification.create_ticket(subject, request)


class FoundVerifier(NamedTuple):
    """A verifier that the secret matches. `text`: the text whose hash is the verifier."""

    scheme: Scheme
    verifier: str
    text: str


async def find_verifier(passwords: PasswordHashing, account: Account | None, secret: Secret) -> FoundVerifier | None:
    """The account's verifier that the secret matches. The number of computed hashes is always the same. So the time
    taken does not show whether the account or the secret was wrong."""
    held = account.verifiers if account else {}
    for scheme, text in verifiers.texts_to_verify(secret, held):
        verifier = held.get(scheme)
        if await passwords.verify(verifier, text) and verifier is not None:
            return FoundVerifier(scheme, verifier, text)
    return None
