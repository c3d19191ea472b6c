"""The bus: FastStream over NATS, with typed requests, a deadline on each, and refusals as answers.

A request carries its deadline and trace id in headers; what is past its deadline is dropped. A reply is one byte
(`+` answer, `-` refusal) and msgpack. Fan-out is plain publishing (at most once); durable events go to JetStream.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import nats.errors
from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.nats import JStream, NatsBroker, PullSub
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy as JetStreamAck
from nats.js.api import ConsumerConfig
from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.contract.errors import ErrorCode, Failure, Refused
from shared.contract.subjects import STREAM, Route, Topic, durable
from shared.settings import Nats
from shared.tasks import Tasks
from shared.telemetry import log, new_trace, trace, trace_of, traceparent

Q = TypeVar("Q")
R = TypeVar("R")

_log = log(__name__)
_pack = msgspec.msgpack.Encoder().encode
_decode_failure = msgspec.msgpack.Decoder(Failure).decode

_ATTEMPT_SECONDS = 2.0
_NOBODY_THERE_SECONDS = 0.1
_MAX_DELIVERIES = 12
_REDELIVERY_SECONDS = (0.5, 1, 2, 5, 10, 30, 60)


class Unavailable(Refused):
    """Nobody answered in time; the outcome is unknown."""

    def __init__(self, subject: str) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the service did not answer in time, please try again")
        self.subject = subject


def pack(value: object) -> bytes:
    return _pack(value)


class Bus:
    """One process's connection to NATS. Register everything (`serve`, `listen`, `consume`), then `start`."""

    def __init__(self, settings: Nats, service: str, registry: CollectorRegistry) -> None:
        self._service = service
        self._decoders: dict[type[Any], msgspec.msgpack.Decoder[Any]] = {}
        self._tasks = Tasks()
        self._broker = NatsBroker(
            settings.url,
            user=settings.user or None,
            password=settings.password.get_secret_value() or None,
            name=service,
            connect_timeout=settings.connect_timeout_seconds,
            reconnect_time_wait=0.5,
            max_reconnect_attempts=-1,
            ping_interval=5,
            max_outstanding_pings=2,
            inbox_prefix=f"inbox.{service}",
            error_cb=self._on_error,
            reconnected_cb=self._on_reconnected,
            disconnected_cb=self._on_disconnected,
            logger=None,
            apply_types=False,
        )
        self.on_disturbed: Callable[[str], None] = lambda reason: None
        """Called when messages to this process may have been lost (a reconnect, a slow-consumer drop)."""
        self._served = Histogram(
            "dragoman_bus_request_seconds", "Time to answer a request", ["subject", "outcome"], registry=registry
        )
        self._asked = Histogram(
            "dragoman_bus_ask_seconds", "Time until a request was answered", ["subject", "outcome"], registry=registry
        )
        self._errors = Counter("dragoman_bus_errors", "Asynchronous errors of the broker", ["kind"], registry=registry)
        self._dead = Counter("dragoman_bus_dead_letters", "Events given up", ["subject"], registry=registry)

    # Registering

    def serve(
        self, route: Route[Q, R], handler: Callable[[Q], Awaitable[R]], *, queue: str = "", concurrency: int = 256
    ) -> None:
        """Answer a route. With `queue`, the replicas of a queue group share the requests. Beyond `concurrency`
        requests under way, more are refused as unavailable."""
        decode = msgspec.msgpack.Decoder(route.request).decode
        under_way = 0

        async def answer(message: Msg, received: float) -> None:
            nonlocal under_way
            outcome = "ok"
            try:
                reply = b"+" + _pack(await handler(decode(message.data)))
            except Refused as refusal:
                outcome = refusal.failure.code.value
                reply = b"-" + _pack(refusal.failure)
            except Exception:
                outcome = ErrorCode.INTERNAL.value
                _log.exception("request failed", subject=route.subject)
                reply = b"-" + _pack(Failure(ErrorCode.INTERNAL, "internal error"))
            finally:
                under_way -= 1
            self._served.labels(route.subject, outcome).observe(time.monotonic() - received)
            await self._reply(message, reply)

        async def receive(message: Msg) -> None:
            nonlocal under_way
            headers = message.headers or {}
            if time.time() * 1000 > float(headers.get("Deadline", "inf")):
                self._served.labels(route.subject, "late").observe(0)
                return
            trace.set(trace_of(headers.get("traceparent", "")))
            if under_way >= concurrency:
                self._served.labels(route.subject, "overloaded").observe(0)
                await self._reply(message, b"-" + _pack(Failure(ErrorCode.UNAVAILABLE, "overloaded, try again")))
                return
            under_way += 1
            self._tasks.start(answer(message, time.monotonic()), route.subject)

        self._subscribe(route.subject, receive, queue)

    def listen(self, subject: str, callback: Callable[[bytes], None]) -> None:
        """Take every message of a subject as bytes, in order, without an answer. The callback must be quick."""

        async def receive(message: Msg) -> None:
            try:
                callback(message.data)
            except Exception:
                _log.exception("listener failed", subject=subject)

        self._subscribe(subject, receive, "")

    def take(self, route: Route[Q, R], callback: Callable[[Q, "Responder"], None], *, queue: str) -> None:
        """The hot path's `serve`: the callback queues the request at once and answers it later."""
        decode = msgspec.msgpack.Decoder(route.request).decode

        async def receive(message: Msg) -> None:
            headers = message.headers or {}
            if time.time() * 1000 > float(headers.get("Deadline", "inf")):
                return
            try:
                callback(decode(message.data), Responder(self, message))
            except Exception:
                _log.exception("request failed", subject=route.subject)
                await self._reply(message, b"-" + _pack(Failure(ErrorCode.INTERNAL, "internal error")))

        self._subscribe(route.subject, receive, queue)

    def consume(self, topic: Topic[Q], handler: Callable[[Q], Awaitable[None]]) -> None:
        """Work on a durable event until it succeeds: retried with growing pauses, then kept as a dead letter."""
        decode = msgspec.msgpack.Decoder(topic.event).decode

        async def receive(message: Msg) -> None:
            trace.set(trace_of((message.headers or {}).get("traceparent", "")))
            try:
                await handler(decode(message.data))
            except Exception as error:
                await self._retry(topic.subject, message, error)
            else:
                await message.ack()

        self._broker.subscriber(
            topic.subject,
            durable=durable(self._service, topic),
            stream=JStream(STREAM, declare=False),
            pull_sub=PullSub(batch_size=1, timeout=5.0),
            config=consumer_config(self._service, topic),
            decoder=_raw,
            no_reply=True,
            ack_policy=AckPolicy.MANUAL,
        )(receive)

    def _subscribe(self, subject: str, receive: Callable[[Msg], Awaitable[None]], queue: str) -> None:
        self._broker.subscriber(
            subject, queue=queue, decoder=_raw, no_reply=True, pending_msgs_limit=65_536, pending_bytes_limit=64 << 20
        )(receive)

    # Life

    async def start(self) -> None:
        """Connect and subscribe. Raises nats.errors.Error or OSError when the broker cannot be reached."""
        await self._broker.start()

    async def stop(self, timeout_seconds: float = 5.0) -> None:
        """Take nothing new, answer what is under way, send what is buffered, disconnect."""
        for subscriber in self._broker.subscribers:
            try:
                await asyncio.wait_for(subscriber.stop(), timeout_seconds)
            except (TimeoutError, nats.errors.Error) as error:
                _log.warning("subscription not drained", error=repr(error))
        await self._tasks.finish(timeout_seconds)
        try:
            await asyncio.wait_for(self._broker.stop(), timeout_seconds)
        except (TimeoutError, nats.errors.Error) as error:
            _log.warning("bus not drained", error=repr(error))

    async def check(self, timeout_seconds: float = 1.0) -> None:
        """A real round trip to the broker. Raises TimeoutError or nats.errors.Error."""
        try:
            await self._client.flush(timeout=max(1, int(timeout_seconds)))
        except nats.errors.TimeoutError as error:
            raise TimeoutError("nats") from error

    # Asking and telling

    async def ask(self, route: Route[Q, R], request: Q, *, seconds: float = 8.0, retry: bool = False) -> R:
        """The answer to a request. With `retry` (for idempotent requests), it is repeated until the deadline.
        Raises Refused; Unavailable when there was no answer in time."""
        started = time.monotonic()
        outcome = "ok"
        try:
            return self._answer(route, await self._request(route.subject, _pack(request), seconds, retry))
        except Refused as refusal:
            outcome = refusal.failure.code.value
            raise
        finally:
            self._asked.labels(route.subject, outcome).observe(time.monotonic() - started)

    async def _request(self, subject: str, payload: bytes, seconds: float, retry: bool) -> bytes:
        deadline = time.monotonic() + seconds
        headers = {
            "Deadline": str(int((time.time() + seconds) * 1000)),
            "traceparent": traceparent(trace.get() or new_trace()),
        }
        while (left := deadline - time.monotonic()) > 0:
            attempt = min(left, _ATTEMPT_SECONDS) if retry else left
            try:
                return (await self._client.request(subject, payload, timeout=attempt, headers=headers)).data
            except nats.errors.NoRespondersError:
                await asyncio.sleep(min(_NOBODY_THERE_SECONDS, left))
            except nats.errors.TimeoutError:
                if not retry:
                    break
            except nats.errors.Error as error:
                _log.debug("request not sent", subject=subject, error=repr(error))
                await asyncio.sleep(min(_NOBODY_THERE_SECONDS, left))
        raise Unavailable(subject)

    def _answer(self, route: Route[Q, R], data: bytes) -> R:
        body = memoryview(data)[1:]
        if data[:1] == b"-":
            raise Refused.of(_decode_failure(body))
        decoder = self._decoders.get(route.reply)
        if decoder is None:
            decoder = self._decoders[route.reply] = msgspec.msgpack.Decoder(route.reply)
        answer: R = decoder.decode(body)
        return answer

    async def publish(self, subject: str, payload: bytes) -> None:
        """Hand a message to NATS (at most once). Raises nats.errors.Error when it cannot even be buffered."""
        await self._client.publish(subject, payload)

    async def emit(self, topic: Topic[Q], event: Q, *, key: str) -> None:
        """Store a durable event; `key` deduplicates repetitions. Raises nats.errors.Error or TimeoutError."""
        headers = {"Nats-Msg-Id": key, "traceparent": traceparent(trace.get() or new_trace())}
        await self._client.jetstream(timeout=2.0).publish(topic.subject, _pack(event), headers=headers, stream=STREAM)

    async def _reply(self, message: Msg, payload: bytes) -> None:
        if not message.reply:
            return
        try:
            await self._client.publish(message.reply, payload)
        except nats.errors.Error as error:
            _log.warning("reply lost", subject=message.subject, error=repr(error))

    async def _retry(self, subject: str, message: Msg, error: Exception) -> None:
        delivered = message.metadata.num_delivered
        if delivered < _MAX_DELIVERIES:
            pause = _REDELIVERY_SECONDS[min(delivered, len(_REDELIVERY_SECONDS)) - 1]
            _log.warning("event failed, will be retried", subject=subject, attempt=delivered, error=repr(error))
            raise NackMessage(delay=pause)
        _log.error("event given up", subject=subject, exc_info=error)
        self._dead.labels(subject).inc()
        headers = {"Error": repr(error)[:512], "Consumer": self._service}
        await self._client.jetstream(timeout=2.0).publish(f"dead.{self._service}.{subject}", message.data, headers=headers)
        await message.ack()

    # Connection

    @property
    def _client(self) -> Client:
        client: Client = self._broker.connection
        return client

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, nats.errors.SlowConsumerError):
            self._errors.labels("slow_consumer").inc()
            self.on_disturbed("slow consumer")
        elif "permissions violation" in str(error).lower():
            self._errors.labels("permission").inc()
            _log.error("not permitted on the bus", error=str(error))
        else:
            self._errors.labels("other").inc()
            _log.warning("bus error", error=repr(error))

    async def _on_disconnected(self) -> None:
        _log.warning("bus disconnected")

    async def _on_reconnected(self) -> None:
        _log.info("bus reconnected")
        self.on_disturbed("reconnected")


class Responder:
    """Answers one request that `take` handed over."""

    __slots__ = ("_bus", "_message")

    def __init__(self, bus: Bus, message: Msg) -> None:
        self._bus = bus
        self._message = message

    async def answer(self, reply: object) -> None:
        await self._bus._reply(self._message, b"+" + _pack(reply))

    async def refuse(self, failure: Failure) -> None:
        await self._bus._reply(self._message, b"-" + _pack(failure))


async def _raw(message: Any) -> Msg:
    raw: Msg = message.raw_message
    return raw


def consumer_config(service: str, topic: Topic[Any]) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=durable(service, topic),
        filter_subject=topic.subject,
        ack_policy=JetStreamAck.EXPLICIT,
        ack_wait=10,
        max_ack_pending=64,
    )

