"""Sends requests to other services: the headers with a deadline and a trace id, the attempts, and the reply."""

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import nats.errors
from prometheus_client import CollectorRegistry, Gauge, Histogram

from shared.bus.connection import BrokerConnection
from shared.bus.failures import NoResponders, TooLarge, Unavailable
from shared.bus.request_queue import NONCE_HEADER
from shared.bus.requester_clocks import deadline_headers
from shared.clock import steady_ms
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.routes import Route
from shared.tasks import REQUEST_SECONDS, operation_end
from shared.telemetry import LATENCY_BUCKETS, log, new_trace, trace, traceparent

if TYPE_CHECKING:
    from shared.tracing import Tracer

Q = TypeVar("Q")
R = TypeVar("R")

_log = log(__name__)
_pack = msgspec.msgpack.Encoder().encode

_NO_RESPONDERS_PAUSE_SECONDS = 0.1
_QUIET_SECONDS = 0.7
"""Replies of several processes follow each other within this time."""


def current_traceparent(tracer: "Tracer | None") -> str:
    """The traceparent of the present span, or else of the present trace, or else of a new trace."""
    recorded = tracer.current() if tracer is not None else ""
    return recorded or traceparent(trace.get() or new_trace())


class RequestSender:
    """Sends the requests of one process."""

    def __init__(self, broker: BrokerConnection, registry: CollectorRegistry, tracer: "Tracer | None") -> None:
        self._broker = broker
        self._tracer = tracer
        self._replies = ReplyDecoder()
        self._patience = Patience()
        self._requested = SentRequestMetrics(registry)

    async def request(
        self, route: Route[Q, R], request: Q, seconds: float | None, retry: bool, wait_for_service: bool, nonce: str
    ) -> R:
        """See Bus.request."""
        started = time.monotonic()
        limit = min(operation_end.get() - started, math.inf if seconds is None else seconds)
        if math.isinf(limit):
            limit = REQUEST_SECONDS
        try:
            sending = self._request(route.subject, _pack(request), nonce, limit, retry, wait_for_service)
            if self._tracer is not None:
                sending = self._tracer.span(route.label, "client").around(sending)
            reply = self._replies.decode(route, await sending)
        except RequestError as error:
            self._requested.observe(route.label, error.failure.code.value, time.monotonic() - started)
            raise  # a cancelled request is not counted, because it says nothing about the service
        self._requested.observe(route.label, "ok", time.monotonic() - started)
        return reply

    async def request_all(self, route: Route[Q, R], request: Q, seconds: float) -> list[R]:
        """See Bus.request_all."""
        client = self._broker.client
        inbox = client.new_inbox()
        replies: list[R] = []
        subscription = await client.subscribe(inbox)
        try:
            await client.publish(
                route.subject,
                _pack(request),
                inbox,
                headers={"traceparent": current_traceparent(self._tracer), **deadline_headers(steady_ms(), seconds)},
            )
            async with asyncio.timeout(seconds):
                while True:
                    message = await subscription.next_msg(_QUIET_SECONDS)
                    if message.data[:1] == b"+":
                        replies.append(self._replies.decode(route, message.data))
        except TimeoutError:
            return replies
        finally:
            await subscription.unsubscribe()

    async def _request(
        self, subject: str, payload: bytes, nonce: str, seconds: float, retry: bool, wait_for_service: bool
    ) -> bytes:
        deadline = time.monotonic() + seconds
        headers = {"traceparent": current_traceparent(self._tracer)} | ({NONCE_HEADER: nonce} if nonce else {})
        usual = self._patience.first(subject)
        while (left := deadline - (began := time.monotonic())) > 0:
            allowed = attempt(usual, left) if retry else left
            # each attempt has its own deadline, because nobody waits for replies to earlier attempts
            headers |= deadline_headers(steady_ms(), allowed)
            once = self._broker.request(subject, payload, allowed, headers)
            try:
                if not retry:
                    return await once
                async with self._broker.while_connected():
                    reply = await once
                self._patience.replied(subject, time.monotonic() - began)
                return reply
            except nats.errors.NoRespondersError:
                if not wait_for_service:
                    raise NoResponders(subject) from None
                await asyncio.sleep(min(_NO_RESPONDERS_PAUSE_SECONDS, left))
            except TimeoutError:  # also nats-py's
                if not retry:
                    break
                usual = longer(usual)
            except nats.errors.OutboundBufferLimitError:
                await asyncio.sleep(min(_NO_RESPONDERS_PAUSE_SECONDS, left))
            except nats.errors.MaxPayloadError:
                _log.error("request too large", subject=subject, bytes=len(payload))
                raise TooLarge from None
            except nats.errors.Error as error:
                _log.warning("request not sent", subject=subject, error=repr(error))
                break
        raise Unavailable(subject)


