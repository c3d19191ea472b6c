"""Restarts the embedded nats-server when it stores no events although its disk has room.

After its disk was full, JetStream stores no events until the server is restarted.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats.errors
from nats.js.errors import NotFoundError

from services.cli.streams import NotReachable, provision, stores_events
from shared.settings.servers import NatsSettings

_INTERVAL_SECONDS = 10.0
_AGAIN_SECONDS = 2.0
"""The pause after a failed probe."""
_PROBE_SECONDS = 1.0
_FAILURES = 2
"""The server is restarted after this number of failed probes in a row."""
_LONGEST_PAUSE_SECONDS = 60.0
_ROOM_BYTES = 1 << 20


class JetStreamMonitor:
    """Tests the stream of events as the NATS user for setup. `restart` ends the server, which is then started again.
    `report` writes a line to the log."""

    def __init__(
        self,
        settings: NatsSettings,
        directory: Path,
        restart: Callable[[], Awaitable[None]],
        report: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._restart = restart
        self._report = report
        self._failures = 0
        self._pause = _INTERVAL_SECONDS

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            await self._probe()

    async def _probe(self) -> None:
        try:
            stored = await stores_events(self._settings, _PROBE_SECONDS)
        except NotFoundError:
            stored = await self._provisioned()
        except (OSError, TimeoutError, nats.errors.Error):
            return  # the server is down or hangs, so this monitor cannot help
        if stored:
            self._failures, self._pause = 0, _INTERVAL_SECONDS
            return
        self._failures += 1
        if self._failures < _FAILURES:
            self._pause = _AGAIN_SECONDS
        if self._failures == _FAILURES:
            self._report("stores no events")
        if self._failures >= _FAILURES and await asyncio.to_thread(has_room, self._directory):
            self._report("JetStream stores no events, although its disk has room: NATS is restarted now")
            await self._restart()
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)

    async def _provisioned(self) -> bool:
        """Create missing streams and consumers. Returns whether this has succeeded."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await provision(self._settings)
        except (NotReachable, TimeoutError):
            return False
        return True


def has_room(directory: Path) -> bool:
    """Whether the disk has room for a file of `_ROOM_BYTES`."""
    file = directory / f".room.{os.getpid()}"
    try:
        with file.open("wb") as stream:
            stream.write(bytes(_ROOM_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        return False
    finally:
        file.unlink(missing_ok=True)
    return True
