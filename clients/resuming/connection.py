"""One connection: commands with their replies by id, events in a queue, and why it has ended."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

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
_DAY_MS = 86_400_000
_SILENT_PINGS = 3
"""During which a command may have no reply."""
_IN_ORDER: Mapping[str, tuple[str, ...]] = {
    "message": ("chat", "index"), "changed": ("chat", "index", "rev"), "gone": ("chat",)
}  # fmt: skip
"""The place of an event in its chat."""
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


class CommandLost(CommandRejected):
    """The connection has ended before the reply: nothing is answered by this."""


def unavailable(text: str, retry_ms: int | None = None, *, unknown: bool = False) -> CommandRejected:
    return CommandRejected("unavailable", text, retry_ms=retry_ms, unknown=unknown)


def rejection(answer: object) -> CommandRejected:
    """Of the error of a reply, whatever its form."""
    error: Members = answer if isinstance(answer, dict) else {}
    code = str(error.get("code", "internal"))
    return CommandRejected(
        code,
        str(error.get("text", "") or code),
        str(error.get("field", "")),
        _milliseconds(error.get("retry_ms")),
        unknown=error.get("unknown") is True,
    )


def is_integer(value: object) -> TypeGuard[int]:
    return type(value) is int


@dataclass(slots=True)
class _Waiting:
    """A command without a reply. `pings`: that were sent since."""

    future: "asyncio.Future[Members]"
    process: Callable[[Members], None]
    pings: int = 0


class NativeConnection:
    """See clients.aio.Listener. `events`: as they have come. `is_heard`: something has come since it was unset."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Members] = asyncio.Queue()
        self.is_heard = True
        self.has_ended = False
        self._connection: AsyncConnection | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._bye: Members | None = None

    async def open(self, server: str) -> None:
        """Raises Unreachable, InvalidAddress."""
        self._connection = await connect(server, CODECS["native"], self, _object)

    async def until_ended(self) -> None:
        """Raises CommandRejected: why it has ended."""
        assert self._connection is not None
        await self._connection.wait_ended()
        raise self._end()

    async def request(
        self, op: str, members: Mapping[str, Any], process: Callable[[Members], None] = lambda _: None
    ) -> Members:
        """`process` gets the reply before any later event is queued, also if the caller has given up. Raises
        CommandRejected; CommandLost if the server has not answered."""
        if self._connection is None or self.has_ended:
            raise CommandLost("unavailable", "there is no connection")
        number = next(self._ids)
        frame = msgspec.json.encode({**members, "op": op, "id": number})
        future: asyncio.Future[Members] = asyncio.get_running_loop().create_future()
        self._waiting[number] = _Waiting(future, process)
        self._connection.send(frame)
        return await future

    def count_ping(self) -> None:
        """A ping is sent. A command that has no reply during several of them ends the connection."""
        for waiting in self._waiting.values():
            waiting.pings += 1
        if any(waiting.pings > _SILENT_PINGS for waiting in self._waiting.values()):
            self.abort()

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
            if all(is_integer(event.get(name)) for name in _IN_ORDER.get(str(event["ev"]), ())):
                self._queue(event)
        elif (waiting := self._waiting.pop(self._answered(event), None)) is not None:
            _complete(waiting, event)

    def _answered(self, reply: Members) -> int:
        """The id of the command: replies come in order, and an error may lack it."""
        id = reply.get("re")
        if id is None and "error" in reply:
            return next(iter(self._waiting), 0)
        return id if type(id) is int else 0

    def replied(self, reply: ServerReply, now: int) -> None:
        """Frames are not decoded to replies here."""

    def ended(self) -> None:
        if self.has_ended:
            return
        self.has_ended = True
        end = self._end()
        lost = CommandLost(end.code, str(end), retry_ms=end.retry_ms, unknown=True)
        for waiting in self._waiting.values():
            if not waiting.future.done():
                waiting.future.set_exception(lost)
                waiting.future.exception()  # its caller may have ended

    def _queue(self, event: Members) -> None:
        self.events.put_nowait(event)
        if self.events.qsize() > _QUEUED_EVENTS:
            self.abort()  # the next sync brings them

    def _end(self) -> CommandRejected:
        assert self._connection is not None
        code, reason = self._connection.close_code, self._bye or _object(self._connection.close_reason)
        retry_ms = _DELAYS_MS.get(code, _FAULT_MS) if reason is None else _milliseconds(reason.get("retry_ms"))
        name = "unavailable" if reason is None else str(reason.get("code", "unavailable"))
        return CommandRejected(name, f"the connection has ended ({code})", retry_ms=retry_ms)


def _complete(waiting: _Waiting, reply: Members) -> None:
    rejected = rejection(reply["error"]) if reply.get("error") else None
    if rejected is None:
        waiting.process(reply)
    if waiting.future.done():
        return
    if rejected is None:
        waiting.future.set_result(reply)
    else:
        waiting.future.set_exception(rejected)


def _milliseconds(value: object) -> int | None:
    return min(max(round(value), 0), _DAY_MS) if isinstance(value, int | float) else None


def _object(text: bytes) -> Members | None:
    """None: it is no JSON object."""
    try:
        read = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return read if isinstance(read, dict) else None
