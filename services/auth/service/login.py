"""Login by password or another secret."""

import time
from dataclasses import dataclass
from functools import partial

import msgspec

from services.auth import domain
from services.auth.domain import Account, VerificationPurpose, VerificationSubject
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.ports import PasswordHashing, TokenIssuer, Transactions
from services.auth.service.verification import EmailVerification
from services.auth.store import accounts
from shared.contract.auth import Authenticated, Login, VerificationNeeded
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Secret
from shared.contract.subjects import LoginReply


@dataclass(frozen=True, kw_only=True)
class PasswordLogin:
    """From `verify_after_failures` failed logins on (0: never), an account with an e-mail address also needs a
    verification."""

    database: Transactions
    passwords: PasswordHashing
    tokens: TokenIssuer
    limits: LoginLimiter
    verification: EmailVerification
    verify_after_failures: int

    async def login(self, request: Login) -> LoginReply:
        """Raises RequestError: `unauthenticated` for an unknown account and for a wrong secret alike, `rate_limited`,
        `invalid`, `unavailable`."""
        domain.check_login(request)
        began = time.time()
        step = partial(accounts.find, kind=request.kind, identifier=request.identifier)
        found = await self.database.read(step)
        throttle_key = domain.throttle_key(found.account, request.kind, request.identifier)
        async with self.limits.login(throttle_key, request.origin.address) as attempt:
            account = await self._authenticate(found.account, request.secret)
            attempt.failed = account is None
        if account is None:
            raise RequestError(ErrorCode.UNAUTHENTICATED, "wrong account or password")
        if needed := await self._required_verification(account, throttle_key, request):
            return needed
        return start_session(self.tokens, account, found.revision, began)

    async def _authenticate(self, account: Account | None, secret: Secret) -> Account | None:
        """The account, if the secret is right. Computes a hash in any case, so that the time does not show whether the
        account or the secret was wrong."""
        match = domain.matching_verifier(secret, account.verifiers) if account else None
        if account is None or match is None:
            await self.passwords.verify(None, secret.value)
            return None
        scheme, text = match
        verifier = account.verifiers[scheme]
        if not await self.passwords.verify(verifier, text):
            return None
        if self.passwords.is_outdated(verifier) and not self.passwords.is_busy:
            [renewed] = await self.passwords.hash([text])
            change = partial(accounts.replace_verifier, account=account.id, scheme=scheme, old=verifier, new=renewed)
            is_current = await self.database.write(change)
        else:
            check = partial(accounts.holds_verifier, account=account.id, scheme=scheme, verifier=verifier)
            is_current = await self.database.read(check)
        return account if is_current else None

    async def _required_verification(
        self, account: Account, throttle_key: str, request: Login
    ) -> VerificationNeeded | None:
        """None: the login needs no verification, or has consumed one."""
        allowed = self.verify_after_failures
        if not allowed or not account.email or await self.limits.failures(throttle_key) < allowed:
            return None
        subject = VerificationSubject(VerificationPurpose.LOGIN, account.email, account.id)
        if await self.verification.consume(subject, request.ticket):
            await self.limits.reset(throttle_key)
            return None
        return await self.verification.create_ticket(subject, request.origin, request.ticket)


def start_session(tokens: TokenIssuer, account: Account, revision: int, began: float) -> Authenticated:
    """Dates the token at `began`, when the snapshot of `revision` was read: a revocation after the snapshot voids the
    token, one before it does not, even within the same second."""
    token = tokens.issue(account.id, max(began, account.tokens_from))
    profile = msgspec.structs.asdict(account.profile)
    return Authenticated(**profile, sid=token.sid, token=token.text, expires=token.expires, revision=revision)