_decode_failure = msgspec.msgpack.Decoder(Failure).decode


class ReplyDecoder:
    """Decodes replies. Keeps one decoder for each type of reply."""

    def __init__(self) -> None:
        self._decoders: dict[type[Any], msgspec.msgpack.Decoder[Any]] = {}

    def decode(self, route: Route[Any, R], data: bytes) -> R:
        """Raises RequestError."""
        body = memoryview(data)[1:]
        if data[:1] == b"-":
            raise RequestError.from_failure(_decode_failure(body))
        decoder = self._decoders.get(route.reply)
        if decoder is None:
            decoder = self._decoders[route.reply] = msgspec.msgpack.Decoder(route.reply)
        answer: R = decoder.decode(body)
        return answer


LEAST_SECONDS = 0.5
"""The least time that an attempt waits for a reply: far more than a reply takes, unless requests are queued."""
MOST_SECONDS = 2.0
_TIMES_SLOWER = 3.0
"""A reply may take this many times as long as the average of recent replies."""
_WEIGHT = 1 / 8
"""The weight of the newest reply. A reply that a frozen process sends when it wakes says nothing about other
replies."""
_GROWTH = 1.5


class Patience:
    """The time that an attempt of an idempotent request waits before the request is repeated. Pure. A frozen replica
    stays in its queue group for seconds, and gets a share of the requests. A repeated one most likely goes to another
    replica. A slow service is given more time, so that not every request is sent twice."""

    def __init__(self) -> None:
        self._average: dict[str, float] = {}
        """The average seconds of recent replies, by subject."""

    def first(self, subject: str) -> float:
        """The seconds of the first attempt."""
        return min(max(LEAST_SECONDS, _TIMES_SLOWER * self._average.get(subject, 0.0)), MOST_SECONDS)

    def replied(self, subject: str, seconds: float) -> None:
        """A reply came this long after its attempt began."""
        average = self._average.get(subject, 0.0)
        self._average[subject] = average + _WEIGHT * (seconds - average)


def attempt(usual: float, left: float) -> float:
    """The seconds of an attempt of a request that has `left` seconds. The last attempt gets all the remaining
    seconds."""
    return usual if left >= 2 * usual else left


def longer(seconds: float) -> float:
    """The seconds of the attempt that follows one without a reply."""
    return min(_GROWTH * seconds, MOST_SECONDS)


class SentRequestMetrics:
    """Times and results of requests, and whether the last one to each service was answered."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "dragoman_bus_ask_seconds",
            "Time until a request was answered",
            ["subject", "outcome"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._available = Gauge(
            "dragoman_service_available",
            "Whether the last request to a service was answered (1) or the service was unavailable (0)",
            ["service"],
            registry=registry,
        )
        self._known: dict[str, bool] = {}

    def observe(self, label: str, result: str, seconds: float) -> None:
        """`label`: the route's, which begins with the name of its service; `result`: `ok` or an error code."""
        self._seconds.labels(label, result).observe(seconds)
        service, available = label.partition(".")[0], result != ErrorCode.UNAVAILABLE.value
        if self._known.get(service) != available:
            self._known[service] = available
            self._available.labels(service).set(available)
