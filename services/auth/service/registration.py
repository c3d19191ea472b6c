"""Registration of accounts."""

import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from services.auth import domain, verifiers
from services.auth.domain import VerificationPurpose, VerificationSubject
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.passwords import NewPasswords
from services.auth.service.ports import EventOutbox
from services.auth.service.sessions import LoginSessions
from services.auth.service.verification import EmailVerification
from services.auth.store import accounts
from services.auth.store.accounts import IdentifierTaken, NewAccount, NoGuest, NotVerified
from services.auth.store.requests import once, stored
from shared.clock import now_ms
from shared.contract.auth import LoginReply, Register, VerificationNeeded
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.request_nonce import stored_or
from shared.settings import Settings
from shared.transactions import Transactions


class Registered(NamedTuple):
    """A registered account. `revision`: see AccountSnapshot."""

    account: AccountId
    revision: int


@dataclass(frozen=True, kw_only=True)
class Registration:
    settings: Settings
    database: Transactions
    passwords: NewPasswords
    sessions: LoginSessions
    limits: LoginLimiter
    verification: EmailVerification
    outbox: EventOutbox

    async def register(self, request: Register) -> LoginReply:
        """Raises RequestError: `conflict` with the taken field, `forbidden` if the guest that registers is no guest any
        more, `rate_limited`, `invalid`, `unavailable`."""
        domain.check_registration(request, self.settings.limits.nickname_characters)
        domain.check_no_imitation(request.nickname, self.settings.announcements.name)
        self.passwords.check(request.secret)
        began = time.time()
        registered = await stored_or(self.database, stored(Registered), partial(self._register, request))
        if isinstance(registered, VerificationNeeded):
            return registered
        self.outbox.wake()
        if (account := await self.database.read(accounts.find_numbered, registered.account)) is None:
            raise RequestError(ErrorCode.UNAUTHENTICATED, "the account has been deleted in the meantime")
        return await self.sessions.start(
            account, registered.revision, began, request.origin, request.device, refreshable=request.refreshable
        )

    async def _register(self, request: Register) -> Registered | VerificationNeeded:
        subject = self._required_verification(request)
        if subject is None or not await self.verification.has_passed(subject, request.ticket):
            await self.limits.registration(request.origin.address)
        if field := await self.database.read(accounts.find_conflict, request):
            raise conflict(field)
        if subject is not None:
            if not (ticket := await self.verification.find_passed(subject, request)):
                return await self.verification.create_ticket(subject, request)
            request.ticket = ticket
        return await self._create(await self._new_account(request, subject))

    def _required_verification(self, request: Register) -> VerificationSubject | None:
        """The subject of the verification that this registration needs; None if registrations need no verification."""
        if not self.settings.verification.registration:
            return None
        if not request.email:
            raise RequestError(
                ErrorCode.INVALID, "an e-mail address is needed to register here", "email", reason=Reason.MISSING
            )
        return VerificationSubject(VerificationPurpose.REGISTER, request.email, NO_ACCOUNT)

    async def _new_account(self, request: Register, subject: VerificationSubject | None) -> NewAccount:
        texts = verifiers.verifier_texts(request.secret)
        answers = [verifiers.plain_text(request.answer)] if request.answer else []
        hashes = await self.passwords.hasher.hash([*texts.values(), *answers])
        return NewAccount(
            request=request,
            uuid=request.uuid or str(uuid.uuid4()),
            created=now_ms(),
            lobby=request.lobby and self.settings.auth.lobby,
            verifiers=dict(zip(texts, hashes, strict=False)),
            answer=hashes[-1] if answers else None,
            subject=subject,
        )

    async def _create(self, new: NewAccount) -> Registered | VerificationNeeded:
        try:
            return await self.database.write(once(register, Registered), new)
        except IdentifierTaken as error:
            raise conflict(error.field) from error
        except NoGuest as error:
            raise RequestError(
                ErrorCode.FORBIDDEN, "the guest has left, or is registered already", reason=Reason.GONE
            ) from error
        except NotVerified:
            assert new.subject is not None
            return await self.verification.create_ticket(new.subject, new.request)


def register(connection: Any, new: NewAccount) -> Registered:
    """Raises IdentifierTaken, NotVerified."""
    registered = accounts.register(connection, new)
    assert registered.account is not None
    return Registered(registered.account.id, registered.revision)


def conflict(field: str) -> RequestError:
    return RequestError(ErrorCode.CONFLICT, f"this {field} is taken", field, 0, Reason.TAKEN)
