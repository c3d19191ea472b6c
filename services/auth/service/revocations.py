"""Revokes tokens; lists revocations and verification keys for edges."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVarTuple

import msgspec

from services.auth import domain
from services.auth.metrics import AuthMetrics
from services.auth.service.ports import EdgeNotifications, PublicKeySource
from services.auth.store import revocations, trail
from services.auth.store.requests import REVOKED, once
from shared.clock import now_ms
from shared.contract.admin import Act
from shared.contract.auth import Entrance, GetKeys, Keys, ListRevocations, Logout, Revocation, Revocations
from shared.contract.edge import Revoked
from shared.contract.routes import Ack
from shared.transactions import Transactions

Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, kw_only=True)
class TokenRevocations:
    database: Transactions
    keys: PublicKeySource
    notifier: EdgeNotifications
    metrics: AuthMetrics
    entrance: Entrance

    async def logout(self, request: Logout) -> Ack:
        """Idempotent. Raises RequestError: `unauthenticated`, `invalid`, `unavailable`."""
        domain.check_actor(request.actor)
        domain.check_opaque(request.sid, "sid")
        if not await self.database.read(revocations.is_revoked, request.actor, request.sid):
            act = Act("log out", request.actor, "user")
            await self.carry_out(revocations.revoke, act, request.actor, request.sid, int(time.time()))
        return Ack()

    async def carry_out(self, step: Callable[[Any, *Ts], Revocation | None], act: Act, *args: *Ts) -> Revocation | None:
        """Carries out a step that revokes tokens, records the act, and publishes the revocation. Returns None if there
        was nothing to revoke."""
        revocation = await self.database.write(once(trail.recorded(step, act), *REVOKED), *args)
        if revocation is not None:
            await self.publish(revocation)
        return revocation

    async def publish(self, revocation: Revocation) -> None:
        """Notifies all edges of a committed revocation."""
        self.metrics.revocations.labels("session" if revocation.sid else "account").inc()
        await self.notifier.notify_all(Revoked([revocation]))

    async def list_revocations(self, request: ListRevocations) -> Revocations:
        domain.check_number(request.since, "since")
        listed = await self.database.read(revocations.list_revocations, request.since, brief=True)
        return msgspec.structs.replace(listed, keys=self.keys.key_ids, now=now_ms(), entrance=self.entrance)

    async def get_keys(self, _request: GetKeys) -> Keys:
        await asyncio.to_thread(self.keys.reload)
        return self.keys.public_keys()
