"""The connection of a client without a socket. It performs operations of the dialect native, and finds the reply to
each operation by its id."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import msgspec

from services.edge.canonical.frames import Frame
from services.edge.canonical.transport import Endpoint, Handshake, Socket
from shared.contract.errors import ErrorCode, RequestError
from shared.telemetry import new_trace

_REPLY = b'{"re":'
_REPLY_ID = re.compile(rb'\{"re":(\d+)').match
_SYNCED = tuple(b'{"ev":"%b"' % name for name in (b"message", b"changed", b"chat", b"gone"))
_STATE_EVENTS = tuple(
    b'{"ev":"%b"' % name
    for name in (
        b"renamed", b"settings", b"role", b"member", b"profile", b"read", b"mute", b"place", b"draft", b"own_settings",
        b"friend", b"request",
    )
)  # fmt: skip
_IDLE_SECONDS = 60.0
_WAITING_OPERATIONS = 64
_WAITING_POLLS = 8


class ReplyError(msgspec.Struct):
    code: str
    retry_ms: int = 0


class _ErrorReply(msgspec.Struct):
    error: ReplyError | None = None


@dataclass(frozen=True)
class OperationReply:
    """A reply in native's form (`frame`), and the events that belong to it (`events`)."""

    frame: bytes
    events: list[bytes]

    @property
    def result(self) -> dict[str, msgspec.Raw]:
        """The members of the reply, without `re`."""
        members = msgspec.json.decode(self.frame, type=dict[str, msgspec.Raw])
        del members["re"]
        return members

    @cached_property
    def error(self) -> ReplyError | None:
        """The error in the reply, or None if it has none. The value is cached, because each later request of the
        connection reads it in the reply to the login."""
        return msgspec.json.decode(self.frame, type=_ErrorReply).error


