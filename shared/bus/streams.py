"""The streams and consumers of durable events. This module defines them, and each process creates those that it needs.

`dragoman migrate` creates and updates all streams and consumers. A process creates missing streams and consumers at its
start, and after NATS has lost them. It never changes existing ones.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError

from shared.bus.nats_client import NO_JETSTREAM, UnfitServer, lacks_jetstream
from shared.contract.permissions import BUS_USERS, needed_consumers
from shared.contract.subjects import (
    DEAD_LETTER_SUBJECTS,
    DEAD_LETTERS,
    STREAM,
    STREAM_SUBJECTS,
    Topic,
    durable,
    health,
    health_inbox,
)
from shared.tasks import is_set_within
from shared.telemetry import log

_log = log(__name__)

ACK_WAIT_SECONDS = 5.0
"""NATS delivers an event again if it is not acknowledged or extended within this time. On a busy machine, an event loop
is blocked for less than this."""
_DUPLICATE_WINDOW_SECONDS = 600.0
_REPLY_SECONDS = 2.0
_CHECK_SECONDS = 3.0
_READY_CHECK_SECONDS = 10.0
"""The pause between two checks whether the streams exist. A lost connection and an event that was not stored cause a
check at once."""
_NAME_IN_USE = 10058
"""JetStream's error code for a stream that exists with another configuration."""


def stream_configs(replicas: int) -> list[StreamConfig]:
    """The streams' configurations. An event is stored until each consuming service has processed it. A dead letter is
    stored until an operator retries or discards it. A full stream rejects new messages and never drops old ones."""
    common: dict[str, Any] = {
        "storage": StorageType.FILE,
        "discard": DiscardPolicy.NEW,
        "duplicate_window": _DUPLICATE_WINDOW_SECONDS,
        "num_replicas": replicas,
    }
    return [
        StreamConfig(
            name=STREAM, subjects=[STREAM_SUBJECTS], retention=RetentionPolicy.INTEREST, max_bytes=512 * 2**20, **common
        ),
        StreamConfig(
            name=DEAD_LETTERS,
            subjects=[DEAD_LETTER_SUBJECTS],
            retention=RetentionPolicy.LIMITS,
            max_bytes=128 * 2**20,
            **common,
        ),
    ]


def consumer_config(service: str, topic: Topic[Any]) -> ConsumerConfig:
    """The durable consumer of a topic. An event that is not acknowledged within five seconds is delivered again,
    without limit. The worker decides when the event becomes a dead letter. A probe is delivered at once and removed."""
    if topic == health(service):
        return ConsumerConfig(
            durable_name=durable(service, topic),
            name=durable(service, topic),
            filter_subject=topic.subject,
            ack_policy=AckPolicy.NONE,
            deliver_subject=health_inbox(service),
        )
    return ConsumerConfig(
        durable_name=durable(service, topic),
        name=durable(service, topic),
        filter_subject=topic.subject,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_SECONDS,
        max_ack_pending=64,
    )


def ignore_probe(_: Msg) -> None:
    """Ignore a probe, because only its delivery matters."""


