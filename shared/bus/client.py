"""The bus: typed requests over NATS, each with a deadline, plain publishing, and durable events.

A request carries its deadline and trace id in headers; the process that serves the request drops it after its deadline.
A reply is one byte (`+` for a result, `-` for a failure), followed by msgpack. Publishing is at most once; durable
events go to JetStream.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry, Counter, Gauge

from shared.bus.connection import BrokerConnection
from shared.bus.durable import REDELIVERY_SECONDS, DurableWorker, publish_dead_letter
from shared.bus.failures import REPLY_TOO_LARGE
from shared.bus.node_identity import NodeIdentity
from shared.bus.request_queue import QueueLimits, Reply, RequestQueue
from shared.bus.request_sender import RequestSender, current_traceparent
from shared.bus.requester_clocks import RequesterClocks, is_late, to_wall_clock
from shared.bus.streams import EventStreams, ignore_probe
from shared.contract.errors import INTERNAL_ERROR, Failure
from shared.contract.routes import HasRoute, Route
from shared.contract.subjects import STREAM, Topic, health_inbox
from shared.plain_histogram import LATENCY_BUCKETS, PlainHistogram
from shared.settings.servers import NatsSettings
from shared.tasks import Tasks
from shared.telemetry import log

if TYPE_CHECKING:
    from shared.tracing import Span, Tracer

Q = TypeVar("Q")
R = TypeVar("R")

_log = log(__name__)
_pack = msgspec.msgpack.Encoder().encode

CONCURRENCY = 256
_LEAVING_SECONDS = 1.0
_EVENT_SECONDS = 2.0


class WorkerFailed(Exception):
    """The worker of a durable event has ended with an unexpected error."""


def pack(value: object) -> bytes:
    return _pack(value)


class Responder:
    """Replies to one request that `serve_deferred` received."""

    __slots__ = ("_clock_difference_ms", "_message", "_reply", "span")

    def __init__(self, reply: Reply, message: Msg, clock_difference_ms: float) -> None:
        self._reply = reply
        self._message = message
        self._clock_difference_ms = clock_difference_ms
        self.span: Span | None = None
        """The span of the request, from its arrival to the reply."""

    @property
    def cause(self) -> str:
        """The traceparent of the request's span; empty when the span is not recorded."""
        return self.span.traceparent if self.span is not None else ""

    def to_wall_clock(self, requester_ms: int) -> int:
        """Convert a time of the requester's steady clock (milliseconds) into the same moment on this process's wall
        clock."""
        return to_wall_clock(requester_ms, self._clock_difference_ms)

    async def reply(self, reply: object) -> None:
        await self._reply(self._message, b"+" + _pack(reply))
        if self.span is not None:
            self.span.end()

    async def reply_error(self, failure: Failure) -> None:
        await self._reply(self._message, b"-" + _pack(failure))
        if self.span is not None:
            self.span.end(failure.code.value)