class OperationConnection(Socket):
    """The connection ends a minute after its last operation, or earlier. `ended` is called when it ends. Events are
    dropped, except those that belong to a reply."""

    ends_when_idle = True

    def __init__(
        self, endpoint: Endpoint, handshake: Handshake, ended: Callable[["OperationConnection"], None]
    ) -> None:
        self.sent_bytes = 0
        self.pushes = 0
        """The number of events about messages, changes and chats. A `sync` would return these."""
        self.state_pushes = 0
        """The number of events that change the state of a chat or of a list. A `sync` with states would return
        these."""
        self._loop = asyncio.get_running_loop()
        self._ended = ended
        self._waiting: dict[int, asyncio.Future[OperationReply]] = {}
        """The commands that wait for a reply, by id, oldest first."""
        self._ids = count(1)
        self._polls: dict[asyncio.Future[None], bool] = {}
        """The `sync` commands whose reply waits for events, and whether each of them has states."""
        self._idle: asyncio.TimerHandle | None = None
        self._has_ended_input = False
        self._is_closed = False
        self._handler = endpoint.connected(handshake, self)

    def perform(self, operation: str, members: bytes) -> asyncio.Future[OperationReply]:
        """Perform an operation. `members`: the JSON object with the parameters. Raises RequestError."""
        number = next(self._ids)
        command = _command(operation, number, members)
        if len(self._waiting) >= _WAITING_OPERATIONS:
            raise RequestError(ErrorCode.RATE_LIMITED, f"at most {_WAITING_OPERATIONS} requests at the same time")
        if self._idle is not None:
            self._idle.cancel()
        if self.ends_when_idle:
            self._idle = self._loop.call_later(_IDLE_SECONDS, self.end_input)
        reply: asyncio.Future[OperationReply] = self._loop.create_future()
        self._waiting[number] = reply
        if self._is_closed:
            self._loop.call_soon(self._reply_unknown, "the connection is closed")
        else:
            self._handler.frame_received(command)
        return reply

    def end_input(self) -> None:
        """Close the connection once all its operations are answered."""
        self._ended(self)
        if not (self._has_ended_input or self._is_closed):
            self._has_ended_input = True
            self._handler.input_ended()

    def news(self, *, states: bool) -> int:
        """The number of events since the beginning that a `sync` would return. `states`: whether the `sync` has
        states."""
        return self.pushes + (self.state_pushes if states else 0)

    async def until_pushed(self, before: int, seconds: float, *, states: bool) -> None:
        """Wait until `news` differs from `before`, or the connection closes. Raises RequestError if too many requests
        wait."""
        if self.news(states=states) != before or self._is_closed:
            return
        if len(self._polls) >= _WAITING_POLLS:
            raise RequestError(ErrorCode.RATE_LIMITED, f"at most {_WAITING_POLLS} requests wait at the same time")
        waiting: asyncio.Future[None] = self._loop.create_future()
        self._polls[waiting] = states
        try:
            await asyncio.wait((waiting,), timeout=seconds)
        finally:
            del self._polls[waiting]

    def end_polls(self, *, with_states_only: bool = False) -> None:
        for waiting, has_states in self._polls.items():
            if not waiting.done() and (has_states or not with_states_only):
                waiting.set_result(None)

    def pushed(self, event: bytes) -> None:
        """Count an event that belongs to no reply, and drop it."""
        if event.startswith(_SYNCED):
            self.pushes += 1
            self.end_polls()
        elif event.startswith(_STATE_EVENTS):
            self.state_pushes += 1
            self.end_polls(with_states_only=True)

    # The socket

    @property
    def drops_events(self) -> bool:
        return True

    def send(self, frames: tuple[Frame, ...]) -> None:
        replies: list[OperationReply] = []
        for frame in frames:
            self.sent_bytes += len(frame)
            if isinstance(frame, bytes) and frame.startswith(_REPLY):
                replies.append(OperationReply(frame, []))
            elif isinstance(frame, bytes) and replies:
                replies[-1].events.append(frame)
            elif isinstance(frame, bytes):
                self.pushed(frame)
        for reply in replies:
            waiting = self._waiting.pop(self._id_of(reply.frame), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(reply)

    def _id_of(self, reply: bytes) -> int:
        """The id of a reply. A reply without an id belongs to the waiting command if there is only one, and otherwise
        to none."""
        found = _REPLY_ID(reply)
        number = 0 if found is None else int(found[1])
        return next(iter(self._waiting)) if number not in self._waiting and len(self._waiting) == 1 else number

    def ping(self) -> None:
        self._loop.call_soon(self._pong)

    def _pong(self) -> None:
        if not self._is_closed:
            self._handler.pong_received()

    def count_as_flood(self) -> None:
        """Do nothing here, because the HTTP server limits the requests of an address."""

    def close(self, code: int, reason: str) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.call_soon(self._end, reason)

    def abort(self) -> None:
        self.close(1006, "the connection was aborted")

    def _end(self, reason: str) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._reply_unknown(reason)
        self.end_polls()
        self._ended(self)
        self._handler.peer_closing()
        self._handler.closed()

    def _reply_unknown(self, reason: str) -> None:
        """Answer all waiting operations with an error. It is unknown whether they had an effect."""
        self.send(tuple([unknown_result(reason, number).frame for number in self._waiting]))

    def pause_reading(self) -> None:
        """Do nothing here, because the number of waiting operations is limited."""

    def resume_reading(self) -> None: ...

    def unsent(self) -> int:
        return 0

    def unacknowledged(self) -> int | None:
        return 0


def unknown_result(reason: str, number: int = 0) -> OperationReply:
    """The reply to an operation that may have had an effect."""
    text = f"{reason}; repeat the request, a message with the same nonce"
    error = {"code": ErrorCode.UNAVAILABLE, "text": text, "retry_ms": 1000, "unknown": True, "request": new_trace()}
    return OperationReply(msgspec.json.encode({"re": number, "error": error}), [])


def _command(operation: str, number: int, members: bytes) -> bytes:
    """Encode an operation as one frame. The dialect will reject repeated keys and values that are no object. Raises
    RequestError."""
    try:
        members.decode()
    except UnicodeDecodeError as error:
        raise RequestError(ErrorCode.INVALID, "the body must be UTF-8") from error
    opening, rest = members[:1], members[1:].lstrip()
    if opening != b"{":
        raise RequestError(ErrorCode.INVALID, "the body must be a JSON object")
    separator = b"" if rest.startswith(b"}") else b","
    return b'{"op":"%b","id":%d%b%b' % (operation.encode(), number, separator, rest)
