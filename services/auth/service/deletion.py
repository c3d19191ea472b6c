"""Deletion of accounts."""

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from services.auth import domain
from services.auth.metrics import AuthMetrics
from services.auth.service.passwords import OwnSecret, wrong
from services.auth.service.ports import EventOutbox
from services.auth.service.revocations import TokenRevocations
from services.auth.store import accounts, trail
from services.auth.store.requests import REVOKED, once, stored
from shared.contract.admin import Act
from shared.contract.auth import DeleteAccount, DeletedAccounts, ListDeletedAccounts, Revocation
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Scheme
from shared.contract.routes import Ack, Route, SendRequest
from shared.contract.session import EraseAccount
from shared.contract.subjects import ERASE_PROFILE, ERASE_READ_STATE
from shared.request_nonce import stored_or
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)
_PAGE = 1_000
_ERASE_SECONDS = 1.5
"""Below the 2 s after which the deletion request itself is repeated."""


@dataclass(frozen=True, kw_only=True)
class AccountDeletion:
    database: Transactions
    outbox: EventOutbox
    revocations: TokenRevocations
    send: SendRequest
    own_secret: OwnSecret
    metrics: AuthMetrics

    async def delete(self, request: DeleteAccount, by: str = "user") -> Ack:
        """Commits here first, then requests the erasure in the other services; a durable event repeats that request.
        Idempotent: a repetition does not wait for a service that is down. Raises RequestError: `unauthenticated`, also
        for a wrong secret, `rate_limited`, `invalid`, `unavailable`."""
        domain.check_deletion(request)
        await stored_or(self.database, stored(*REVOKED), partial(self.carry_out, request, by))
        return Ack()

    async def carry_out(self, request: DeleteAccount, by: str) -> Revocation | None:
        """As `delete`, whether it is a repetition or not. None: the account is deleted already."""
        held = await self._check_secret(request)
        seconds = domain.void_before(time.time())
        revocation = await self.database.write(
            once(trail.recorded(_erase, Act("delete", request.actor, by)), *REVOKED), request.actor, held, seconds
        )
        if revocation is None:
            return None
        self.outbox.wake()
        self.metrics.deletions.inc()
        await self.revocations.publish(revocation)
        await self._erase_elsewhere(request.actor)
        return revocation

    async def _check_secret(self, request: DeleteAccount) -> tuple[Scheme, str] | None:
        """None: the request has no secret, or the account is deleted already."""
        if request.secret is None or (account := await self.own_secret.find(request.actor)) is None:
            return None
        return await self.own_secret.check(account, request.secret, request.origin.address, "failed deletion", "secret")

    async def _erase_elsewhere(self, account: AccountId) -> None:
        """A service that does not reply in time erases the data later, when it receives the durable event."""
        await asyncio.gather(*(self._request_erasure(route, account) for route in (ERASE_PROFILE, ERASE_READ_STATE)))

    async def _request_erasure(self, route: Route[EraseAccount, Ack], account: AccountId) -> None:
        try:
            await self.send(route, EraseAccount(account), seconds=_ERASE_SECONDS, retry=True)
        except RequestError as error:
            _log.warning("erasure left to the durable event", route=route.subject, error=str(error))

    async def list_deleted(self, request: ListDeletedAccounts) -> DeletedAccounts:
        domain.check_number(request.after, "after")
        return DeletedAccounts(await self.database.read(accounts.list_deleted, request.after, _PAGE))


def _erase(connection: Any, account: AccountId, held: tuple[Scheme, str] | None, seconds: int) -> Revocation | None:
    """As `accounts.erase`, if the account still has the verifier."""
    if held is not None and not accounts.lock_verifier(connection, account, held):
        raise wrong("secret")
    return accounts.erase(connection, account, seconds)
