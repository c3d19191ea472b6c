"""Applies changes of the auth service within a second or two: revoked logins, maintenance mode, and the keys that
verify tokens. The service pushes revocations and maintenance mode. It also announces its state each second, and then
this node requests the changes that it lacks. Without announcements, the node requests all changes every second."""

import asyncio
import time
from collections.abc import Callable

import msgspec

from services.edge.canonical.events import Event, MaintenanceChanged
from services.edge.login.auth_state import AuthState
from services.edge.login.token_verifier import TokenVerifier
from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.clock import steady_ms
from shared.contract.auth import ListRevocations, Revocation, Revocations
from shared.contract.errors import RequestError
from shared.tasks import is_set_within
from shared.telemetry import log

_log = log(__name__)
_INTERVAL_SECONDS = 1.0
_SILENCE_SECONDS = 3.0
_CHECK_SECONDS = 60.0
"""The longest time between two requests, with or without announcements."""
_ATTEMPT_SECONDS = 2.0
_LIST_SECONDS = 86_400.0
"""The time between two requests for all revocations. The auth service deletes those that match no valid token any
more, and then this node forgets them, too."""
_ANNOUNCEMENT_MS = 1000.0
"""The longest time that an announcement takes to arrive, because the next announcement is sent after this time."""

_decode_state = msgspec.msgpack.Decoder(Revocations).decode


class RevocationWatcher:
    """`notify_all` pushes an event to every connection, even without a login."""

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
        """The number of times that the auth service has pushed maintenance mode."""
        self._announced_at = 0.0
        """When the last announcement arrived, in monotonic seconds."""
        self._outdated = asyncio.Event()
        self._list_at = 0.0
        """When all revocations are requested again, in monotonic seconds."""

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
        """Wait until the auth service announces another state, or stops announcing. Without an announcement, the wait
        lasts for at least one interval."""
        now = time.monotonic()
        due, pause = now + _CHECK_SECONDS, _INTERVAL_SECONDS
        while not self._outdated.is_set() and pause > 0:
            await is_set_within(self._outdated, pause)
            pause = min(due, self._announced_at + _SILENCE_SECONDS) - time.monotonic()
        self._outdated.clear()

    def receive_state(self, data: bytes) -> None:
        """Handle the state that a replica of the auth service has announced."""
        announced, state, now = _decode_state(data), self._state, steady_ms()
        self._announced_at = time.monotonic()
        state.heard(announced.entrance)
        state.clock.observe(announced.now, now - _ANNOUNCEMENT_MS, now)
        if announced.keys:
            self._verifier.set_keys(announced.keys)
        if announced.last > state.revision or announced.maintenance != state.maintenance:
            self._outdated.set()

    async def refresh(self) -> None:
        """Request the changes that this node lacks, or all revocations if that is due. Raises RequestError."""
        state, more, now = self._state, True, time.monotonic()
        if is_list := now >= self._list_at:
            self._verifier.begin_list()
            state.revision = 0
        while more:
            since, pushed, sent = state.revision, self._pushed, steady_ms()
            reply = await self._bus.send(ListRevocations(since), seconds=_ATTEMPT_SECONDS, retry=True)
            state.heard(reply.entrance)
            state.clock.observe(reply.now, sent, steady_ms())
            self.revoked(reply.revocations)
            if reply.keys:
                self._verifier.set_keys(reply.keys)
            if state.revision == since:  # a login during the request may have asked for all revocations again
                state.revision = reply.revocations[-1].number if reply.more else reply.last
            if self._pushed == pushed:  # a push during the request is newer than this reply
                self._set_maintenance(reply.maintenance)
            more = reply.more
        if is_list:
            self._verifier.end_list()
            self._list_at = now + _LIST_SECONDS
        self._loaded = True
        self._verifier.revocations_loaded.set()

    def revoked(self, revocations: list[Revocation]) -> None:
        """Apply revocations. A revocation that is received twice has no further effect."""
        self._verifier.revoked(revocations)
        for revocation in revocations:
            for recipient in self._accounts.recipients(revocation.account):
                recipient.revoked(revocation)

    def maintenance(self, on: bool) -> None:
        """Apply the maintenance mode that the auth service has pushed."""
        self._pushed += 1
        self._set_maintenance(on)

    def _set_maintenance(self, on: bool) -> None:
        if on == self._state.maintenance:
            return
        self._state.maintenance = on
        if self._loaded:
            self._notify_all(MaintenanceChanged(on))
