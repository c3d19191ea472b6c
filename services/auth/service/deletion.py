"""Deletion of accounts."""

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from services.auth import domain
from services.auth.metrics import AuthMetrics
from services.auth.service.passwords import OwnSecret, wrong
from services.auth.service.ports import EventOutbox, RequestErasure
from services.auth.service.revocations import TokenRevocations
from services.auth.store import accounts
from services.auth.store.requests import REVOKED, stored
from shared.contract.admin import Act
from shared.contract.auth import DeleteAccount, DeletedAccounts, ListDeletedAccounts, Revocation
from shared.contract.errors import RequestError
from shared.contract.model import Scheme
from shared.contract.routes import Ack, Route
from shared.contract.session import EraseAccount
from shared.contract.subjects import ERASE_PROFILE, ERASE_READ_STATE
from shared.request_nonce import stored_or
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)
HOUSEKEEPING = "housekeeping"
"""The name in the audit trail for deletions of abandoned guests."""
_PAGE = 1_000
_REASON_CHARACTERS = 300
_ERASE_SECONDS = 1.5
"""The time limit of the request to another service. It is shorter than the 2 s after which the deletion request itself
is repeated."""


@dataclass(frozen=True, kw_only=True)
class AccountDeletion:
    database: Transactions
    outbox: EventOutbox
    revocations: TokenRevocations
    request: RequestErasure
    own_secret: OwnSecret
    metrics: AuthMetrics

    async def delete(self, request: DeleteAccount, by: str = "user") -> Ack:
        """Commits the deletion in this service's database, then requests the erasure from the other services. A durable
        event repeats the request for erasure. A repeated deletion has no further effect, and does not wait for a
        service that is unavailable. Raises RequestError: `unauthenticated` (also for a wrong secret), `rate_limited`,
        `invalid`, `unavailable`."""
        domain.check_deletion(request)
        await stored_or(self.database, stored(*REVOKED), partial(self.carry_out, request, by))
        return Ack()

    async def carry_out(self, request: DeleteAccount, by: str) -> Revocation | None:
        """Carries out the deletion, for the first request and for a repetition. Returns None if the account is deleted
        already."""
        held = await self._check_secret(request)
        act = Act("delete", request.actor, by)
        revocation = await self.revocations.carry_out(_erase, act, request, held, int(time.time()))
        if revocation is None:
            return None
        self.metrics.deletions.inc()
        if by != HOUSEKEEPING:  # nobody waits for its deletions, of which there may be many
            await self._erase_elsewhere(EraseAccount(request.actor, request.reason[:_REASON_CHARACTERS]))
        self.outbox.wake()  # only now, because the event lacks the reason, which the requests above have
        return revocation

    async def _check_secret(self, request: DeleteAccount) -> tuple[Scheme, str] | None:
        """Returns the scheme and verifier that the secret matches; None if the request has no secret, or the account is
        deleted already."""
        if request.secret is None or (account := await self.own_secret.find(request.actor)) is None:
            return None
        return await self.own_secret.check(account, request.secret, request.origin.address, "failed deletion", "secret")

    async def _erase_elsewhere(self, erasure: EraseAccount) -> None:
        """Requests the erasure from the other services. A service that does not reply in time erases the data later,
        when it receives the durable event."""
        await asyncio.gather(*(self._request_erasure(route, erasure) for route in (ERASE_PROFILE, ERASE_READ_STATE)))

    async def _request_erasure(self, route: Route[EraseAccount, Ack], erasure: EraseAccount) -> None:
        try:
            await self.request(route, erasure, seconds=_ERASE_SECONDS, retry=True)
        except RequestError as error:
            _log.warning(
                "data of a deleted account was not erased at once: the durable event will erase it",
                route=route.subject,
                error=str(error),
            )

    async def list_deleted(self, request: ListDeletedAccounts) -> DeletedAccounts:
        domain.check_number(request.after, "after")
        return DeletedAccounts(await self.database.read(accounts.list_deleted, request.after, _PAGE))


def _erase(connection: Any, request: DeleteAccount, held: tuple[Scheme, str] | None, seconds: int) -> Revocation | None:
    """Like `accounts.erase`, but only if the account still has the verifier. For the deletion of a guest, the account
    must still be a guest's."""
    if held is not None and not accounts.lock_verifier(connection, request.actor, held):
        raise wrong("secret")
    if request.of_guest and not accounts.lock_guest(connection, request.actor):
        return None
    return accounts.erase(connection, request.actor, seconds)