class EventStreams:
    """The streams and consumers that one service needs. `prepare` and `watch` create missing streams and consumers.
    They call `on_lost` when a consumer of this service was created again, because its events are then lost. They call
    `on_usable` when the consumers can be used again."""

    def __init__(self, service: str, replicas: int, on_lost: Callable[[], None], on_usable: Callable[[], None]) -> None:
        self.ready = asyncio.Event()
        """Set while the streams and consumers exist, as far as this process knows. An event is lost if it is published
        before its consumers exist."""
        self.suspicions = 0
        """The number of times that `ready` was cleared."""
        self.incarnation = ""
        """The time at which the stream of events was created. It is read again whenever `ready` is set."""
        self._service = service
        self._replicas = replicas
        self._on_lost = on_lost
        self._on_usable = on_usable
        self._created: dict[str, str] = {}
        """The time at which each consumer of this service was created."""
        self._woken = asyncio.Event()
        self._stopping = False
        self._failure = ""

    async def prepare(self, client: Client) -> None:
        """Create missing streams and consumers at the start. If JetStream does not answer, the service works without
        events, and `watch` tries again."""
        try:
            await self._ensure(client)
        except (nats.errors.Error, TimeoutError) as error:
            self._report(". ".join(NO_JETSTREAM) if lacks_jetstream(client) else repr(error))

    async def watch(self, client: Client) -> None:
        """Watch until `stop`. The task must not be cancelled, because nats-py stops reading when the reply to a
        cancelled request arrives."""
        while not self._stopping:
            await self._wait()
            try:
                if self.ready.is_set():
                    await self._find_missing(client)
                    if self._failure:
                        self._on_usable()
                else:
                    await self._ensure(client)
                self._failure = ""
            except (nats.errors.Error, TimeoutError) as error:
                self._report(repr(error))

    async def probe(self, client: Client, seconds: float) -> None:
        """Store a probe. Raises nats.errors.Error, UnfitServer."""
        try:
            await client.jetstream(timeout=seconds).publish(health(self._service).subject, b"", stream=STREAM)
        except nats.errors.Error:
            if lacks_jetstream(client):
                raise UnfitServer(*NO_JETSTREAM) from None
            raise

    def suspect(self) -> None:
        """Check again soon whether all streams exist: the connection was interrupted, or the stream has failed to store
        an event."""
        self.suspicions += 1
        self.ready.clear()
        self._woken.set()

    def stop(self) -> None:
        self._stopping = True
        self._woken.set()

    async def _wait(self) -> None:
        if await is_set_within(self._woken, _READY_CHECK_SECONDS if self.ready.is_set() else _CHECK_SECONDS):
            self._woken.clear()

    def _report(self, failure: str) -> None:
        """Log a failure once, until it changes."""
        if failure != self._failure:
            _log.warning("durable events unavailable", error=failure)
        self._failure = failure

    async def _find_missing(self, client: Client) -> None:
        if not await self._find_own(client.jetstream(timeout=_REPLY_SECONDS)):
            self.suspect()

    async def _ensure(self, client: Client) -> None:
        """Create missing streams and consumers. Raises nats.errors.Error."""
        stream = client.jetstream(timeout=_REPLY_SECONDS)
        created = [await _ensure_stream(stream, config) for config in stream_configs(self._replicas)]
        self.incarnation = created[0]
        for service, topic in needed_consumers(self._service):
            if not await _creation_time(stream, service, topic):
                await stream.add_consumer(STREAM, consumer_config(service, topic))
                _log.warning("consumer was missing and is created", consumer=durable(service, topic))
        if await self._find_own(stream):
            self.ready.set()
            self._on_usable()

    async def _find_own(self, stream: JetStreamContext) -> bool:
        """Whether all consumers of this service exist. Notices if any process has created a consumer again after its
        deletion. Raises nats.errors.Error."""
        created = {}
        for topic in BUS_USERS[self._service].consumes:
            if not (time := await _creation_time(stream, self._service, topic)):
                return False
            created[durable(self._service, topic)] = time
        known, self._created = self._created, created
        if known and known != created:
            _log.warning("a consumer was lost, and its events with it", service=self._service)
            self._on_lost()
            self._on_usable()
        return True


async def _ensure_stream(stream: JetStreamContext, config: StreamConfig) -> str:
    """Create the stream if it is missing. Returns the time at which it was created."""
    name = str(config.name)
    try:
        found = await stream.stream_info(name)
    except NotFoundError:
        try:
            found = await stream.add_stream(config)
        except BadRequestError as error:  # another process has created the stream first, with its own settings
            if error.err_code != _NAME_IN_USE:
                raise
            found = await stream.stream_info(name)
        _log.warning("a stream was missing and is created", stream=name)
    return str(found.created)


async def _creation_time(stream: JetStreamContext, service: str, topic: Topic[Any]) -> str:
    """The time at which the consumer was created; empty if it does not exist."""
    try:
        return str((await stream.consumer_info(STREAM, durable(service, topic))).created)
    except NotFoundError:
        return ""
