"""Sends requests to other services: the headers with a deadline and a trace id, the attempts, and the reply."""

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import nats.errors
from prometheus_client import CollectorRegistry, Gauge

from shared.bus.connection import BrokerConnection
from shared.bus.failures import NoResponders, TooLarge, Unavailable
from shared.bus.request_queue import NONCE_HEADER
from shared.bus.requester_clocks import deadline_headers
from shared.clock import steady_ms
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.routes import Route
from shared.plain_histogram import LATENCY_BUCKETS, PlainHistogram
from shared.tasks import REQUEST_SECONDS, operation_end
from shared.telemetry import log, new_trace, trace, traceparent

if TYPE_CHECKING:
    from shared.tracing import Tracer

Q = TypeVar("Q")
R = TypeVar("R")

_log = log(__name__)
_pack = msgspec.msgpack.Encoder().encode

_NO_RESPONDERS_PAUSE_SECONDS = 0.1
_QUIET_SECONDS = 0.7
"""The longest pause between the replies of several processes."""


def current_traceparent(tracer: "Tracer | None") -> str:
    """The traceparent of the current span. Without a span, it is made from the current trace id or from a new one."""
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
            # each attempt has its own deadline, because replies to earlier attempts are not used
            headers |= deadline_headers(steady_ms(), allowed)
            try:
                reply = await self._broker.request(subject, payload, allowed, headers, ends_with_connection=retry)
                if retry:
                    self._patience.replied(subject, time.monotonic() - began)
                return reply
            except nats.errors.NoRespondersError:
                if not wait_for_service:
                    raise NoResponders(subject) from None
                await asyncio.sleep(min(_NO_RESPONDERS_PAUSE_SECONDS, left))
            except TimeoutError:  # nats-py also raises this error
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
        """Returns the result in the reply. Raises RequestError if the reply is an error."""
        body = memoryview(data)[1:]
        if data[:1] == b"-":
            raise RequestError.from_failure(_decode_failure(body))
        decoder = self._decoders.get(route.reply)
        if decoder is None:
            decoder = self._decoders[route.reply] = msgspec.msgpack.Decoder(route.reply)
        answer: R = decoder.decode(body)
        return answer


LEAST_SECONDS = 0.5
"""The least time that an attempt waits for a reply. A reply takes far less time unless requests are queued."""
MOST_SECONDS = 2.0
_TIMES_SLOWER = 3.0
"""An attempt waits for this many times the average time of recent replies."""
_WEIGHT = 1 / 8
"""The weight of the newest reply in the average. It is low, because a process that was frozen may send a single reply
very late."""
_GROWTH = 1.5


class Patience:
    """The time that an attempt of an idempotent request waits before the request is repeated. A frozen replica stays in
    its queue group for seconds, and gets a share of the requests. A repeated request most likely goes to another
    replica. If a service is slow, attempts wait longer, so that not every request is sent twice."""

    def __init__(self) -> None:
        self._average: dict[str, float] = {}
        """The average seconds of recent replies, by subject."""

    def first(self, subject: str) -> float:
        """The seconds of the first attempt."""
        return min(max(LEAST_SECONDS, _TIMES_SLOWER * self._average.get(subject, 0.0)), MOST_SECONDS)

    def replied(self, subject: str, seconds: float) -> None:
        """Note that a reply came `seconds` after the beginning of its attempt."""
        average = self._average.get(subject, 0.0)
        self._average[subject] = average + _WEIGHT * (seconds - average)


def attempt(usual: float, left: float) -> float:
    """The seconds of an attempt of a request that has `left` seconds. If the rest is too short for two attempts, the
    attempt gets all remaining seconds."""
    return usual if left >= 2 * usual else left


def longer(seconds: float) -> float:
    """The seconds of the next attempt after an attempt without a reply."""
    return min(_GROWTH * seconds, MOST_SECONDS)


class SentRequestMetrics:
    """Metrics of sent requests: times, results, and whether the last request to each service was answered."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = PlainHistogram(
            "dragoman_bus_ask_seconds",
            "Time until a request was answered",
            LATENCY_BUCKETS,
            registry,
            ("subject", "outcome"),
        )
        self._available = Gauge(
            "dragoman_service_available",
            "Whether the last request to a service was answered (1) or the service was unavailable (0)",
            ["service"],
            registry=registry,
        )
        self._known: dict[str, bool] = {}

    def observe(self, label: str, result: str, seconds: float) -> None:
        """Note the end of a request. `label`: the label of the route, which begins with the name of its service.
        `result`: `ok` or an error code."""
        self._seconds.observe(seconds, of=(label, result))
        service, available = label.partition(".")[0], result != ErrorCode.UNAVAILABLE.value
        if self._known.get(service) != available:
            self._known[service] = available
            self._available.labels(service).set(available)
