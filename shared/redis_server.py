"""Clients of Redis, and the kind of its server: one server that answers for all keys, or with `redis.cluster` a node of
a cluster. Another kind is rejected at the start, because each call would fail with an error that looks like an outage,
which services survive. A single server that becomes a node of a cluster later is such an outage; it is named in the
log."""

import time
from typing import Any

from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, ClusterCrossSlotError, ClusterDownError, RedisClusterException, RedisError

from shared.errors import StartupError
from shared.settings import RedisSettings
from shared.telemetry import log
from shared.tls import redis_options

LOST_CONNECTION = (RuntimeError, TypeError)
"""If the connection has just been reset: the first is uvloop's, the second that of asyncio in Python 3.12 to 3.13.5,
whose closed transport calls None."""
REDIS_FAILURES = (RedisError, RedisClusterException, OSError, *LOST_CONNECTION)
_log = log(__name__)
_KINDS = {"standalone": "a single server", "cluster": "a node of a Redis Cluster", "sentinel": "a Sentinel"}
_ADVICE = {
    "standalone": "but redis.cluster is set: unset it, or set redis.url to a node of the cluster",
    "cluster": "set redis.cluster, too",
    "sentinel": "which is not supported: set it to a Redis or Valkey server, or to an address of the primary",
}
_CLUSTER_ERRORS = (AskError, ClusterCrossSlotError, ClusterDownError)
"""Only a node of a cluster replies with them."""
_REPORT_SECONDS = 60.0


class UnsupportedRedis(StartupError):
    """The server is not of the kind that is set; the message says what to set."""


def redis_client(settings: RedisSettings, **options: Any) -> aioredis.Redis | aioredis.RedisCluster:
    """Of the kind that is set. It connects with its first call, and tries each call once. `options`: further ones of
    redis.asyncio.Redis."""
    return redis_cluster(settings, **options) if settings.cluster else redis_server(settings, **options)


def redis_server(settings: RedisSettings, **options: Any) -> aioredis.Redis:
    """The server of the URL alone, of whatever kind."""
    return aioredis.Redis.from_url(settings.url.get_secret_value(), **_options(settings), **options)


def redis_cluster(settings: RedisSettings, **options: Any) -> aioredis.RedisCluster:
    return aioredis.RedisCluster.from_url(settings.url.get_secret_value(), **_options(settings), **options)


def _options(settings: RedisSettings) -> dict[str, Any]:
    return {
        "socket_timeout": settings.timeout_seconds,
        "socket_connect_timeout": settings.timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        **redis_options(settings),
    }


async def require_kind(settings: RedisSettings) -> None:
    """Raises UnsupportedRedis. Returns when Redis is unavailable, because services start without it."""
    client = redis_server(settings, decode_responses=True)
    try:
        kind = await server_kind(client)
    except (RedisError, OSError) as error:
        _log.warning("Redis does not answer", error=repr(error))
        return
    finally:
        await client.aclose()
    if kind != expected_kind(settings):
        raise UnsupportedRedis(describe_kind(kind))


def expected_kind(settings: RedisSettings) -> str:
    return "cluster" if settings.cluster else "standalone"


class ClusterReporter:
    """Logs the failures of calls that only a node of a cluster causes, once a minute at most."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def call_failed(self, error: Exception) -> None:
        if isinstance(error, _CLUSTER_ERRORS) and time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + _REPORT_SECONDS
            _log.error(describe_kind("cluster"), error=str(error))


def describe_kind(kind: str) -> str:
    """With advice, for settings that expect another kind."""
    return f"redis.url leads to {_KINDS.get(kind, kind)}, {_ADVICE.get(kind, 'which is not supported')}"


async def server_kind(client: "aioredis.Redis") -> str:
    """`standalone`, `cluster` or `sentinel`. No user needs a right for this. Raises RedisError, OSError."""
    reply = await client.execute_command("HELLO")  # type: ignore[no-untyped-call]
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    return str(fields.get("mode", "standalone"))
