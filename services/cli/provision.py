"""Streams and durable consumers: created once, by whoever migrates, never by the services that use them."""

import asyncio
from typing import Any

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from shared.contract.permissions import PEERS
from shared.contract.subjects import DEAD_LETTER_SUBJECTS, DEAD_LETTERS, STREAM, STREAM_SUBJECTS
from shared.durable import consumer_config
from shared.settings import Nats

_CONNECT_SECONDS = 10.0
_DUPLICATE_WINDOW_SECONDS = 600.0


async def provision(settings: Nats) -> None:
    """Make streams and consumers what this version needs; safe to repeat. The user must be allowed to.

    Raises TimeoutError when the broker cannot be reached, nats.errors.Error when it refuses."""
    async with asyncio.timeout(_CONNECT_SECONDS), await _connect(settings) as client:
        stream = client.jetstream()
        for config in streams(settings.replicas):
            await _ensure_stream(stream, config)
        for service, peer in PEERS.items():
            for topic in peer.works_on:
                await stream.add_consumer(STREAM, consumer_config(service, topic))


def streams(replicas: int) -> list[StreamConfig]:
    """An event is kept until every service that works on it is done; a dead letter until an operator decides.
    A full stream refuses new messages: it never drops old ones."""
    shared: dict[str, Any] = {
        "storage": StorageType.FILE,
        "discard": DiscardPolicy.NEW,
        "duplicate_window": _DUPLICATE_WINDOW_SECONDS,
        "num_replicas": replicas,
    }
    return [
        StreamConfig(
            name=STREAM, subjects=[STREAM_SUBJECTS], retention=RetentionPolicy.INTEREST, max_bytes=512 * 2**20, **shared
        ),
        StreamConfig(
            name=DEAD_LETTERS,
            subjects=[DEAD_LETTER_SUBJECTS],
            retention=RetentionPolicy.LIMITS,
            max_bytes=128 * 2**20,
            **shared,
        ),
    ]


async def _connect(settings: Nats) -> Client:
    return await nats.connect(
        settings.url,
        user=settings.user or None,
        password=settings.password.get_secret_value() or None,
        name="setup",
        inbox_prefix=f"inbox.{settings.user or 'setup'}",
        reconnect_time_wait=0.05,
        max_reconnect_attempts=-1,
    )


async def _ensure_stream(stream: JetStreamContext, config: StreamConfig) -> None:
    try:
        await stream.stream_info(str(config.name))
    except NotFoundError:
        await stream.add_stream(config)
    else:
        await stream.update_stream(config)
