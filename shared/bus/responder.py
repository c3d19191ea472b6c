"""Replies to one request of the hot path, when its result is known."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
from nats.aio.msg import Msg

from shared.bus.requester_clocks import to_wall_clock
from shared.contract.errors import Failure

if TYPE_CHECKING:
    from shared.tracing import Span

Reply = Callable[[Msg, bytes], Awaitable[None]]
"""Sends a reply (at most once)."""

_pack = msgspec.msgpack.Encoder().encode


class Responder:
    """Replies to one request of `serve_deferred`."""

    __slots__ = ("_clock_difference_ms", "_message", "_reply", "span")

    def __init__(self, reply: Reply, message: Msg, clock_difference_ms: float) -> None:
        self._reply = reply
        self._message = message
        self._clock_difference_ms = clock_difference_ms
        self.span: Span | None = None
        """From receipt to reply."""

    @property
    def cause(self) -> str:
        """The traceparent of the request's span; empty when the span is not recorded."""
        return self.span.traceparent if self.span is not None else ""

    def to_wall_clock(self, requester_ms: int) -> int:
        """The same moment, given in steady milliseconds of the requester, on our wall clock."""
        return to_wall_clock(requester_ms, self._clock_difference_ms)

    async def reply(self, reply: object) -> None:
        await self._reply(self._message, b"+" + _pack(reply))
        if self.span is not None:
            self.span.end()

    async def reply_error(self, failure: Failure) -> None:
        await self._reply(self._message, b"-" + _pack(failure))
        if self.span is not None:
            self.span.end(failure.code.value)
