"""The use cases: accounts come, log in, log out and go; edges learn what is revoked."""

import asyncio
import time
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import msgspec
from prometheus_client import Counter

from services.auth import domain
from services.auth.adapters.edge_notifier import NodeNotifier
from services.auth.adapters.outbox_relay import OutboxRelay
from services.auth.adapters.passwords import Argon2Hasher
from services.auth.adapters.signing_keys import SigningKeys
from services.auth.domain import Account, VerificationPurpose, VerificationSubject
from services.auth.metrics import AuthMetrics
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.verification import EmailVerification
from services.auth.store import accounts
from services.auth.store.accounts import IdentifierTaken, NewAccount, NotVerified
from shared.bus.client import Bus
from shared.clock import now_ms
from shared.contract.auth import (
    Authenticated,
    DeleteAccount,
    GetKeys,
    IdentifierKind,
    Keys,
    ListRevocations,
    Login,
    Logout,
    Recover,
    Register,
    Revocation,
    Revocations,
    SetSecurity,
    VerificationNeeded,
)
from shared.contract.edge import Revoked
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Secret
from shared.contract.session import Ack, EraseAccount
from shared.contract.subjects import ERASE_PROFILE, ERASE_READ_STATE, LoginReply, Route
from shared.database import Database
from shared.settings import Settings
from shared.telemetry import log

A = TypeVar("A")

