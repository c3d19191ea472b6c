"""A client's connection without a socket: operations of the dialect native and their replies, in order."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import msgspec

from services.edge.canonical.frames import Frame
from services.edge.canonical.transport import Endpoint, Handshake, Socket
from shared.contract.errors import ErrorCode, RequestError

_REPLY = b'{"re":'
_SYNCED = tuple(b'{"ev":"%b"' % name for name in (b"message", b"changed", b"chat", b"gone"))
_STATE_EVENTS = tuple(
    b'{"ev":"%b"' % name for name in (b"renamed", b"settings", b"role", b"member", b"profile", b"read", b"mute")
)
_IDLE_SECONDS = 60.0
_WAITING_OPERATIONS = 64
_WAITING_POLLS = 8


class _Error(msgspec.Struct):
    code: str


class _ErrorReply(msgspec.Struct):
    error: _Error | None = None


@dataclass(frozen=True)
class OperationReply:
    """`frame`: the reply as native has it. `events`: those that belong to it."""

    frame: bytes
    events: list[bytes]

    @property
    def result(self) -> dict[str, msgspec.Raw]:
        """The members without `re`."""
        members = msgspec.json.decode(self.frame, type=dict[str, msgspec.Raw])
        del members["re"]
        return members

    @cached_property
    def error_code(self) -> str | None:
        """If the reply is an error. The reply to a login is asked at each later request."""
        error = msgspec.json.decode(self.frame, type=_ErrorReply).error
        return None if error is None else error.code


class OperationConnection(Socket):
    """Ends a minute after the last operation; then, or before, `ended` is called. Events are dropped, but for those
    that belong to a reply."""

    ends_when_idle = True

    def __init__(
        self, endpoint: Endpoint, handshake: Handshake, ended: Callable[["OperationConnection"], None]
    ) -> None:
        self.sent_bytes = 0
        self.pushes = 0
        """Events of messages, changes and chats, which a `sync` would have."""
        self.state_pushes = 0
        """Events of what changes the state of a chat, which a `sync` with states would have."""
        self._loop = asyncio.get_running_loop()
        self._ended = ended
        self._waiting: deque[asyncio.Future[OperationReply]] = deque()
        self._polls: dict[asyncio.Future[None], bool] = {}
        """Whether each of them is of a `sync` with states."""
        self._idle: asyncio.TimerHandle | None = None
        self._has_ended_input = False
        self._is_closed = False
        self._handler = endpoint.connected(handshake, self)

    def perform(self, operation: str, members: bytes) -> asyncio.Future[OperationReply]:
        """`members`: the JSON object of the parameters. Raises RequestError."""
        command = _command(operation, members)
        if len(self._waiting) >= _WAITING_OPERATIONS:
            raise RequestError(ErrorCode.RATE_LIMITED, f"at most {_WAITING_OPERATIONS} requests at the same time")
        if self._idle is not None:
            self._idle.cancel()
        if self.ends_when_idle:
            self._idle = self._loop.call_later(_IDLE_SECONDS, self.end_input)
        reply: asyncio.Future[OperationReply] = self._loop.create_future()
        self._waiting.append(reply)
        if self._is_closed:
            self._loop.call_soon(self._reply_unknown, "the connection is closed")
        else:
            self._handler.frame_received(command)
        return reply

    def end_input(self) -> None:
        """The connection closes once all operations are answered."""
        self._ended(self)
        if not (self._has_ended_input or self._is_closed):
            self._has_ended_input = True
            self._handler.input_ended()

    def news(self, *, states: bool) -> int:
        """The number of events that a `sync` would have, with states or without."""
        return self.pushes + (self.state_pushes if states else 0)

    async def until_pushed(self, before: int, seconds: float, *, states: bool) -> None:
        """Until `news` is not `before` any more, or the connection closes. Raises RequestError if too many wait."""
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
        """Called with each event that belongs to no reply. Drops it."""
        if event.startswith(_SYNCED):
            self.pushes += 1
            self.end_polls()
        elif event.startswith(_STATE_EVENTS):
            self.state_pushes += 1
            self.end_polls(with_states_only=True)

    # The socket

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
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(reply)

    def ping(self) -> None:
        self._loop.call_soon(self._pong)

    def _pong(self) -> None:
        if not self._is_closed:
            self._handler.pong_received()

    def count_as_flood(self) -> None:
        """The HTTP server limits the requests of an address."""

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
        """To all that wait."""
        text = f"{reason}; repeat the request, a message with the same nonce"
        error = {"code": ErrorCode.UNAVAILABLE, "text": text, "unknown": True}
        frame = msgspec.json.encode({"re": None, "error": error})
        self.send((frame,) * len(self._waiting))

    def pause_reading(self) -> None:
        """The number of waiting operations is limited."""

    def resume_reading(self) -> None: ...

    def unsent(self) -> int:
        return 0

    def unacknowledged(self) -> int | None:
        return 0


def _command(operation: str, members: bytes) -> bytes:
    """One frame. The dialect rejects keys that come twice, and whatever is no object. Raises RequestError."""
    try:
        members.decode()
    except UnicodeDecodeError as error:
        raise RequestError(ErrorCode.INVALID, "the body is not UTF-8") from error
    opening, rest = members[:1], members[1:].lstrip()
    if opening != b"{":
        raise RequestError(ErrorCode.INVALID, "the body is a JSON object")
    separator = b"" if rest.startswith(b"}") else b","
    return b'{"op":"%b","id":0%b%b' % (operation.encode(), separator, rest)
