"""The secret of an account, which a user who is logged in gives once more."""

from dataclasses import dataclass

from services.auth import domain
from services.auth.domain import Account
from services.auth.service.login import find_verifier
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.login_trail import LoginTrail
from services.auth.service.ports import PasswordHashing
from services.auth.store import accounts
from shared.contract.auth import IdentifierKind
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Scheme, Secret
from shared.transactions import Transactions


@dataclass(frozen=True, kw_only=True)
class OwnSecret:
    database: Transactions
    passwords: PasswordHashing
    limits: LoginLimiter
    trail: LoginTrail

    async def find(self, number: AccountId) -> Account | None:
        """None: it is deleted."""
        return (await self.database.read(accounts.find, IdentifierKind.ID, str(number))).account

    async def check(self, account: Account, secret: Secret, address: str, act: str, field: str) -> tuple[Scheme, str]:
        """The verifier that the secret matches. Wrong secrets are limited like failed logins by the account's number,
        and are `act` in the audit trail. Raises RequestError: `unauthenticated` with the field, `rate_limited`,
        `unavailable`."""
        async with self.limits.login(domain.login_subject(account, str(account.id)), address) as attempt:
            held = await find_verifier(self.passwords, account, secret)
            attempt.failed = held is None
        if held is None:
            self.trail.note_failure(act, account, address)
            raise wrong(field)
        return held.scheme, held.verifier


def wrong(field: str) -> RequestError:
    return RequestError(ErrorCode.UNAUTHENTICATED, "wrong password", field)
