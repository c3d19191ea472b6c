"""Creates and updates streams and durable consumers, during migration. Restarts the embedded nats-server when it stores
no events although its disk has room."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from local.nats import SETUP
from shared.bus import nats_client
from shared.bus.nats_client import NO_JETSTREAM, lacks_jetstream, require_payload
from shared.bus.streams import consumer_config, stream_configs
from shared.contract.permissions import BUS_USERS, needed_consumers
from shared.contract.subjects import STREAM, durable, health, health_inbox
from shared.errors import StartupError
from shared.settings.servers import NatsSettings

_SECONDS = 10.0
_REQUEST_SECONDS = 6.0
_NO_ANSWER = "NATS does not answer, or this user may not create streams"
_DOCTOR = "`dragoman doctor` says which server, permission or setting is wrong"
_ATTEMPTS = 10
"""The time limits of the attempts, in seconds. With a busy disk, a stream is made slowly, and a starting server may not
answer."""
_PAUSE_SECONDS = 0.05


class NotReachable(StartupError):
    """NATS cannot be reached, or denies permission."""


async def provision(settings: NatsSettings) -> None:
    """Create or update streams and consumers for this version. A repetition changes nothing. The NATS user must have
    the permission to do this. Raises StartupError."""
    errors: list[object] = []

    async def note(error: object) -> None:
        errors.append(error)

    try:
        for _ in range(_ATTEMPTS):
            async with asyncio.timeout(_SECONDS):
                client = await connect(settings, note)
            try:
                require_payload(client)
                return await _make(client.jetstream(timeout=_REQUEST_SECONDS), settings.replicas)
            except nats.js.errors.Error as error:
                raise NotReachable(
                    *(NO_JETSTREAM if lacks_jetstream(client) else (f"JetStream: {error}", _DOCTOR))
                ) from error
            except TimeoutError:
                if errors:  # this NATS user lacks the permission
                    break
            finally:
                await client.close()
    except TimeoutError as error:
        raise NotReachable(_NO_ANSWER, _DOCTOR) from error
    except nats.errors.Error as error:
        raise NotReachable(f"NATS rejects the connection: {error}", "Correct nats.user and nats.password") from error
    raise NotReachable(_NO_ANSWER, _DOCTOR)


async def _make(stream: JetStreamContext, replicas: int) -> None:
    for config in stream_configs(replicas):
        await _ensure_stream(stream, config)
    for user in BUS_USERS:
        for service, topic in needed_consumers(user):
            await stream.add_consumer(STREAM, consumer_config(service, topic))
    await stream.add_consumer(STREAM, consumer_config(SETUP, health(SETUP)))


async def stores_events(settings: NatsSettings, seconds: float) -> bool:
    """Whether the stream of events stores a probe in time. The settings have the NATS user for setup. Raises
    NotFoundError if the stream or its consumer is missing. Raises OSError, TimeoutError or nats.errors.Error if NATS
    cannot be reached."""
    async with asyncio.timeout(seconds):
        client = await connect(settings)
    try:
        stream = client.jetstream(timeout=seconds)
        # without this consumer, the stream would store nothing
        await stream.consumer_info(STREAM, durable(SETUP, health(SETUP)))
        await client.subscribe(health_inbox(SETUP), cb=_ignore)
        await stream.publish(health(SETUP).subject, b"", stream=STREAM)
        await client.flush()
    except NotFoundError:
        raise
    except (TimeoutError, nats.js.errors.APIError, nats.js.errors.NoStreamResponseError):
        return False
    finally:
        await client.close()
    return True


async def _ignore(_: object) -> None:
    """Ignores an error or a probe. Errors that matter are also raised, and a delivered probe shows that the stream
    works."""


async def connect(settings: NatsSettings, on_error: Callable[[object], Awaitable[None]] = _ignore) -> Client:
    """Connect to NATS. Failed attempts are repeated until the caller's time limit."""
    while True:
        try:
            return await nats_client.connect(
                settings,
                name=settings.user or "setup",
                inbox_prefix=f"inbox.{settings.user or 'setup'}",
                allow_reconnect=False,
                error_cb=on_error,
            )
        except (OSError, nats.errors.NoServersError):
            await asyncio.sleep(_PAUSE_SECONDS)


async def _ensure_stream(stream: JetStreamContext, config: StreamConfig) -> None:
    try:
        await stream.stream_info(str(config.name))
    except NotFoundError:
        await stream.add_stream(config)
    else:
        await stream.update_stream(config)


_INTERVAL_SECONDS = 10.0
_AGAIN_SECONDS = 2.0
"""The pause after a failed probe."""
_PROBE_SECONDS = 1.0
_FAILURES = 2
"""The server is restarted after this number of failed probes in a row."""
_LONGEST_PAUSE_SECONDS = 60.0
_ROOM_BYTES = 1 << 20


class JetStreamMonitor:
    """Tests the stream of events as the NATS user for setup. After its disk was full, JetStream stores no events until
    the server is restarted. `restart` ends the server, which is then started again. `report` writes a line to the
    log."""

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
