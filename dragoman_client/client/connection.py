"""One connection: commands with replies by id, events in a queue, and the reason for the connection's end."""

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
"""During which a command may have no reply."""
_IN_ORDER: Mapping[str, tuple[str, ...]] = {
    "message": ("chat", "index"), "changed": ("chat", "index", "rev"), "gone": ("chat",)
}  # fmt: skip
"""The place of an event in its chat."""
_DELAYS_MS: Mapping[int, int | None] = {
    1000: None, 1001: 0, 1005: 0, 1006: 0, 1011: 0, 1012: 0, 1013: RETRY_MS, 4001: RETRY_MS, 4003: None, 4008: 60_000,
}  # fmt: skip
"""Milliseconds until a reconnect by close code, if the server gives no `retry_ms`; None: the client does not reconnect.
Any other code means a fault of the client."""


class CommandRejected(ClientError):
    """An error reply, or `unavailable` without a connection. `retry_ms`: the same command can succeed after this time.
    `unknown`: the command has possibly had its effect. `request`: the operator finds it in the log."""

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
    """The connection has ended before the reply: nothing is answered by this."""


def unavailable(text: str, retry_ms: int | None = None, *, unknown: bool = False) -> CommandRejected:
    return CommandRejected("unavailable", text, retry_ms=retry_ms, unknown=unknown)


def rejection(answer: object) -> CommandRejected:
    """The code of a reply's error, in any form."""
    error: Members = answer if isinstance(answer, dict) else {}
    code = str(error.get("code", "internal"))
    text, field, reason, request = (str(error.get(name, "")) for name in ("text", "field", "reason", "request"))
    retry_ms, unknown = _milliseconds(error.get("retry_ms")), error.get("unknown") is True
    return CommandRejected(code, text or code, field, retry_ms, unknown=unknown, reason=reason, request=request)


def is_integer(value: object) -> TypeGuard[int]:
    return type(value) is int


@dataclass(slots=True)
class _Waiting:
    """A command without a reply. `pings`: the pings that were sent since; below zero: the reply may take any time."""

    future: "asyncio.Future[Members]"
    process: Callable[[Members], None]
    pings: float = 0


class NativeConnection:
    """See dragoman_client.aio.Listener. `events`: the events since `listen`, in order. `is_heard`: something has come
    since it was unset."""

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
        """Raises Unreachable, InvalidAddress."""
        self._connection = await connect(server, CODECS["native"], self, _object)

    async def until_ended(self) -> None:
        """Raises CommandRejected: why it has ended."""
        assert self._connection is not None
        await self._connection.wait_ended()
        raise self._end()

    def listen(self) -> None:
        """Events before are dropped: a sync must follow."""
        self._is_listening = True

    async def request(
        self, op: str, members: Mapping[str, Any], process: Callable[[Members], None] = lambda _: None
    ) -> Members:
        """`process` gets the reply before any later event is queued, also if the caller has given up. Raises
        CommandRejected; CommandLost if the server has not answered."""
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
        """Sends a command, and sends it again after each error that permits a repetition. Raises CommandRejected."""
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
        """Ping until the connection ends; a silent connection counts as ended. `note` gets each reply."""
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
            self.abort()  # the client reconnects, and its next sync brings the dropped events

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
        if waiting is not None and event.get("verify"):  # the reply comes after the user has opened the mailed link
            waiting.pings = float("-inf")
            waiting.process(event)
        elif waiting is not None:
            del self._waiting[number]
            _complete(waiting, event)

    def _answered(self, reply: Members) -> int:
        """The id of the answered command: an error may lack the id, and then belongs to the only command that waits."""
        id = reply.get("re")
        if id is None and "error" in reply and len(self._waiting) == 1:
            return next(iter(self._waiting))
        return id if type(id) is int else 0

    def replied(self, reply: ServerReply, now: int) -> None:
        """Does nothing, because this client does not decode frames to replies."""

    def ended(self) -> None:
        if self.has_ended:
            return
        self.has_ended = True
        lost = self._lost()
        for waiting in self._waiting.values():
            if not waiting.future.done():
                waiting.future.set_exception(lost)
                # this marks the exception as read, because the caller may no longer wait for it
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
    """A random time from `seconds` to twice as long, so that clients do not reconnect at the same time."""
    return seconds * random.uniform(1, 2)  # noqa: S311


def _milliseconds(value: object) -> int | None:
    return round(min(max(value, 0), _DAY_MS)) if isinstance(value, int | float) else None


def _object(text: bytes) -> Members | None:
    """The members of a JSON object; None for any other text."""
    try:
        read = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return read if isinstance(read, dict) else None
