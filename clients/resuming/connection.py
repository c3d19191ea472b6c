"""One connection: commands with their replies by id, events in a queue, and why it has ended."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from clients.aio import AsyncConnection, connect
from clients.codec import CODECS
from clients.codec.events import ServerReply
from clients.errors import ClientError

Members = dict[str, Any]
"""A JSON object."""
RETRY_MS = 1000
_QUEUED_EVENTS = 10_000
_FAULT_MS = 10_000
_DELAYS_MS: Mapping[int, int | None] = {
    1000: None, 1001: 0, 1005: 0, 1006: 0, 1011: 0, 1012: 0, 1013: RETRY_MS, 4001: RETRY_MS, 4003: None, 4008: 60_000,
}  # fmt: skip
"""By close code, where the server gives no `retry_ms`; None: the client does not come back. Any other code: the client
has a fault."""


class CommandRejected(ClientError):
    """An error reply, or `unavailable` without a connection. `retry_ms`: the same may succeed later. `unknown`: the
    command may have had its effect."""

    def __init__(
        self, code: str, text: str, field: str = "", retry_ms: int | None = None, *, unknown: bool = False
    ) -> None:
        super().__init__(text)
        self.code = code
        self.field = field
        self.retry_ms = retry_ms
        self.unknown = unknown


def unavailable(text: str, retry_ms: int | None = None, *, unknown: bool = False) -> CommandRejected:
    return CommandRejected("unavailable", text, retry_ms=retry_ms, unknown=unknown)


def rejection(error: Members) -> CommandRejected:
    """Of the error of a reply."""
    return CommandRejected(
        error["code"],
        error.get("text", ""),
        error.get("field", ""),
        error.get("retry_ms"),
        unknown=error.get("unknown", False),
    )


class NativeConnection:
    """See clients.aio.Listener. `events`: as they have come. `is_heard`: something has come since it was unset."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Members] = asyncio.Queue()
        self.is_heard = True
        self.has_ended = False
        self._connection: AsyncConnection | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[Members], Callable[[Members], None]]] = {}
        self._bye: Members | None = None

    async def open(self, server: str) -> None:
        """Raises Unreachable, InvalidAddress."""
        self._connection = await connect(server, CODECS["native"], self, msgspec.json.decode)

    async def until_ended(self) -> None:
        """Raises CommandRejected: why it has ended."""
        assert self._connection is not None
        await self._connection.wait_ended()
        raise self._end()

    async def request(
        self, op: str, members: Mapping[str, Any], process: Callable[[Members], None] = lambda _: None
    ) -> Members:
        """`process` gets the reply before any later event is queued. Raises CommandRejected."""
        if self._connection is None or self.has_ended:
            raise unavailable("there is no connection")
        number = next(self._ids)
        future: asyncio.Future[Members] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future, process
        self._connection.send(msgspec.json.encode({**members, "op": op, "id": number}))
        return await future

    def abort(self) -> None:
        if self._connection is not None:
            self._connection.abort()

    # clients.aio.Listener

    def received(self, event: Any, now: int) -> None:
        if self.has_ended or not isinstance(event, dict):
            return
        self.is_heard = True
        if "ev" in event:
            if event["ev"] == "bye":
                self._bye = event
            self._queue(event)
        elif (waiting := self._waiting.pop(event.get("re", 0), None)) is not None:
            _complete(*waiting, event)

    def replied(self, reply: ServerReply, now: int) -> None:
        """Frames are not decoded to replies here."""

    def ended(self) -> None:
        if self.has_ended:
            return
        self.has_ended = True
        end = self._end()
        lost = CommandRejected(end.code, str(end), retry_ms=end.retry_ms, unknown=True)
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(lost)
                future.exception()  # its caller may have ended

    def _queue(self, event: Members) -> None:
        self.events.put_nowait(event)
        if self.events.qsize() > _QUEUED_EVENTS:
            self.abort()  # the next sync brings them

    def _end(self) -> CommandRejected:
        assert self._connection is not None
        code, reason = self._connection.close_code, self._bye or _object(self._connection.close_reason)
        retry_ms = _DELAYS_MS.get(code, _FAULT_MS) if reason is None else reason.get("retry_ms")
        name = "unavailable" if reason is None else reason.get("code", "unavailable")
        return CommandRejected(name, f"the connection has ended ({code})", retry_ms=retry_ms)


def _complete(future: asyncio.Future[Members], process: Callable[[Members], None], reply: Members) -> None:
    if future.done():
        return
    if "error" in reply:
        future.set_exception(rejection(reply["error"]))
    else:
        process(reply)
        future.set_result(reply)


def _object(text: bytes) -> Members | None:
    with suppress(msgspec.DecodeError):
        read = msgspec.json.decode(text)
        if isinstance(read, dict):
            return read
    return None
