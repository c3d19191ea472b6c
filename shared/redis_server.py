"""Clients of Redis, and the kind of its server: one server that answers for all keys. A cluster or a Sentinel is
rejected at the start, because each call would fail with an error that looks like an outage, which services survive. A
server that becomes a node of a cluster later is such an outage; it is named in the log."""

import time
from typing import Any

from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, ClusterCrossSlotError, ClusterDownError, RedisError

from shared.errors import StartupError
from shared.settings import RedisSettings
from shared.telemetry import log
from shared.tls import redis_options

LOST_CONNECTION = (RuntimeError, TypeError)
"""If the connection has just been reset: the first is uvloop's, the second that of asyncio in Python 3.12 to 3.13.5,
whose closed transport calls None."""
REDIS_FAILURES = (RedisError, OSError, *LOST_CONNECTION)
_log = log(__name__)
_UNSUPPORTED = {"cluster": "a node of a Redis Cluster", "sentinel": "a Sentinel"}
_ADVICE = (
    "which is not supported: set it to a single Redis or Valkey server, or to an address that leads to the primary"
)
_CLUSTER_ERRORS = (AskError, ClusterCrossSlotError, ClusterDownError)
"""Only a node of a cluster replies with them."""
_REPORT_SECONDS = 60.0


class UnsupportedRedis(StartupError):
    """The server is not a single one; the message says what to set."""


def redis_client(settings: RedisSettings, **options: Any) -> aioredis.Redis:
    """It connects with its first call, and tries each call once. `options`: further ones of redis.asyncio.Redis."""
    return aioredis.Redis.from_url(
        settings.url.get_secret_value(),
        socket_timeout=settings.timeout_seconds,
        socket_connect_timeout=settings.timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        **redis_options(settings),
        **options,
    )


async def require_single_server(settings: RedisSettings) -> None:
    """Raises UnsupportedRedis. Returns when Redis is unavailable, because services start without it."""
    client = redis_client(settings, decode_responses=True)
    try:
        kind = await server_kind(client)
    except (RedisError, OSError) as error:
        _log.warning("Redis does not answer", error=repr(error))
        return
    finally:
        await client.aclose()
    if kind in _UNSUPPORTED:
        raise UnsupportedRedis(_describe(kind))


class ClusterReporter:
    """Logs the failures of calls that only a node of a cluster causes, once a minute at most."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def call_failed(self, error: Exception) -> None:
        if isinstance(error, _CLUSTER_ERRORS) and time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + _REPORT_SECONDS
            _log.error(_describe("cluster"), error=str(error))


def _describe(kind: str) -> str:
    return f"redis.url leads to {_UNSUPPORTED[kind]}, {_ADVICE}"


async def server_kind(client: "aioredis.Redis") -> str:
    """`standalone`, `cluster` or `sentinel`. No user needs a right for this. Raises RedisError, OSError."""
    reply = await client.execute_command("HELLO")  # type: ignore[no-untyped-call]
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    return str(fields.get("mode", "standalone"))
