"""Passwords that users choose, and the secret that a logged-in user must enter again."""

from collections.abc import Container
from dataclasses import dataclass, field

from services.auth import domain, verifiers
from services.auth.domain import Account
from services.auth.service.login import find_verifier
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.login_trail import LoginTrail
from services.auth.service.ports import PasswordHashing
from services.auth.store import accounts
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Scheme, Secret
from shared.settings.accounts import AuthSettings
from shared.transactions import Transactions


@dataclass(frozen=True, kw_only=True)
class NewPasswords:
    """Checks and hashes new passwords. Existing passwords stay valid. The rules hold only for plain passwords. The
    server cannot examine a password that the client has hashed, and users do not choose the secrets of service
    clients."""

    hasher: PasswordHashing
    settings: AuthSettings
    common: Container[str] = field(repr=False)
    """These common passwords are rejected in any case of letters."""

    def check(self, secret: Secret) -> None:
        """Raises RequestError (`invalid`)."""
        if secret.scheme is not Scheme.PLAIN:
            return
        if len(secret.value) < (least := self.settings.password_min_characters):
            raise _unacceptable(f"the password needs at least {least} characters", Reason.LENGTH)
        if secret.value.lower() in self.common:
            raise _unacceptable("this password is too common", Reason.CHOICE)

    async def verifiers(self, secret: Secret) -> dict[Scheme, str]:
        """The verifiers of a new password, by scheme. See PasswordHashing."""
        texts = verifiers.verifier_texts(secret)
        return dict(zip(texts, await self.hasher.hash(list(texts.values())), strict=True))


def _unacceptable(text: str, reason: Reason) -> RequestError:
    return RequestError(ErrorCode.INVALID, text, "secret", reason=reason)


@dataclass(frozen=True, kw_only=True)
class OwnSecret:
    database: Transactions
    passwords: PasswordHashing
    limits: LoginLimiter
    trail: LoginTrail

    async def find(self, number: AccountId) -> Account | None:
        """Returns the account, or None if it is deleted."""
        return await self.database.read(accounts.find_numbered, number)

    async def check(self, account: Account, secret: Secret, address: str, act: str, field: str) -> tuple[Scheme, str]:
        """Returns the verifier that the secret matches. A wrong secret counts as a failed login with the account's
        number, and `act` is its name in the audit trail. Raises RequestError: `unauthenticated` with the field,
        `rate_limited`, `unavailable`."""
        async with self.limits.login(domain.login_subject(str(account.id), account), address) as attempt:
            held = await find_verifier(self.passwords, account, secret)
            attempt.failed = held is None
        if held is None:
            self.trail.note_failure(act, account, address)
            raise wrong(field)
        return held.scheme, held.verifier


def wrong(field: str) -> RequestError:
    return RequestError(ErrorCode.UNAUTHENTICATED, "wrong password", field)
