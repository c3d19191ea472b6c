"""Many commands in one call of Redis."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from hiredis import pack_command
from redis import asyncio as aioredis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from shared.presence.scripts import Command
from shared.redis_server import LOST_CONNECTION
from shared.settings import RedisSettings
from shared.tls import redis_options

_NO_NOTICES = MaintNotificationsConfig(enabled=False)
"""With maintenance notices enabled, the library does not detect a closed connection: after a restart of Redis, the
next call on each connection would fail."""
_MOST_CONNECTIONS = 100


class RedisPipelines:
    """Executes many commands in one round trip, in their order, without the cost of the library's pipeline and pool for
    each: a timer, hooks, packing in Python, metrics of its own."""

    def __init__(self, settings: RedisSettings) -> None:
        self._seconds = settings.timeout_seconds
        self._is_closed = False
        self._pool = aioredis.ConnectionPool.from_url(
            settings.url.get_secret_value(),
            socket_timeout=None,  # one time-out covers all commands
            socket_connect_timeout=settings.timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=_NO_NOTICES,
            decode_responses=True,
            **redis_options(settings),
        )
        """Makes the connections, and never has one."""
        self._connections: list[AbstractConnection] = []
        self._idle: list[AbstractConnection] = []

    async def close(self) -> None:
        self._is_closed = True
        await asyncio.gather(*[connection.disconnect() for connection in self._connections])

    async def execute(self, commands: Iterable[Command]) -> list[Any]:
        """The reply to each. Connects with the first call. Raises RedisError, also after `close`."""
        if self._is_closed:
            raise RedisConnectionError("the client is closed")
        packed = [pack_command(command) for command in commands]  # type: ignore[arg-type] # it takes any length
        if not packed:
            return []  # asyncio of Python 3.12 and later would try for ever to write an empty text
        connection = self._idle.pop() if self._idle else self._make_connection()
        try:
            async with asyncio.timeout(self._seconds):
                return await self._exchange(connection, packed)
        except TimeoutError as error:
            raise RedisTimeoutError("no reply in time") from error
        except LOST_CONNECTION as error:
            raise RedisConnectionError("the connection is lost") from error
        finally:
            self._idle.append(connection)

    async def _exchange(self, connection: AbstractConnection, packed: Sequence[bytes]) -> list[Any]:
        try:
            if not connection.is_connected or await connection.can_read():  # it has ended
                await self._pool.ensure_connection(connection)
            await connection.send_packed_command(b"".join(packed))
            return [await connection.read_response() for _ in packed]
        except BaseException:
            await connection.disconnect(nowait=True)  # a late reply must not answer another command
            raise

    def _make_connection(self) -> AbstractConnection:
        if len(self._connections) >= _MOST_CONNECTIONS:
            raise RedisConnectionError("too many calls at once")
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        self._connections.append(connection)
        return connection
