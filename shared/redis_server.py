"""Clients of Redis, and the kind of its server: one that answers for all keys. Another kind is rejected at the start,
because each call would fail with an error that looks like an outage, which services survive."""

from typing import Any

from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.errors import StartupError
from shared.settings import RedisSettings
from shared.telemetry import log
from shared.tls import redis_options

LOST_CONNECTION = (RuntimeError, TypeError)
"""If the connection has just been reset: the first is uvloop's, the second that of asyncio in Python 3.12 to 3.13.5,
whose closed transport calls None."""
REDIS_FAILURES = (RedisError, OSError, *LOST_CONNECTION)
_log = log(__name__)
SINGLE = "standalone"
_KINDS = {"cluster": "a node of a Redis Cluster", "sentinel": "a Sentinel"}


class UnsupportedRedis(StartupError):
    """The server is no single one; the message says what to set."""


def redis_client(settings: RedisSettings, **options: Any) -> aioredis.Redis:
    """It connects with its first call, and tries each call once. `options`: further ones of redis.asyncio.Redis. Raises
    StartupError for a URL with unknown options."""
    try:
        client = aioredis.Redis.from_url(settings.url.get_secret_value(), **_options(settings), **options)
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError) as error:
        raise StartupError(f"redis.url cannot be used: {error}") from error
    return client


def _options(settings: RedisSettings) -> dict[str, Any]:
    return {
        "socket_timeout": settings.timeout_seconds,
        "socket_connect_timeout": settings.timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        **redis_options(settings),
    }


async def require_kind(settings: RedisSettings) -> None:
    """Raises UnsupportedRedis. Returns when Redis is unavailable, because services start without it."""
    client = redis_client(settings, decode_responses=True)
    try:
        kind = await server_kind(client)
    except (RedisError, OSError) as error:
        _log.warning("Redis does not answer", error=repr(error))
        return
    finally:
        await client.aclose()
    if kind != SINGLE:
        raise UnsupportedRedis(describe_kind(kind))


def describe_kind(kind: str) -> str:
    """Of a server that is not supported, with advice."""
    where = _KINDS.get(kind, kind)
    return f"redis.url leads to {where}, which is not supported: set it to a server, or to an address of the primary"


async def server_kind(client: "aioredis.Redis") -> str:
    """`standalone`, `cluster` or `sentinel`. No user needs a right for this. Raises RedisError, OSError."""
    reply = await client.execute_command("HELLO")  # type: ignore[no-untyped-call]
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    return str(fields.get("mode", "standalone"))
