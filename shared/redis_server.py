"""Makes clients of Redis, and checks the kind of the server. Only a single server that has all keys is supported. Any
other kind is rejected at the start. Otherwise, each call would fail as if Redis were unavailable, and services would
continue without it."""

from typing import Any

from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.errors import StartupError
from shared.settings.servers import RedisSettings
from shared.telemetry import log
from shared.tls import redis_options

LOST_CONNECTION = (RuntimeError, TypeError)
"""The errors after a reset of the connection. uvloop raises RuntimeError. asyncio of Python 3.12 to 3.13.5 raises
TypeError, because its closed transport calls None."""
REDIS_FAILURES = (RedisError, OSError, *LOST_CONNECTION)
_log = log(__name__)
SINGLE = "standalone"
_KINDS = {"cluster": "a node of a Redis Cluster", "sentinel": "a Sentinel"}


class UnsupportedRedis(StartupError):
    """The server is part of a Redis Cluster, or is a Sentinel. The message names the setting to change."""


def redis_client(settings: RedisSettings, **options: Any) -> aioredis.Redis:
    """A client that connects with its first call, and attempts each call once. `options`: further options of
    redis.asyncio.Redis. Raises StartupError for a URL with unknown options."""
    try:
        client = aioredis.Redis.from_url(
            settings.url.get_secret_value(),
            socket_timeout=settings.timeout_seconds,
            socket_connect_timeout=settings.timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,  # otherwise each connection would begin by sending the library's name
            **redis_options(settings),
            **options,
        )
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError) as error:
        raise StartupError(
            f"redis.url cannot be used: {error}", "Write it as redis://USER:PASSWORD@HOST:PORT/0"
        ) from error
    return client


async def require_kind(settings: RedisSettings) -> None:
    """Checks the kind of the server. If Redis is unavailable, the check passes, because services start without Redis.
    Raises UnsupportedRedis."""
    client = redis_client(settings, decode_responses=True)
    try:
        kind = await server_kind(client)
    except (RedisError, OSError) as error:
        _log.warning("Redis does not answer", error=repr(error))
        return
    finally:
        await client.aclose()
    if kind != SINGLE:
        raise UnsupportedRedis(*describe_kind(kind))


def describe_kind(kind: str) -> tuple[str, str]:
    """The error for an unsupported server, with advice."""
    where = _KINDS.get(kind, kind)
    return f"redis.url leads to {where}, which is not supported", "Set it to a server, or to an address of the primary"


async def server_kind(client: "aioredis.Redis") -> str:
    """The kind of the server: `standalone`, `cluster` or `sentinel`. Every user may request this. Raises RedisError,
    OSError."""
    reply = await client.execute_command("HELLO")  # type: ignore[no-untyped-call]
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    return str(fields.get("mode", "standalone"))
