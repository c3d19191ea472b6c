"""Receives session's announcements of membership versions, and notices that some may be missing: a process of session
that dies may have committed a change that it announced neither on the bus nor in Redis."""

import asyncio
import time
from collections.abc import Callable

from services.message.adapters.roster_cache import RosterCache
from shared.contract.session import MembershipVersions

_SILENCE_SECONDS = 3.5
_TICK_SECONDS = 1.0


class AnnouncementReceiver:
    """A process of session that is silent, and did not announce its end, makes all rosters doubtful. One of a version
    without heartbeats is never missed. Times are monotonic seconds."""

    def __init__(self, rosters: RosterCache, clock: Callable[[], float] = time.monotonic) -> None:
        self._rosters = rosters
        self._clock = clock
        self._last_heard: dict[str, float] = {}

    def receive(self, message: MembershipVersions) -> None:
        self._rosters.announce(message.versions)
        if message.leaving:
            self._last_heard.pop(message.process, None)
        elif message.process:
            self._last_heard[message.process] = self._clock()

    async def run(self) -> None:
        """Notices silence until cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.tick()

    def tick(self) -> None:
        latest = self._clock() - _SILENCE_SECONDS
        for process in [process for process, heard in self._last_heard.items() if heard < latest]:
            del self._last_heard[process]
            self._rosters.announcements_lost(f"silence of session {process}")
