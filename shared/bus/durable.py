"""Handles durable events one at a time. A failed event is tried again with growing pauses, and is then stored as a dead
letter.

The consumer is created with the streams (streams.py). The worker uses the consumer by name, so it continues when the
consumer was lost and created again. The worker counts the attempts itself, because NATS would drop an event silently
after the last attempt.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from prometheus_client import Counter

from shared.bus.streams import ACK_WAIT_SECONDS
from shared.clock import until_next
from shared.contract.subjects import STREAM, Topic, durable
from shared.tasks import Tasks
from shared.telemetry import log, trace, trace_id_of

if TYPE_CHECKING:
    from shared.tracing import Tracer

Q = TypeVar("Q")

_log = log(__name__)

_FETCH_SECONDS, _CLUSTER_FETCH_SECONDS = 30.0, 3.0
"""The time limits of a fetch. The second one applies if events have replicas. If another server becomes the leader of
the consumer, it does not know the fetch, so the next event may arrive this much later."""
_PAUSE_SECONDS = 0.5
_ANSWER_SECONDS = 1.0
_TAKEN_SECONDS = 0.02
"""After the end of its subscription, a fetch is awaited for this time. It is far longer than a delivered event takes
from the connection to the fetch."""

RETRIED_BY = "Retried-By"
"""The header of an event that was a dead letter: the operator who retried it."""

REDELIVERY_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 60, 60, 60, 60)
"""The pause before each further attempt, in seconds. After the last attempt, the event becomes a dead letter."""


class DurableWorker(Generic[Q]):
    """Handles one topic for a service. After `stop`, `run` finishes the event in progress and returns."""

    def __init__(
        self,
        service: str,
        topic: Topic[Q],
        handler: Callable[[Q], Awaitable[None]],
        pauses: Sequence[float],
        dead_letters: Counter,
        attempts: Counter,
        tracer: "Tracer | None",
    ) -> None:
        self._attempts = attempts
        self._tracer = tracer
        # the series exists from the start, so that the first dead letter is visible as an increase
        dead_letters.labels(topic.subject)
        self._service = service
        self._topic = topic
        self._handler = handler
        self._pauses = pauses
        self._dead_letters = dead_letters
        self._decode = msgspec.msgpack.Decoder(topic.event).decode
        self._stopping = asyncio.Event()
        self._tasks = Tasks()
        self._failing = False
        self._fetching: asyncio.Task[Msg | None] | None = None
        self._fetch_seconds = _FETCH_SECONDS

    @property
    def name(self) -> str:
        return durable(self._service, self._topic)

    def stop(self) -> None:
        self._stopping.set()

    def fetch_again(self) -> None:
        """Replace the present fetch, because NATS may have forgotten it."""
        if self._fetching is not None:
            self._fetching.cancel()

    async def run(self, client: Client, replicas: int) -> None:
        """`replicas`: the number of NATS servers that store each event."""
        self._fetch_seconds = _FETCH_SECONDS if replicas == 1 else _CLUSTER_FETCH_SECONDS
        stream = client.jetstream(timeout=2.0)
        subscription = await stream.pull_subscribe_bind(consumer=self.name, stream=STREAM)
        stopped = self._tasks.start(self._stopping.wait(), f"stop {self.name}")
        try:
            while not self._stopping.is_set():
                started = time.monotonic()
                message = await self._next(client, subscription, stopped)
                if message is not None:
                    await self._work(message, stream)
                elif time.monotonic() - started < _PAUSE_SECONDS:
                    # the fetch failed at once, so without this pause the loop would spin
                    await asyncio.wait({stopped}, timeout=_PAUSE_SECONDS)
        finally:
            await self._tasks.close()
        await subscription.unsubscribe()

    async def _next(
        self, client: Client, subscription: JetStreamContext.PullSubscription, stopped: asyncio.Task[Any]
    ) -> Msg | None:
        """The next event; None if the fetch ends or the worker stops before an event arrives."""
        fetching = self._fetching = self._tasks.start(self._fetch(subscription), f"fetch {self.name}")
        await asyncio.wait({fetching, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not fetching.done():
            await self._end(fetching, client, subscription)
        return None if fetching.cancelled() else fetching.result()

    async def _end(
        self, fetching: asyncio.Task[Any], client: Client, subscription: JetStreamContext.PullSubscription
    ) -> None:
        """End a fetch without losing an event: unsubscribe, then receive the events that were delivered before. Waits
        for the reply of NATS, because nats-py stops reading when the reply to a cancelled request arrives."""
        ending = self._tasks.start(_end_deliveries(client, subscription), f"end {self.name}")
        await asyncio.wait({ending}, timeout=_ANSWER_SECONDS)
        await asyncio.wait({fetching}, timeout=_TAKEN_SECONDS)
        fetching.cancel()
        await asyncio.wait({fetching})

    async def _fetch(self, subscription: JetStreamContext.PullSubscription) -> Msg | None:
        try:
            message = (await subscription.fetch(1, timeout=until_next(self._fetch_seconds)))[0]
        except nats.errors.TimeoutError:
            message = None
        except nats.errors.Error as error:
            if not self._failing:
                _log.warning("events not fetched", consumer=self.name, error=repr(error))
            self._failing = True
            return None
        self._failing = False
        return message

    async def _work(self, message: Msg, stream: JetStreamContext) -> None:
        headers = message.headers or {}
        trace.set(trace_id_of(headers.get("traceparent", "")))
        if again := headers.get(RETRIED_BY):
            _log.info("operator acts", act="retry event", by=again, consumer=self.name)
        keeper = self._tasks.start(_acknowledge_in_progress(message), f"keep {self.name}")
        try:
            await self._attempt(message, stream)
        except nats.errors.Error as error:
            _log.warning("an event was not acknowledged: it comes again", consumer=self.name, error=repr(error))
        finally:
            keeper.cancel()

    async def _attempt(self, message: Msg, stream: JetStreamContext) -> None:
        try:
            await self._handle(message)
        except Exception as error:
            self._attempts.labels(self._topic.subject, "failed").inc()
            await self._retry(message, stream, error)
        else:
            self._attempts.labels(self._topic.subject, "done").inc()
            await message.ack()

    async def _handle(self, message: Msg) -> None:
        handling = self._handler(self._decode(message.data))
        if self._tracer is not None:
            cause = (message.headers or {}).get("traceparent", "")
            handling = self._tracer.continue_trace(self._topic.subject, "consumer", cause).around(handling)
        await handling

    async def _retry(self, message: Msg, stream: JetStreamContext, error: Exception) -> None:
        subject, delivered = self._topic.subject, message.metadata.num_delivered
        if delivered <= len(self._pauses):
            _log.warning("an event failed: will be retried", subject=subject, attempt=delivered, error=repr(error))
            return await message.nak(delay=self._pauses[delivered - 1])
        _log.error("an event was stored as a dead letter", subject=subject, exc_info=error)
        await publish_dead_letter(stream, self._service, self._topic, message.data, repr(error), delivered)
        self._dead_letters.labels(subject).inc()
        await message.ack()


async def publish_dead_letter(
    stream: JetStreamContext, service: str, topic: Topic[Any], event: bytes, error: str, attempts: int
) -> None:
    """Stores an event as a dead letter. Raises nats.errors.Error."""
    headers = {"Error": _one_line(error), "Consumer": durable(service, topic), "Attempts": str(attempts)}
    await stream.publish(f"dead.{service}.{topic.subject}", event, headers=headers)


async def _acknowledge_in_progress(message: Msg) -> None:
    """While a slow handler runs, tell NATS regularly that the event is still being handled."""
    while True:
        await asyncio.sleep(ACK_WAIT_SECONDS / 3)
        await message.in_progress()


async def _end_deliveries(client: Client, subscription: JetStreamContext.PullSubscription) -> None:
    """Unsubscribe while delivered events are still received. The connection is flushed twice, because the first flush
    may overtake unsent data."""
    try:
        await client._send_unsubscribe(subscription._sub._id)
        await client.flush()
        await client.flush()
    except nats.errors.Error as error:
        _log.warning("deliveries not ended", error=repr(error))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:512]
