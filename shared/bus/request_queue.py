"""A bounded queue of requests for one route. Requests wait in the order of their arrival. If there are too many
requests, a further one is rejected at once. A request whose deadline has passed is dropped. If a request is finished
long after its deadline, its reply is not sent."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import msgspec
from nats.aio.msg import Msg

from shared.bus.requester_clocks import is_forgotten, is_late
from shared.contract.errors import INTERNAL_ERROR, ErrorCode, Failure, RequestError
from shared.contract.routes import Route
from shared.plain_histogram import PlainHistogram
from shared.request_nonce import request_content, request_nonce
from shared.tasks import Tasks
from shared.telemetry import log, trace, trace_id_of

if TYPE_CHECKING:
    from shared.tracing import Tracer

Q = TypeVar("Q")
R = TypeVar("R")

_log = log(__name__)
_pack = msgspec.msgpack.Encoder().encode
NONCE_HEADER = "Nonce"
"""The header with the nonce of a request; see shared.request_nonce."""
_OVERLOADED = Failure(ErrorCode.UNAVAILABLE, "overloaded, please try again")

Reply = Callable[[Msg, bytes], Coroutine[Any, Any, None]]


class QueueLimits(NamedTuple):
    concurrency: int
    """The number of requests that are handled at the same time."""
    waiting: int


class RequestQueue(Generic[Q, R]):
    """The requests of one route. `served` measures the time of each request, including the time in the queue, by
    subject and result. `reply` sends a reply, at most once. `tasks` owns the running handlers."""

    def __init__(
        self,
        route: Route[Q, R],
        handler: Callable[[Q], Awaitable[R]],
        limits: QueueLimits,
        served: PlainHistogram,
        reply: Reply,
        tasks: Tasks,
        tracer: "Tracer | None",
    ) -> None:
        self._route = route
        self._handler = handler
        self._limits = limits
        self._decode = msgspec.msgpack.Decoder(route.request).decode
        self._served = served
        self._reply = reply
        self._tasks = tasks
        self._tracer = tracer
        self._running = 0
        self._waiting: deque[tuple[Msg, float]] = deque()

    def receive(self, message: Msg) -> None:
        if is_late(message):
            self._count("late", 0)
        elif self._running < self._limits.concurrency:
            self._running += 1
            self._tasks.start(self._work(message, time.monotonic()), self._route.subject)
        elif len(self._waiting) < self._limits.waiting:
            self._waiting.append((message, time.monotonic()))
        else:
            self._count("overloaded", 0)
            self._tasks.start(self._reply(message, b"-" + _pack(_OVERLOADED)), "reject")

    async def _work(self, message: Msg, received: float) -> None:
        """Handle a request, and then waiting requests until there are none."""
        try:
            await self._trace_and_handle(message, received)
            while self._waiting:
                await self._trace_and_handle(*self._waiting.popleft())
        finally:
            self._running -= 1

    async def _trace_and_handle(self, message: Msg, received: float) -> None:
        if is_late(message):
            self._count("late", time.monotonic() - received)
            return
        cause = (message.headers or {}).get("traceparent", "")
        trace.set(trace_id_of(cause))
        request_nonce.set((message.headers or {}).get(NONCE_HEADER, ""))
        request_content.set(self._route.subject.encode() + b" " + message.data)
        handling = self._handle_and_reply(message, received)
        if self._tracer is not None:
            handling = self._tracer.continue_trace(self._route.label, "server", cause).around(handling)
        await handling

    async def _handle_and_reply(self, message: Msg, received: float) -> None:
        result = "ok"
        try:
            reply = b"+" + _pack(await self._handler(self._decode(message.data)))
        except RequestError as error:
            result = error.failure.code.value
            reply = b"-" + _pack(error.failure)
        except Exception:
            result = ErrorCode.INTERNAL.value
            _log.exception("request failed", subject=self._route.subject)
            reply = b"-" + _pack(INTERNAL_ERROR)
        self._count(result, time.monotonic() - received)
        if self._tracer is not None:
            self._tracer.end_current(result)
        if not is_forgotten(message):
            await self._reply(message, reply)

    def _count(self, result: str, seconds: float) -> None:
        self._served.observe(seconds, of=(self._route.label, result))
