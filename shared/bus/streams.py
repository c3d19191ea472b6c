"""Streams and consumers of durable events: one definition, from which each process creates those that it needs.

`dragoman migrate` creates and updates all of them. A process creates a missing one, at its start and when the broker
has lost its store, and never changes an existing one.
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
from shared.errors import StartupError
from shared.telemetry import log

_log = log(__name__)

ACK_WAIT_SECONDS = 5.0
"""Longer than an event loop is held up on a busy machine, when a handler's time is extended."""
_DUPLICATE_WINDOW_SECONDS = 600.0
_REPLY_SECONDS = 2.0
_CHECK_SECONDS = 3.0
_NAME_IN_USE = 10058
"""JetStream's error code for a stream that exists with another configuration."""


def stream_configs(replicas: int) -> list[StreamConfig]:
    """The streams' configurations. An event is stored until each consuming service has processed it, a dead letter
    until an operator retries it. A full stream rejects new messages and never drops old ones."""
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
    """The durable consumer of a topic. An event without acknowledgement for five seconds is delivered again, without
    limit: the worker decides when it becomes a dead letter. A probe is delivered at once and removed."""
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
    """A delivered probe has proved enough."""


class MissingConsumer(StartupError):
    """A consumer of this process is missing, and its user may not create it; the message says what to do."""


class EventStreams:
    """The streams and consumers that one service needs. `prepare` and `watch` create the missing ones and call
    `on_lost` when a consumer of this service is not the one known before: its events are lost. `is_denied` reports
    whether the broker has denied this connection a subject with the given prefix."""

    def __init__(
        self, service: str, replicas: int, is_denied: Callable[[str], bool], on_lost: Callable[[], None]
    ) -> None:
        self.ready = asyncio.Event()
        """They exist, as far as known. An event that is published before its consumers exist is lost."""
        self.suspicions = 0
        """So often was `ready` cleared."""
        self.incarnation = ""
        """When the stream of events was created, as of the last time that `ready` was set."""
        self._service = service
        self._replicas = replicas
        self._is_denied = is_denied
        self._on_lost = on_lost
        self._created: dict[str, str] = {}
        """When each consumer of this service was created."""
        self._woken = asyncio.Event()
        self._stopping = False
        self._failure = ""

    async def prepare(self, client: Client) -> None:
        """At the start. While JetStream does not answer, the service works without events, and `watch` tries again.
        Raises MissingConsumer."""
        try:
            await self._ensure(client)
        except (nats.errors.Error, TimeoutError) as error:
            self._report(NO_JETSTREAM if lacks_jetstream(client) else repr(error))

    async def watch(self, client: Client) -> None:
        """Until `stop`. Must not be cancelled: nats-py stops reading when a reply arrives for a cancelled request."""
        while not self._stopping:
            await self._wait()
            try:
                if self.ready.is_set():
                    await self._find_missing(client)
                else:
                    await self._ensure(client)
                self._failure = ""
            except (MissingConsumer, nats.errors.Error, TimeoutError) as error:
                self._report(repr(error))

    async def probe(self, client: Client, seconds: float) -> None:
        """Store a probe, unless this user has the rights of an older version. Raises nats.errors.Error,
        UnfitServer."""
        subject = health(self._service).subject
        if self._is_denied(subject):
            return
        try:
            await client.jetstream(timeout=seconds).publish(subject, b"", stream=STREAM)
        except nats.errors.TimeoutError:
            if not self._is_denied(subject):
                raise
            _log.error("events are not probed: this NATS user has the rights of an older version", subject=subject)
        except nats.errors.Error:
            if lacks_jetstream(client):
                raise UnfitServer(NO_JETSTREAM) from None
            raise

    def suspect(self) -> None:
        """Streams may be missing: the connection was interrupted, or nothing stores an event."""
        self.suspicions += 1
        self.ready.clear()
        self._woken.set()

    def stop(self) -> None:
        self._stopping = True
        self._woken.set()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    def _report(self, failure: str) -> None:
        """Log a failure, once until it changes."""
        if failure != self._failure:
            _log.warning("durable events unavailable", error=failure)
        self._failure = failure

    async def _find_missing(self, client: Client) -> None:
        try:
            await self._require_own(client.jetstream(timeout=_REPLY_SECONDS))
        except MissingConsumer:
            self.suspect()

    async def _ensure(self, client: Client) -> None:
        """Create what is missing. Raises MissingConsumer, nats.errors.Error."""
        stream = client.jetstream(timeout=_REPLY_SECONDS)
        try:
            created = [await _ensure_stream(stream, config) for config in stream_configs(self._replicas)]
            self.incarnation = created[0]
            for service, topic in needed_consumers(self._service):
                if not await _creation_time(stream, service, topic):
                    await stream.add_consumer(STREAM, consumer_config(service, topic))
                    _log.warning("consumer was missing and is created", consumer=durable(service, topic))
        except nats.errors.TimeoutError:
            if not self._is_denied("$js.api."):
                raise
            _log.error("a lost stream will not be created again: this NATS user has the rights of an older version")
        await self._require_own(stream)
        self.ready.set()

    async def _require_own(self, stream: JetStreamContext) -> None:
        """Notices another incarnation of a consumer, whichever process has created it. Raises MissingConsumer."""
        created = {}
        for topic in BUS_USERS[self._service].consumes:
            name = durable(self._service, topic)
            if not (time := await _creation_time(stream, self._service, topic)):
                raise MissingConsumer(
                    f"the consumer {name} is missing, and this NATS user may not create it: run `dragoman migrate`, "
                    "and issue the users anew with `dragoman secrets`"
                )
            created[name] = time
        known, self._created = self._created, created
        if known and known != created:
            _log.warning("a consumer was lost: its events are lost", service=self._service)
            self._on_lost()


async def _ensure_stream(stream: JetStreamContext, config: StreamConfig) -> str:
    """Returns when the stream was created."""
    name = str(config.name)
    try:
        found = await stream.stream_info(name)
    except NotFoundError:
        try:
            found = await stream.add_stream(config)
        except BadRequestError as error:  # another process was faster, with settings of its own
            if error.err_code != _NAME_IN_USE:
                raise
            found = await stream.stream_info(name)
        _log.warning("stream was missing and is created", stream=name)
    return str(found.created)


async def _creation_time(stream: JetStreamContext, service: str, topic: Topic[Any]) -> str:
    """When the consumer was created; empty if there is none."""
    try:
        return str((await stream.consumer_info(STREAM, durable(service, topic))).created)
    except NotFoundError:
        return ""
