"""Deletion of accounts."""

import time
from dataclasses import dataclass
from functools import partial

from services.auth import domain
from services.auth.metrics import AuthMetrics
from services.auth.service.ports import EventOutbox, RemoteErasure, Transactions
from services.auth.service.revocations import TokenRevocations
from services.auth.store import accounts, trail
from shared.contract.admin import Act
from shared.contract.auth import DeleteAccount, DeletedAccounts, ListDeletedAccounts
from shared.contract.session import Ack

_PAGE = 1_000


@dataclass(frozen=True, kw_only=True)
class AccountDeletion:
    database: Transactions
    outbox: EventOutbox
    revocations: TokenRevocations
    erasure: RemoteErasure
    metrics: AuthMetrics

    async def delete(self, request: DeleteAccount, by: str = "user") -> Ack:
        """Commits here first, then requests the erasure in the other services; a durable event repeats that request.
        Idempotent. Raises RequestError: `unauthenticated`, `unavailable`."""
        domain.check_actor(request.actor)
        seconds = domain.void_before(time.time())
        erase = partial(accounts.erase, account=request.actor, seconds=seconds)
        revocation = await self.database.write(trail.recorded(erase, Act("delete", request.actor, by)))
        if revocation is None:
            return Ack()
        self.outbox.wake()
        self.metrics.deletions.inc()
        await self.revocations.publish(revocation)
        await self.erasure.erase(request.actor)
        return Ack()

    async def list_deleted(self, request: ListDeletedAccounts) -> DeletedAccounts:
        domain.check_number(request.after, "after")
        page = partial(accounts.list_deleted, after=request.after, limit=_PAGE)
        return DeletedAccounts(await self.database.read(page))
