"""One connection. It sends commands, whose replies are found by id, queues events, and reports the reason for its
end."""

import asyncio
import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import msgspec

from dragoman_client.aio import AsyncConnection, connect
from dragoman_client.codec import CODECS
from dragoman_client.codec.events import ServerReply
from dragoman_client.errors import ClientError

Members = dict[str, Any]
"""A JSON object."""
RETRY_MS = 1000
PING_SECONDS = 20.0
_QUEUED_EVENTS = 10_000
_FAULT_MS = 10_000
_DAY_MS = 86_400_000
_SILENT_PINGS = 3
"""The most pings during which a command may have no reply. After this, the connection is aborted."""
_IN_ORDER: Mapping[str, tuple[str, ...]] = {
    "message": ("chat", "index"), "changed": ("chat", "index", "rev"), "gone": ("chat",)
}  # fmt: skip
"""For each kind of event, the members by which the client orders it in its chat."""
_DELAYS_MS: Mapping[int, int | None] = {
    1000: None, 1001: 0, 1005: 0, 1006: 0, 1011: 0, 1012: 0, 1013: RETRY_MS, 4001: RETRY_MS, 4003: None, 4008: 60_000,
}  # fmt: skip
"""The milliseconds until a reconnect, by the close code, if the server gives no `retry_ms`. With None, the client does
not reconnect. Any other code shows a fault of the client."""


class CommandRejected(ClientError):
    """An error reply, or the error `unavailable` if there is no connection. `retry_ms`: the same command can succeed
    after this time. `unknown`: whether the command may have had its effect. `request`: the id by which an operator
    finds the request in the log."""

    def __init__(
        self, code: str, text: str, field: str = "", retry_ms: int | None = None, *, unknown: bool = False,
        reason: str = "", request: str = "",
    ) -> None:  # fmt: skip
        super().__init__(text)
        self.code = code
        self.field = field
        self.retry_ms = retry_ms
        self.unknown = unknown
        self.reason = reason
        self.request = request


class CommandLost(CommandRejected):
    """The connection has ended before the reply arrived."""


def unavailable(text: str, retry_ms: int | None = None, *, unknown: bool = False) -> CommandRejected:
    return CommandRejected("unavailable", text, retry_ms=retry_ms, unknown=unknown)


def rejection(answer: object) -> CommandRejected:
    """Make an exception from the error of a reply. The error may have any form."""
    error: Members = answer if isinstance(answer, dict) else {}
    code = str(error.get("code", "internal"))
    text, field, reason, request = (str(error.get(name, "")) for name in ("text", "field", "reason", "request"))
    retry_ms, unknown = _milliseconds(error.get("retry_ms")), error.get("unknown") is True
    return CommandRejected(code, text or code, field, retry_ms, unknown=unknown, reason=reason, request=request)


def is_integer(value: object) -> TypeGuard[int]:
    return type(value) is int


@dataclass(slots=True)
class _Waiting:
    """A command without a reply. `pings`: the number of pings that were sent since. If it is below zero, the reply may
    take any time."""

    future: "asyncio.Future[Members]"
    process: Callable[[Members], None]
    pings: float = 0


