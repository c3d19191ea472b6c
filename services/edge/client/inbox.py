"""The unprocessed input of one client: frames, and the requests decoded from them. The inbox limits rates, and the
dialects limit sizes. This module is pure: it does no I/O.

Frames over the rate are paced: each waits in the queue until the rate admits it, and counts as arrived at that time. A
connection is closed only when it sends another frame while `limits.requests_waiting` frames are paced. Before a login,
one burst of frames is the limit. A few frames, such as a PING, may overtake the paced frames (Dialect.overtakes).

A full queue stops the reading of its socket (backpressure), but only for a short time. Pongs, and requests behind
unread frames, arrive only while the socket is read. After this time, a full queue reads again, and stores a rejection
in place of each frame.

A frame is decoded just before it is processed, because its meaning depends on the account that is then logged in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.edge.canonical.commands import BEFORE_LOGIN, PostMessage, UploadCommand
from services.edge.canonical.frames import Binary, Frame
from services.edge.canonical.transport import Socket
from services.edge.client.connection import CloseConnection, Connection, Phase
from services.edge.dialects.base import TOO_MANY_REQUESTS, Action, DecodeError, Dialect, Disconnect, LocalReply, Request
from services.edge.dialects.registry import UnknownDialect, detect
from services.edge.rate_limit import TokenBucket
from shared.contract.errors import ErrorCode, Failure
from shared.settings.edge import EdgeSettings

TOO_FAST = Failure(ErrorCode.RATE_LIMITED, "too many requests, slow down", retry_ms=10_000)
NOT_LOGGED_IN = Failure(ErrorCode.UNAUTHENTICATED, "log in first")
WAITED = Failure(ErrorCode.UNAVAILABLE, "too many requests are waiting, please try again")

_BATCH_MESSAGES: Final = 64
"""The most messages of one connection in one request to the message service."""
_QUEUE_DELAY_LIMIT_SECONDS: Final = 0.7
"""If frames wait longer than this after two batches in a row, the queue is overloaded. After a single stall, frames
wait this long in one batch only."""
_REJECTIONS_PER_SECOND = 10
_REJECTIONS_BURST = 200
_FIRST_REJECTIONS = 20
"""How many rejections a new connection may cause at once. A flood of rejections costs the event loop milliseconds each
time."""
_OVERTAKING_PER_SECOND = 1
_OVERTAKING_BURST = 5
"""How many frames of a connection may overtake its paced frames. More of them would be a flood."""
_BEHIND_SECONDS = 1.5
"""The longest time that frames stay unread. The binary frames of an upload may stay unread longer, because they cannot
be rejected one by one."""
_EXCESS = 8
"""The most frames and rejections that wait while a full queue rejects frames, as a multiple of the limit of frames."""
_UNSENT_BYTES = 128 * 1024
"""While more bytes of replies than this are unsent, no further frames are read and rejected, because the client reads
too slowly."""


@dataclass(frozen=True, slots=True)
class RejectedFrame:
    """A frame that could not be decoded, or a request over the limits. It waits in the queue like other frames, so that
    its error reply keeps the order."""

    failure: Failure
    request: Request | None = None
    context: Any = None


class PostBatch:  # no named tuple or dataclass: their constructors stay interpreted in compiled modules
    """Messages to one chat, with the request of each message."""

    __slots__ = ("messages", "requests")

    def __init__(self, requests: list[Request], messages: list[PostMessage]) -> None:
        self.requests = requests
        self.messages = messages


QueueItem = Action | RejectedFrame
Work = PostBatch | Request | LocalReply | Disconnect | RejectedFrame


class ClientInbox:
    """Frames wait here until the request before them is answered, so that replies keep the order of requests. The
    caller takes one piece of work after the other with `next_work`."""

    __slots__ = (
        "_arrived", "_batch_started", "_before_login", "_behind_since", "_connection", "_has_rates", "_held",
        "_max_bytes", "_max_frames", "_max_paced", "_max_paced_before_login", "_overloaded_batches", "_overtaking",
        "_paced_since_tick", "_patience", "_rejections", "_rejects_excess", "_requests", "_socket",
        "decoded", "frames", "paced", "paused", "queued_bytes", "stopped", "waited",
    )  # fmt: skip

    def __init__(self, connection: Connection, socket: Socket, settings: EdgeSettings, now: float) -> None:
        self._connection = connection
        self._socket = socket
        limits = connection.info.limits
        self._has_rates = limits.rates
        self._max_frames, self._max_bytes = settings.incoming_frames, settings.incoming_bytes
        self._max_paced = limits.requests_waiting
        self._max_paced_before_login = min(limits.requests_waiting, limits.requests_burst)
        self._requests = TokenBucket(limits.requests_per_second, limits.requests_burst, now)
        self._before_login = TokenBucket(limits.requests_per_second, limits.requests_burst_before_login, now)
        self._rejections = TokenBucket(_REJECTIONS_PER_SECOND, _REJECTIONS_BURST, now)
        self._rejections.spend(_REJECTIONS_BURST - _FIRST_REJECTIONS)
        self._overtaking: TokenBucket | None = None
        """The rate of frames that overtake paced frames. Most connections have none."""
        # The queues are lists. Most connections have no waiting frames, and an empty list takes little memory.
        self.frames: list[tuple[Frame | RejectedFrame, float]] = []
        """The waiting frames, each with the time of its arrival. In place of a frame over the limits, its rejection is
        stored."""
        self.paced = 0
        """How many of the last frames are over the rate, or wait behind such frames."""
        self.decoded: list[QueueItem] = []
        """Items that are decoded already. They are handled before the frames."""
        self.queued_bytes = 0
        """The bytes of the frames that wait."""
        self.paused = False
        """Whether the socket is not read because too much waits."""
        self._behind_since: float | None = None
        """The time since which frames may have been unread."""
        self._rejects_excess = False
        """Whether a full queue rejects frames instead of leaving them unread."""
        self._paced_since_tick = 0
        """The number of frames over the rate since the last call of `on_timer`. When this number reaches the limit of
        frames, the socket is not read until the next call."""
        self.stopped = False
        """Whether the socket is not read any more."""
        self._batch_started: float | None = None
        """When the last piece of work was taken, if it was a batch of messages."""
        self._overloaded_batches = 0
        """The number of batches in succession during which frames waited too long."""
        self._patience = math.inf
        self._arrived = 0.0
        """When the last decoded frame arrived."""
        self._held: tuple[QueueItem, float] | None = None
        """The first item that did not belong to the last batch, and the time of its arrival."""
        self.waited = 0.0
        """The seconds that the first frame of the last piece of work spent in the queue."""

    @property
    def queued(self) -> int:
        return len(self.frames) + len(self.decoded)

    def receive(self, frame: Frame, now: float) -> None:
        """Queue one frame. A binary frame belongs to an announced upload. Any other binary frame is rejected when it is
        decoded. Raises CloseConnection when the connection cannot continue."""
        connection = self._connection
        if connection.phase is Phase.CLOSING:
            return
        if connection.dialect is None:
            connection.dialect = _detect(frame, connection)
        if isinstance(frame, Binary):
            self._rejects_excess = False
            self._store(frame, now)
        elif not self._has_rates or (not self.paced and self._within_rates(now)):
            excess = self._rejects_excess and self.queued >= self._max_frames
            self._store(_rejected(frame, connection.dialect) if excess else frame, now)
        elif connection.dialect.overtakes(frame) and self._may_overtake(now):
            self._store(frame, now, overtakes=True)
        else:
            self._pace(frame, connection.dialect, now)

    def admit(self, now: float) -> bool:
        """Whether the rate admits the first paced frame now. If so, the frame is paced no more. The connection's rate
        is also charged for each other connection of the account that has paced frames."""
        frame, account = self.frames[0][0], self._connection.account_requests
        if not isinstance(frame, Binary) and self._has_rates:
            others = 0 if account is None else account.others_paced(self._connection.number, now)
            if not self._within_rates(now):
                return False
            self._requests.spend(others)
        self.frames[0] = frame, now
        self.paced -= 1
        return True

    def requeue(self, request: Request) -> None:
        """Put a request that was taken, or did not fit into a batch, in front of all waiting requests."""
        self.decoded.insert(0, request)

    def add_actions(self, actions: Sequence[Action]) -> None:
        """Queue requests of the dialect itself, before the frames that wait."""
        if self._connection.phase is not Phase.CLOSING:
            self.decoded += actions

    def resume_reading(self) -> bool:
        """Read the socket again if half of the limit is free. Returns whether reading was paused until now."""
        if not self.paused or self.stopped or self._paced_since_tick >= self._max_frames or self._exceeds(0.5):
            return False
        self.paused = False
        self._socket.resume_reading()
        return True

    def stop_reading(self) -> None:
        """Read nothing more from this client."""
        self.stopped = True
        self._socket.pause_reading()

    def on_timer(self, now: float) -> None:
        """Read the socket again if its frames have been unread for too long. The timer calls this about every
        second."""
        self._paced_since_tick = 0
        if not (self.queued - self.paced or self.paused):
            self._behind_since, self._rejects_excess = None, False
        elif self._behind_since is not None and now - self._behind_since > _BEHIND_SECONDS:
            self._rejects_excess = not (self.frames and isinstance(self.frames[-1][0], Binary))
        self.resume_reading()

    def close(self) -> None:
        """Drop all waiting frames, and all frames that still arrive."""
        self._connection.phase = Phase.CLOSING
        self.clear()

    def clear(self) -> None:
        """Drops everything."""
        self.frames.clear()
        self.decoded.clear()
        self.queued_bytes = self.paced = 0

    def _pace(self, frame: Frame, dialect: Dialect, now: float) -> None:
        is_known = self._connection.account_requests is not None
        if self.paced >= (self._max_paced if is_known else self._max_paced_before_login):
            self.frames.append((_rejected(frame, dialect), now))
            raise CloseConnection(1008, TOO_MANY_REQUESTS)
        self._paced_since_tick += 1
        self._store(frame, now, is_paced=True)
        if self._paced_since_tick >= self._max_frames:
            self._pause()

    def _may_overtake(self, now: float) -> bool:
        if self._overtaking is None:
            self._overtaking = TokenBucket(_OVERTAKING_PER_SECOND, _OVERTAKING_BURST, now)
        return self._overtaking.take(now)

    def _store(
        self, frame: Frame | RejectedFrame, now: float, *, is_paced: bool = False, overtakes: bool = False
    ) -> None:
        """Queue a frame behind all others or, if it `overtakes`, before those that are paced."""
        if overtakes:
            self.frames.insert(len(self.frames) - self.paced, (frame, now))
        else:
            self.frames.append((frame, now))
            if self.paced or is_paced:
                self.paced += 1
        if not isinstance(frame, RejectedFrame):
            self.queued_bytes += len(frame)
        if not self.paused and self._exceeds(1.0):
            self._behind_since = now if self._behind_since is None else self._behind_since
            self._pause()

    def _pause(self) -> None:
        if not self.paused:
            self.paused = True
            self._socket.pause_reading()

    def _within_rates(self, now: float) -> bool:
        account_requests = self._connection.account_requests
        if account_requests is None:
            return self._before_login.take(now)
        if not self._requests.take(now):
            return False
        if account_requests.take(now):
            return True
        self._requests.spend(-1)
        return False

    def _exceeds(self, share: float) -> bool:
        """Whether the waiting frames take more than this share of the limits."""
        frames = self._max_frames
        if self._rejects_excess:
            frames *= _EXCESS
            if self._socket.unsent() > _UNSENT_BYTES:
                return True
        return self.queued_bytes > self._max_bytes * share or self.queued - self.paced > frames * share

    # Work

    def next_work(self, now: float, patience: float = math.inf) -> Work | None:
        """Return the next piece of work: messages to one chat, another request, or a reply to write. The result is None
        if all frames are paced or only stored. Frames that waited for more than `patience` seconds are rejected,
        because their replies would be late and would delay later replies. Raises CloseConnection when the connection
        cannot continue."""
        connection = self._connection
        if self._batch_started is not None:
            self._update_admission(now, self._batch_started)
            self._batch_started = None
        patience = min(patience, self._patience)
        self.waited = self._waiting(now)
        item = self._next_item(now, patience)
        if not isinstance(item, Request):
            return item
        if self._is_held(item) and self.waited > patience and not isinstance(item.command, UploadCommand):
            return RejectedFrame(WAITED, item)
        if (
            connection.phase is not Phase.AUTHENTICATED
            and not item.token
            and not isinstance(item.command, BEFORE_LOGIN)
        ):
            return RejectedFrame(NOT_LOGGED_IN, item)
        if not isinstance(command := item.command, PostMessage):
            return item
        return self._take_batch(item, command, now, patience)

    def _take_batch(self, first: Request, posted: PostMessage, now: float, patience: float) -> PostBatch:
        """Take the message, and the next messages if they go to the same chat. A message for which something must be
        looked up is a batch of its own."""
        requests, messages = [first], [posted]
        if self._connection.phase is not Phase.AUTHENTICATED:
            return PostBatch(requests, messages)
        is_alone = posted.references_media or posted.reply_to != 0
        while (
            (self.frames or self.decoded)
            and len(requests) < _BATCH_MESSAGES
            and (following := self._next_item(now, patience)) is not None
        ):
            message = None if is_alone else _continuation(following, first, posted)
            if message is None or not isinstance(following, Request):
                self.decoded.insert(0, following)
                self._held = following, self._arrived
                break
            requests.append(following)
            messages.append(message)
        self._batch_started = now
        return PostBatch(requests, messages)

    def reject_all(self, failure: Failure) -> Sequence[RejectedFrame]:
        """Empty the queue. Return the rejections of all requests that waited."""
        dialect = self._connection.dialect
        assert dialect is not None
        rejected = [RejectedFrame(failure, item) for item in self.decoded if isinstance(item, Request)]
        for frame, _ in self.frames:
            if isinstance(frame, RejectedFrame):
                rejected.append(frame)
            elif not isinstance(frame, Binary):
                rejected.append(RejectedFrame(failure, context=dialect.identify(frame)))
        self.clear()
        return rejected

    def _waiting(self, now: float) -> float:
        """The time that the next item has waited. It is 0 for a requeued item, and for a request of the dialect
        itself."""
        decoded, held = self.decoded, self._held
        if not decoded:
            return 0.0 if self.paced == len(self.frames) else now - self.frames[0][1]
        return now - held[1] if held is not None and self._is_held(decoded[0]) else 0.0

    def _is_held(self, item: QueueItem) -> bool:
        return self._held is not None and item is self._held[0]

    def _update_admission(self, now: float, batch_started: float) -> None:
        """Control overload after a batch of messages. If queued frames waited more than 0.7 s twice in a row, frames
        older than 0.7²/waited seconds are rejected. One slow batch (a stall) causes no rejection."""
        frames, paced = self.frames, self.paced
        waited = now - max(frames[0][1], batch_started) if paced < len(frames) else 0.0
        self._overloaded_batches = self._overloaded_batches + 1 if waited > _QUEUE_DELAY_LIMIT_SECONDS else 0
        self._patience = _QUEUE_DELAY_LIMIT_SECONDS**2 / waited if self._overloaded_batches > 1 else math.inf

    def _next_item(self, now: float, patience: float) -> QueueItem | None:
        if self._connection.phase is Phase.CLOSING:
            return None
        while not self.decoded and self.frames:
            if self.paced == len(self.frames) and not self.admit(now):
                return None
            frame, arrived = self.frames.pop(0)
            if isinstance(frame, RejectedFrame):
                return frame
            self._arrived = arrived
            self.queued_bytes -= len(frame)
            if now - arrived > patience and not isinstance(frame, Binary):
                assert self._connection.dialect is not None
                return RejectedFrame(WAITED, context=self._connection.dialect.identify(frame))
            items = self._decode(frame, now)
            if len(items) == 1:
                return items[0]
            self.decoded += items
        return self.decoded.pop(0) if self.decoded else None

    def _decode(self, frame: Frame, now: float) -> Sequence[QueueItem]:
        connection = self._connection
        assert connection.dialect is not None
        try:
            items = connection.dialect.decode(frame, now)
        except DecodeError as error:
            rates = connection.info.limits.rates
            if isinstance(frame, Binary) and rates and not self._rejections.take(now):
                raise CloseConnection(1008, TOO_MANY_REQUESTS) from error
            rejected = RejectedFrame(error.failure, context=error.context)
            return [rejected] if error.disconnect is None else [rejected, error.disconnect]
        if connection.first_valid is None:
            connection.first_valid = now
        return items


def _rejected(frame: Frame, dialect: Dialect) -> RejectedFrame:
    return RejectedFrame(TOO_FAST, context=dialect.identify(frame))


def _detect(frame: Frame, connection: Connection) -> Dialect:
    try:
        return detect(frame, connection.dialects)(connection.info)
    except UnknownDialect as error:
        raise CloseConnection(1003, str(error)) from error


def _continuation(item: QueueItem, first: Request, posted: PostMessage) -> PostMessage | None:
    """The message of the item, if this message goes to the same chat as `posted` and needs no lookup."""
    if not isinstance(item, Request) or not isinstance(command := item.command, PostMessage):
        return None
    continues = (
        command.chat == posted.chat
        and command.to == posted.to
        and not command.references_media
        and not command.reply_to
        and item.token == first.token
        and item.account == first.account
    )
    return command if continues else None
