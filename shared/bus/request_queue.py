"""Requests that one service answers: so many at once, others behind them in the order of their coming, as long as they
are in time; what is beyond both is refused at once."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec
from nats.aio.msg import Msg
from prometheus_client import Histogram

from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.subjects import Route
from shared.tasks import Tasks
from shared.telemetry import log, trace, trace_id_of

if TYPE_CHECKING:
    from shared.tracing import Tracer

Q = TypeVar("Q")
R = TypeVar("R")

_log = log(__name__)
_pack = msgspec.msgpack.Encoder().encode
_OVERLOADED = Failure(ErrorCode.UNAVAILABLE, "overloaded, please try again")

Reply = Callable[[Msg, bytes], Awaitable[None]]


class RequestQueue(Generic[Q, R]):
    """One route's. `served` is told by subject and outcome how long each took, its wait included; `reply` sends an
    answer, whatever becomes of it; `tasks` own what is under way."""

    def __init__(
        self,
        route: Route[Q, R],
        handler: Callable[[Q], Awaitable[R]],
        served: Histogram,
        reply: Reply,
        tasks: Tasks,
        tracer: "Tracer | None",
        *,
        at_once: int,
        waiting: int,
    ) -> None:
        self._route = route
        self._handler = handler
        self._decode = msgspec.msgpack.Decoder(route.request).decode
        self._served = served
        self._reply = reply
        self._tasks = tasks
        self._tracer = tracer
        self._at_once = at_once
        self._most_waiting = waiting
        self._under_way = 0
        self._waiting: deque[tuple[Msg, float]] = deque()

    async def receive(self, message: Msg) -> None:
        if is_late(message):
            self._count("late", 0)
        elif self._under_way < self._at_once:
            self._under_way += 1
            self._tasks.start(self._work(message, time.monotonic()), self._route.subject)
        elif len(self._waiting) < self._most_waiting:
            self._waiting.append((message, time.monotonic()))
        else:
            self._count("overloaded", 0)
            await self._reply(message, b"-" + _pack(_OVERLOADED))

    async def _work(self, message: Msg, received: float) -> None:
        """Answer a request, then those that wait."""
        try:
            await self._trace_and_handle(message, received)
            while self._waiting:
                await self._trace_and_handle(*self._waiting.popleft())
        finally:
            self._under_way -= 1

    async def _trace_and_handle(self, message: Msg, received: float) -> None:
        if is_late(message):
            self._count("late", time.monotonic() - received)
            return
        cause = (message.headers or {}).get("traceparent", "")
        trace.set(trace_id_of(cause))
        answering = self._handle_and_reply(message, received)
        if self._tracer is not None:
            answering = self._tracer.continue_trace(self._route.label, "server", cause).around(answering)
        await answering

    async def _handle_and_reply(self, message: Msg, received: float) -> None:
        outcome = "ok"
        try:
            reply = b"+" + _pack(await self._handler(self._decode(message.data)))
        except RequestError as refusal:
            outcome = refusal.failure.code.value
            reply = b"-" + _pack(refusal.failure)
        except Exception:
            outcome = ErrorCode.INTERNAL.value
            _log.exception("request failed", subject=self._route.subject)
            reply = b"-" + _pack(Failure(ErrorCode.INTERNAL, "internal error"))
        self._count(outcome, time.monotonic() - received)
        if self._tracer is not None:
            self._tracer.end_current(outcome)
        await self._reply(message, reply)

    def _count(self, outcome: str, seconds: float) -> None:
        self._served.labels(self._route.label, outcome).observe(seconds)


def is_late(message: Msg) -> bool:
    """Past the deadline that it states."""
    return time.time() * 1000 > float((message.headers or {}).get("Deadline", "inf"))