_log = log(__name__)
_ERASE_SECONDS = 1.5
"""Less than the two seconds after which a request is repeated."""


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """`settings` are all of the process's; the rest is what `app` has wired."""

    settings: Settings
    database: Database
    bus: Bus
    passwords: Argon2Hasher
    keyring: SigningKeys
    limits: LoginLimiter
    verification: EmailVerification
    relay: OutboxRelay
    notices: NodeNotifier
    metrics: AuthMetrics

    # Coming in

    async def register(self, request: Register) -> LoginReply:
        """Raises Refused: `conflict` with the taken field, `rate_limited`, `invalid`, `unavailable`."""
        return await _counted(self.metrics.registrations, self._register(request))

    async def login(self, request: Login) -> LoginReply:
        """Raises Refused: `unauthenticated`, whether the account or the secret is wrong, `rate_limited`, `invalid`,
        `unavailable`."""
        return await _counted(self.metrics.logins, self._login(request))

    async def _register(self, request: Register) -> LoginReply:
        domain.check_registration(request, self.settings.limits.nickname_characters)
        began = time.time()
        holder = self._newcomer(request)
        verified = holder is not None and await self.verification.has_passed(holder)
        if not verified:
            await self.limits.registration(request.origin.address)
        if field := await self.database.read(partial(accounts.find_conflict, request=request)):
            raise _conflict(field)
        if holder is not None and not verified:
            return await self.verification.create_ticket(holder, request.origin, request.ticket)
        return await self._create(await self._new_account(request, holder), began)

    def _newcomer(self, request: Register) -> VerificationSubject | None:
        """Whose verification this registration needs; None: it needs none."""
        if not self.settings.verification.registration:
            return None
        if not request.email:
            raise RequestError(ErrorCode.INVALID, "an e-mail address is needed to register here", "email")
        return VerificationSubject(VerificationPurpose.REGISTER, request.email, NO_ACCOUNT)

    async def _new_account(self, request: Register, holder: VerificationSubject | None) -> NewAccount:
        texts = domain.verifier_texts(request.secret)
        answers = [request.answer] if request.answer else []
        hashes = await self.passwords.hash([*texts.values(), *answers])
        return NewAccount(
            request=request,
            uuid=request.uuid or str(uuid.uuid4()),
            created=now_ms(),
            lobby=request.lobby and self.settings.auth.lobby,
            verifiers=dict(zip(texts, hashes, strict=False)),
            answer=hashes[-1] if answers else None,
            holder=holder,
        )

    async def _create(self, new: NewAccount, began: float) -> LoginReply:
        try:
            registered = await self.database.write(partial(accounts.register, new=new))
        except IdentifierTaken as error:
            raise _conflict(error.field) from error
        except NotVerified:
            assert new.holder is not None
            return await self.verification.create_ticket(new.holder, new.request.origin, "")
        self.relay.wake()
        assert registered.account is not None
        return self._enter(registered.account, registered.revision, began)

    async def _login(self, request: Login) -> LoginReply:
        domain.check_login(request)
        began = time.time()
        step = partial(accounts.find, kind=request.kind, identifier=request.identifier)
        found = await self.database.read(step)
        subject = domain.throttle_key(found.account, request.kind, request.identifier)
        async with self.limits.attempt(subject, request.origin.address) as attempt:
            account = await self._opened(found.account, request.secret)
            attempt.failed = account is None
        if account is None:
            raise RequestError(ErrorCode.UNAUTHENTICATED, "wrong account or password")
        if needed := await self._withheld(account, subject, request):
            return needed
        return self._enter(account, found.revision, began)

    async def _opened(self, account: Account | None, secret: Secret) -> Account | None:
        """The account, if the secret is its own. Always one hash, so that nobody learns which was wrong."""
        choice = domain.matching_verifier(secret, account.verifiers) if account else None
        if account is None or choice is None:
            await self.passwords.verify(None, secret.value)
            return None
        scheme, text = choice
        verifier = account.verifiers[scheme]
        if not await self.passwords.verify(verifier, text):
            return None
        if self.passwords.is_outdated(verifier) and not self.passwords.is_busy:
            [renewed] = await self.passwords.hash([text])
            change = partial(accounts.replace_verifier, account=account.id, scheme=scheme, old=verifier, new=renewed)
            still_holds = await self.database.write(change)
        else:
            check = partial(accounts.holds_verifier, account=account.id, scheme=scheme, verifier=verifier)
            still_holds = await self.database.read(check)
        return account if still_holds else None

    async def _withheld(self, account: Account, subject: str, request: Login) -> VerificationNeeded | None:
        """After too many failures the right secret is not enough, for whom we can write to."""
        allowed = self.settings.verification.after_failed_logins
        if not allowed or not account.email or await self.limits.failures(subject) < allowed:
            return None
        holder = VerificationSubject(VerificationPurpose.LOGIN, account.email, account.id)
        if await self.verification.consume(holder, request.ticket):
            await self.limits.reset(subject)
            return None
        return await self.verification.create_ticket(holder, request.origin, request.ticket)

    def _enter(self, account: Account, revision: int, began: float) -> Authenticated:
        """A token is as old as the snapshot it was decided upon: what was revoked meanwhile voids it; what was revoked
        before does not, even within the same second."""
        token = self.keyring.issue(account.id, max(began, account.tokens_from))
        seeds = msgspec.structs.asdict(account.profile)
        return Authenticated(**seeds, sid=token.sid, token=token.text, expires=token.expires, revision=revision)

    # Forgotten passwords

    async def recover(self, request: Recover) -> Ack:
        """Raises Refused: `unauthenticated`, whatever is wrong, `rate_limited`, `invalid`, `unavailable`."""
        return await _counted(self.metrics.recoveries, self._recover(request))

    async def _recover(self, request: Recover) -> Ack:
        domain.check_recovery(request)
        kind, name = IdentifierKind.ANY, request.username
        account = (await self.database.read(partial(accounts.find, kind=kind, identifier=name))).account
        answer = domain.expected_answer(account, request)
        async with self.limits.attempt(domain.throttle_key(account, kind, name), request.origin.address) as attempt:
            attempt.failed = not await self.passwords.verify(answer, request.answer)
        if attempt.failed or account is None or answer is None:
            raise _unrecoverable()
        await self._replace_secrets(account.id, answer, request.secret)
        return Ack()

    async def _replace_secrets(self, account: AccountId, answer: str, secret: Secret) -> None:
        texts = domain.verifier_texts(secret)
        verifiers = dict(zip(texts, await self.passwords.hash(list(texts.values())), strict=True))
        seconds = domain.void_before(time.time())
        step = partial(accounts.recover, account=account, answer=answer, verifiers=verifiers, seconds=seconds)
        revocation = await self.database.write(step)
        if revocation is None:
            raise _unrecoverable()
        await self.publish_revocation(revocation)

    async def set_security(self, request: SetSecurity) -> Ack:
        """Raises Refused: `unauthenticated` for an account that is gone, `invalid`, `unavailable`."""
        domain.check_security(request)
        answer = (await self.passwords.hash([request.answer]))[0] if request.answer else None
        step = partial(accounts.set_security, account=request.actor, question_id=request.question_id, answer=answer)
        if not await self.database.write(step):
            raise RequestError(ErrorCode.UNAUTHENTICATED, "nobody is logged in")
        return Ack()

    # Going out

    async def logout(self, request: Logout) -> Ack:
        domain.check_actor(request.actor)
        domain.check_opaque(request.sid, "sid")
        if not await self.database.read(partial(accounts.is_revoked, account=request.actor, sid=request.sid)):
            step = partial(accounts.revoke, account=request.actor, sid=request.sid, seconds=int(time.time()))
            await self.publish_revocation(await self.database.write(step))
        return Ack()

    async def delete(self, request: DeleteAccount) -> Ack:
        """Committed here first; the other services are asked at once, and told again by a durable event. Asked again,
        it is done already."""
        domain.check_actor(request.actor)
        seconds = domain.void_before(time.time())
        revocation = await self.database.write(partial(accounts.erase, account=request.actor, seconds=seconds))
        if revocation is None:
            return Ack()
        self.relay.wake()
        self.metrics.deletions.inc()
        await self.publish_revocation(revocation)
        await asyncio.gather(*(self._erase_at(route, request.actor) for route in (ERASE_PROFILE, ERASE_READ_STATE)))
        return Ack()

    async def _erase_at(self, route: Route[EraseAccount, Ack], account: AccountId) -> None:
        try:
            await self.bus.request(route, EraseAccount(account), seconds=_ERASE_SECONDS, retry=True)
        except RequestError as refusal:
            _log.warning("erased later, by the event", route=route.subject, error=str(refusal))

    async def publish_revocation(self, revocation: Revocation) -> None:
        self.metrics.revocations.labels("session" if revocation.sid else "account").inc()
        await self.notices.notify_all(Revoked([revocation]))

    # What edges ask

    async def list_revocations(self, request: ListRevocations) -> Revocations:
        domain.check_number(request.since, "since")
        watched = await self.database.read(partial(accounts.list_revocations, since=request.since))
        return msgspec.structs.replace(watched, keys=self.keyring.key_ids)

    async def get_keys(self, _request: GetKeys) -> Keys:
        await asyncio.to_thread(self.keyring.reload)
        return self.keyring.public_keys()


async def _counted(counter: Counter, work: Awaitable[A]) -> A:
    try:
        answer = await work
    except RequestError as refusal:
        counter.labels(refusal.failure.code.value).inc()
        raise
    counter.labels("withheld" if isinstance(answer, VerificationNeeded) else "ok").inc()
    return answer


def _conflict(field: str) -> RequestError:
    return RequestError(ErrorCode.CONFLICT, f"this {field} is taken", field)


def _unrecoverable() -> RequestError:
    return RequestError(ErrorCode.UNAUTHENTICATED, "wrong account, question or answer")
