"""Changes that must take effect here within a second or two: revoked logins, maintenance mode, and the keys that
verify tokens. Auth pushes revocations and maintenance mode. Each second it also announces its state, and this node
requests what it lacks. Without announcements it requests everything every second."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from services.edge.canonical.events import Event, MaintenanceChanged
from services.edge.login.auth_state import AuthState
from services.edge.login.token_verifier import TokenVerifier
from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.clock import steady_ms
from shared.contract.auth import ListRevocations, Revocation, Revocations
from shared.contract.errors import RequestError
from shared.telemetry import log

_log = log(__name__)
_INTERVAL_SECONDS = 1.0
_SILENCE_SECONDS = 3.0
_CHECK_SECONDS = 60.0
"""Requests are made so often, whatever is announced."""
_ATTEMPT_SECONDS = 2.0
_ANNOUNCEMENT_MS = 1000.0
"""An announcement is not on its way for longer: the next one is sent by then."""

_decode_state = msgspec.msgpack.Decoder(Revocations).decode


class RevocationWatcher:
    """`notify_all` reaches every connection, logged in or not."""

    def __init__(
        self,
        bus: Bus,
        state: AuthState,
        verifier: TokenVerifier,
        accounts: LocalAccounts,
        notify_all: Callable[[Event], None],
    ) -> None:
        self._bus = bus
        self._state = state
        self._verifier = verifier
        self._accounts = accounts
        self._notify_all = notify_all
        self._loaded = False
        self._pushed = 0
        """How often auth has pushed maintenance mode."""
        self._announced_at = 0.0
        """Monotonic seconds."""
        self._outdated = asyncio.Event()

    async def run(self) -> None:
        while True:
            try:
                await self.refresh()
            except RequestError as error:
                _log.warning("revocations not listed", error=str(error))
                await asyncio.sleep(_INTERVAL_SECONDS)
            else:
                await self._until_outdated()

    async def _until_outdated(self) -> None:
        """Until auth announces another state, or nothing at all; for an interval at least, unless there is news."""
        due = time.monotonic() + _CHECK_SECONDS
        while not self._outdated.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_SECONDS):
                    await self._outdated.wait()
            now = time.monotonic()
            if now > due or now - self._announced_at > _SILENCE_SECONDS:
                break
        self._outdated.clear()

    def receive_state(self, data: bytes) -> None:
        """A replica of auth has announced its state."""
        announced, state, now = _decode_state(data), self._state, steady_ms()
        self._announced_at = time.monotonic()
        state.heard()
        state.clock.observe(announced.now, now - _ANNOUNCEMENT_MS, now)
        if announced.keys:
            self._verifier.set_keys(announced.keys)
        if announced.last > state.revision or announced.maintenance != state.maintenance:
            self._outdated.set()

    async def refresh(self) -> None:
        """Raises RequestError."""
        state, more = self._state, True
        while more:
            since, pushed, sent = state.revision, self._pushed, steady_ms()
            reply = await self._bus.send(ListRevocations(since), seconds=_ATTEMPT_SECONDS, retry=True)
            state.heard()
            state.clock.observe(reply.now, sent, steady_ms())
            self.revoked(reply.revocations)
            if reply.keys:
                self._verifier.set_keys(reply.keys)
            if state.revision == since:  # otherwise a login came meanwhile
                state.revision = reply.revocations[-1].number if reply.more else reply.last
            if self._pushed == pushed:  # otherwise the push is newer than the reply
                self._set_maintenance(reply.maintenance)
            more = reply.more
        self._loaded = True
        self._verifier.revocations_loaded.set()

    def revoked(self, revocations: list[Revocation]) -> None:
        """Idempotent: a revocation may be received twice."""
        self._verifier.revoked(revocations)
        for revocation in revocations:
            local = self._accounts.get(revocation.account)
            for recipient in local.recipients if local else ():
                recipient.revoked(revocation)

    def maintenance(self, on: bool) -> None:
        """Auth has pushed maintenance mode."""
        self._pushed += 1
        self._set_maintenance(on)

    def _set_maintenance(self, on: bool) -> None:
        if on == self._state.maintenance:
            return
        self._state.maintenance = on
        if self._loaded:
            self._notify_all(MaintenanceChanged(on))