class NativeConnection:
    """A connection of the dialect native. See dragoman_client.aio.Listener. `events`: the events since `listen`, in
    order. `is_heard`: whether anything has arrived since this was last set to False."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Members] = asyncio.Queue()
        self.is_heard = True
        self.has_ended = False
        self._is_listening = False
        self._connection: AsyncConnection | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._bye: Members | None = None

    async def open(self, server: str) -> None:
        """Connect to the server. Raises Unreachable, InvalidAddress."""
        self._connection = await connect(server, CODECS["native"], self, _object)

    async def until_ended(self) -> None:
        """Wait for the end of the connection. Raises CommandRejected with the reason."""
        assert self._connection is not None
        await self._connection.wait_ended()
        raise self._end()

    def listen(self) -> None:
        """Queue events from now on. Earlier events are dropped, so a sync must follow."""
        self._is_listening = True

    async def request(
        self, op: str, members: Mapping[str, Any], process: Callable[[Members], None] = lambda _: None
    ) -> Members:
        """Send a command, and return the reply. `process` gets the reply before any later event is queued, even if the
        caller has given up. Raises CommandRejected, or CommandLost if the server has not answered."""
        assert self._connection is not None
        if self.has_ended:
            raise self._lost()
        number = next(self._ids)
        frame = msgspec.json.encode({**members, "op": op, "id": number})
        future: asyncio.Future[Members] = asyncio.get_running_loop().create_future()
        self._waiting[number] = _Waiting(future, process)
        self._connection.send(frame)
        return await future

    async def repeat(
        self, op: str, members: Mapping[str, Any], process: Callable[[Members], None] = lambda _: None
    ) -> Members:
        """Send a command, and send it again after each error that permits a repetition. Raises CommandRejected."""
        while True:
            try:
                return await self.request(op, members, process)
            except CommandLost:
                raise
            except CommandRejected as error:
                retry_ms = RETRY_MS if error.retry_ms is None and error.unknown else error.retry_ms
                if retry_ms is None:
                    raise
            await asyncio.sleep(spread(retry_ms / 1000))

    async def ping(self, note: Callable[[Members], None]) -> None:
        """Send pings until the connection ends. If nothing arrives after a ping, the connection is aborted. `note` gets
        each reply."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            self.is_heard = False
            for waiting in self._waiting.values():
                waiting.pings += 1
            if any(waiting.pings > _SILENT_PINGS for waiting in self._waiting.values()):
                self.abort()
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await self.request("ping", {}, note)
            except TimeoutError:
                if not self.is_heard:
                    self.abort()

    def abort(self) -> None:
        if self._connection is not None:
            self._connection.abort()

    def queue(self, event: Members) -> None:
        if not self._is_listening:
            return
        self.events.put_nowait(event)
        if self.events.qsize() > _QUEUED_EVENTS:
            self.abort()  # the client then reconnects, and its next sync fetches the dropped events

    # dragoman_client.aio.Listener

    def received(self, event: Any, now: int) -> None:
        if self.has_ended or not isinstance(event, dict):
            return
        self.is_heard = True
        if "ev" in event:
            if event["ev"] == "bye":
                self._bye = event
            if all(is_integer(event.get(name)) for name in _IN_ORDER.get(str(event["ev"]), ())):
                self.queue(event)
            return
        waiting = self._waiting.get(number := self._answered(event))
        # the reply comes only after the user has opened the mailed link
        if waiting is not None and event.get("verify"):
            waiting.pings = float("-inf")
            waiting.process(event)
        elif waiting is not None:
            del self._waiting[number]
            _complete(waiting, event)

    def _answered(self, reply: Members) -> int:
        """The id of the command that a reply answers. An error may have no id. It then belongs to the waiting command,
        if there is only one."""
        id = reply.get("re")
        if id is None and "error" in reply and len(self._waiting) == 1:
            return next(iter(self._waiting))
        return id if type(id) is int else 0

    def replied(self, reply: ServerReply, now: int) -> None:
        """Do nothing, because this client does not decode frames into replies."""

    def ended(self) -> None:
        if self.has_ended:
            return
        self.has_ended = True
        lost = self._lost()
        for waiting in self._waiting.values():
            if not waiting.future.done():
                waiting.future.set_exception(lost)
                # This marks the exception as read, because the caller may not wait for it any more.
                waiting.future.exception()

    def _lost(self) -> CommandLost:
        end = self._end()
        return CommandLost(end.code, str(end), retry_ms=end.retry_ms, unknown=True)

    def _end(self) -> CommandRejected:
        assert self._connection is not None
        code, reason = self._connection.close_code, self._bye or _object(self._connection.close_reason)
        retry_ms = _DELAYS_MS.get(code, _FAULT_MS) if reason is None else _milliseconds(reason.get("retry_ms"))
        name = "unavailable" if reason is None else str(reason.get("code", "unavailable"))
        return CommandRejected(name, f"the connection has ended ({code})", retry_ms=retry_ms)


def _complete(waiting: _Waiting, reply: Members) -> None:
    reply.pop("re", None)
    rejected = rejection(reply["error"]) if reply.get("error") else None
    if rejected is None:
        waiting.process(reply)
    if waiting.future.done():
        return
    if rejected is None:
        waiting.future.set_result(reply)
    else:
        waiting.future.set_exception(rejected)


def spread(seconds: float) -> float:
    """A random time between `seconds` and twice as long, so that clients do not reconnect at the same time."""
    return seconds * random.uniform(1, 2)  # noqa: S311


def _milliseconds(value: object) -> int | None:
    return round(min(max(value, 0), _DAY_MS)) if isinstance(value, int | float) else None


def _object(text: bytes) -> Members | None:
    """The members of a JSON object, or None for any other text."""
    try:
        read = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return read if isinstance(read, dict) else None