class Bus:
    """One process's connection to NATS. First register all handlers (`serve`, `subscribe`, `consume`), then call
    `start`. If a subject is registered later, its messages are received after a call of `receive`. `node`: the identity
    of an edge's process."""

    def __init__(
        self,
        settings: NatsSettings,
        service: str,
        registry: CollectorRegistry,
        tracer: "Tracer | None" = None,
        node: NodeIdentity | None = None,
    ) -> None:
        self._service = service
        self._tracer = tracer
        self._tasks = Tasks()
        self._workers: list[DurableWorker[Any]] = []
        self._work = Tasks()
        self._worker_failed = asyncio.Event()
        self._drained = False
        self._served = PlainHistogram(
            "dragoman_bus_request_seconds", "Time to answer a request", LATENCY_BUCKETS, registry,
            ("subject", "outcome"),
        )  # fmt: skip
        errors = Counter("dragoman_bus_errors", "Asynchronous errors of NATS", ["kind"], registry=registry)
        self._connection_lost_callbacks: list[Callable[[str], None]] = []
        self._clocks = RequesterClocks()
        self._broker = BrokerConnection(settings, service, errors, self._connection_lost, node)
        self._sender = RequestSender(self._broker, registry, tracer)
        self._events_lost_callbacks: list[Callable[[], None]] = []
        self._replicas = settings.replicas
        self._streams = EventStreams(service, settings.replicas, self._events_lost, self._fetch_again)
        self._dead = Counter("dragoman_bus_dead_letters", "Dead letters", ["subject"], registry=registry)
        self._events = Counter(
            "dragoman_bus_events", "Attempts to handle durable events", ["subject", "outcome"], registry=registry
        )
        unsent = Gauge("dragoman_bus_unsent_bytes", "Bytes that wait to be sent to NATS", registry=registry)
        unsent.set_function(lambda: self._broker.unsent_bytes)

    # Registering

    def notify_connection_lost(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with a reason when messages to this process may have been lost, for example after a
        reconnection."""
        self._connection_lost_callbacks.append(callback)

    def serve(
        self,
        route: Route[Q, R],
        handler: Callable[[Q], Awaitable[R]],
        *,
        queue: str = "",
        concurrency: int = CONCURRENCY,
        waiting: int = 4096,
    ) -> None:
        """Serves a route. With `queue`, the replicas of a queue group share the requests. At most `concurrency`
        requests run at once, and `waiting` more are queued. Any further request is rejected as unavailable."""
        limits = QueueLimits(concurrency, waiting)
        requests = RequestQueue(route, handler, limits, self._served, self._reply, self._tasks, self._tracer)

        def receive(message: Msg) -> None:
            self._clocks.translate(message)
            requests.receive(message)

        self._broker.subscribe(route.subject, receive, queue)

    def subscribe(self, subject: str, callback: Callable[[bytes], None]) -> None:
        """Receive every message of a subject as bytes, in order, without a reply. The callback must be quick."""
        name = subject.rpartition(".")[2]

        def receive(message: Msg) -> None:
            try:
                if self._tracer is not None and message.headers:
                    with self._tracer.continue_trace(name, "consumer", message.headers.get("traceparent", "")):
                        callback(message.data)
                else:
                    callback(message.data)
            except Exception:
                _log.exception("listener failed", subject=subject)

        self._broker.subscribe(subject, receive, "")

    def answer_broker(self, subject: str, callback: Callable[[bytes], bytes], *, queue: str) -> None:
        """Reply to requests that nats-server itself sends, in its own format."""

        def receive(message: Msg) -> None:
            self._tasks.start(self._reply(message, callback(message.data)), subject)

        self._broker.subscribe(subject, receive, queue)

    def serve_deferred(self, route: Route[Q, R], callback: Callable[[Q, Responder], None], *, queue: str = "") -> None:
        """Serves a route of very frequent requests: the callback only queues the request, and a reply follows later."""
        decode = msgspec.msgpack.Decoder(route.request).decode

        def receive(message: Msg) -> None:
            added = self._clocks.translate(message)
            if is_late(message):
                return
            responder = Responder(self._reply, message, added)
            if self._tracer is not None:
                cause = (message.headers or {}).get("traceparent", "")
                responder.span = self._tracer.continue_trace(route.label, "server", cause)
            try:
                callback(decode(message.data), responder)
            except Exception:
                _log.exception("request failed", subject=route.subject)
                self._tasks.start(responder.reply_error(INTERNAL_ERROR), "reject")

        self._broker.subscribe(route.subject, receive, queue)

    def consume(
        self, topic: Topic[Q], handler: Callable[[Q], Awaitable[None]], *, pauses: Sequence[float] = REDELIVERY_SECONDS
    ) -> None:
        """Handle durable events of a topic. If an attempt fails, another one follows after the next pause (seconds).
        After the last failure, the event is stored as a dead letter. An event may be delivered twice."""
        if not self._workers:
            self._broker.subscribe(health_inbox(self._service), ignore_probe, "")
        self._workers.append(
            DurableWorker(self._service, topic, handler, pauses, self._dead, self._events, self._tracer)
        )

    def notify_events_lost(self, callback: Callable[[], None]) -> None:
        """Call `callback` when durable events for this process may have been lost, because their stream or consumer was
        lost."""
        self._events_lost_callbacks.append(callback)

    def _connection_lost(self, reason: str) -> None:
        self._streams.suspect()
        for callback in self._connection_lost_callbacks:
            callback(reason)

    def _events_lost(self) -> None:
        for callback in self._events_lost_callbacks:
            callback()

    def _fetch_again(self) -> None:
        for worker in self._workers:
            worker.fetch_again()

    # Life

    async def start(self, before_serving: Callable[[], Awaitable[object]] | None = None) -> None:
        """Connects and subscribes. Waits for NATS without limit. `before_serving` may send requests before this process
        receives any. Raises the exceptions of `before_serving`, and nats.errors.Error if NATS rejects this user."""
        await self._broker.start(before_serving)
        if self._workers:
            await self._streams.prepare(self._broker.client)
            self._work.start(self._streams.watch(self._broker.client), "streams")
        for worker in self._workers:
            self._work.start(self._run_worker(worker), worker.name)

    async def _run_worker(self, worker: DurableWorker[Any]) -> None:
        try:
            await worker.run(self._broker.client, self._replicas)
        finally:
            if not self._drained:
                _log.error("worker ended", consumer=worker.name)
                self._worker_failed.set()

    async def watch_workers(self) -> None:
        """Wait until a worker of durable events ends before `drain`, and raise WorkerFailed. The process must then end,
        so that it is started again."""
        await self._worker_failed.wait()
        raise WorkerFailed("a worker of durable events has ended")

    async def drain(self, timeout_seconds: float = 5.0) -> None:
        """Stops accepting requests, and replies to the requests in progress. Publishing and sending requests still work
        until `stop`."""
        if self._drained or not self._broker.running:
            return
        self._drained = True
        self._streams.stop()
        for worker in self._workers:
            worker.stop()
        await asyncio.gather(self._work.finish(timeout_seconds), self._broker.unsubscribe(timeout_seconds))
        await self._tasks.finish(timeout_seconds)

    async def serve_queues(self, served: bool) -> None:
        """Decide whether this process receives requests of its queue groups. If not, only other replicas receive
        them."""
        if self._broker.running and not self._drained:
            await (self._broker.join_queues() if served else self._broker.leave_queues(_LEAVING_SECONDS))

    async def receive(self, subject: str, received: bool) -> None:
        """Switch the messages of a subscribed subject on or off. When this returns, NATS sends the messages, or all
        received messages have been handled. A repetition changes nothing. Raises nats.errors.Error."""
        if self._broker.running and not self._drained:
            await (self._broker.resume(subject) if received else self._broker.pause(subject, _LEAVING_SECONDS))

    async def stop(self, timeout_seconds: float = 5.0) -> None:
        """Drains, sends the buffered messages, disconnects."""
        await self.drain(timeout_seconds)
        if self._broker.running:
            await self._broker.stop(timeout_seconds)

    async def check(self, timeout_seconds: float = 1.0) -> None:
        """Make a real round trip to NATS. Raises TimeoutError, or nats.errors.Error while there is no connection."""
        await self._broker.check(timeout_seconds)

    async def check_events(self, timeout_seconds: float = 1.0) -> None:
        """Store a probe in the stream of events. Raises TimeoutError or nats.errors.Error. The call must not be
        cancelled, because nats-py stops reading when the reply to a cancelled request arrives."""
        await self.check(timeout_seconds)
        await self._streams.probe(self._broker.client, timeout_seconds)

    # Requests and publishing

    async def send(
        self,
        request: HasRoute[R],
        *,
        seconds: float | None = None,
        retry: bool = False,
        wait_for_service: bool = True,
        nonce: str = "",
    ) -> R:
        """Sends a request and returns the reply. The time limit is `seconds`, or the rest of the enclosing operation if
        that is shorter. With `retry` (for idempotent requests), the request is repeated until the time limit. An
        attempt takes 0.5 to 2 s, and the last attempt up to 4 s. If the connection ends, the next attempt follows at
        once. Without `wait_for_service`, NoResponders is raised at once if the service is missing. `nonce`: the nonce
        that all attempts have; see shared.request_nonce. Raises RequestError: Unavailable if no reply came in time,
        TooLarge."""
        return await self._sender.request(request.route, request, seconds, retry, wait_for_service, nonce)

    async def request(
        self,
        route: Route[Q, R],
        request: Q,
        *,
        seconds: float | None = None,
        retry: bool = False,
        wait_for_service: bool = True,
        nonce: str = "",
    ) -> R:
        """Like `send`, but on the given route instead of the request type's route."""
        return await self._sender.request(route, request, seconds, retry, wait_for_service, nonce)

    async def request_all(self, route: Route[Q, R], request: Q, *, seconds: float = 3.0) -> list[R]:
        """Sends a request to every process that serves the route. Returns the replies that arrive within `seconds`; a
        pause between two replies ends the wait earlier. Error replies are left out. Raises nats.errors.Error."""
        return await self._sender.request_all(route, request, seconds)

    async def publish(self, subject: str, payload: bytes) -> None:
        """Publishes a message (at most once). Raises nats.errors.Error when it cannot be buffered."""
        cause = self._tracer.current() if self._tracer is not None else ""
        await self._broker.client.publish(subject, payload, headers={"traceparent": cause} if cause else None)

    def flush(self) -> None:
        """Write the published messages to the socket now."""
        self._broker.flush()

    async def publish_event(self, topic: Topic[Q], event: Q, *, key: str) -> None:
        """Store a durable event. The stream drops a repeated event with the same `key`. After nats.errors.Error or
        TimeoutError, it is unknown whether the event was stored, and it must be published again."""
        if self._workers:
            async with asyncio.timeout(_EVENT_SECONDS):
                await self._streams.ready.wait()
        suspicions = self._streams.suspicions
        headers = {
            "Nats-Msg-Id": f"{key} {self._streams.incarnation}",
            "traceparent": current_traceparent(self._tracer),
        }
        stream = self._broker.client.jetstream(timeout=_EVENT_SECONDS)
        try:
            await stream.publish(topic.subject, _pack(event), headers=headers, stream=STREAM)
        except nats.js.errors.NoStreamResponseError:
            self._streams.suspect()
            raise
        # a new stream may have dropped the event, because it had no consumers yet
        if self._streams.suspicions != suspicions:
            raise nats.errors.ConnectionReconnectingError

    async def store_dead_letter(self, topic: Topic[Q], event: Q, error: str, attempts: int) -> None:
        """Store an event as a dead letter, because the service gives up handling it. Raises nats.errors.Error."""
        stream = self._broker.client.jetstream(timeout=_EVENT_SECONDS)
        await publish_dead_letter(stream, self._service, topic, _pack(event), error, attempts)
        self._dead.labels(topic.subject).inc()

    async def _reply(self, message: Msg, payload: bytes) -> None:
        if not message.reply:
            return
        if len(payload) > self._broker.client.max_payload:
            _log.error("reply too large", subject=message.subject, bytes=len(payload))
            payload = b"-" + _pack(REPLY_TOO_LARGE)
        try:
            await self._broker.client.publish(message.reply, payload)
        except nats.errors.Error as error:
            _log.warning("reply lost", subject=message.subject, error=repr(error))
