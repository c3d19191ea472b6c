"""The unprocessed input of one client: frames, and the requests decoded from them. Rates are limited here, sizes in the
dialects. Sans-IO.

Frames over the rate are paced: they wait in their place until the rate admits them, and count as arrived then. Only a
client that goes on after `limits.requests_waiting` of them is closed; before a login, after as many as a burst.

Backpressure: a full queue stops the reading of its socket, but not for long, since pongs and the requests that wait
behind its unread frames are seen only by reading. Then a full queue stores a rejection in the place of each frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.edge.canonical.frames import Binary, Frame
from services.edge.canonical.transport import Socket
from services.edge.client.connection import CloseConnection, Connection, Phase
from services.edge.dialects.base import TOO_MANY_REQUESTS, Action, Dialect, Request
from services.edge.dialects.registry import UnknownDialect, detect
from services.edge.rate_limit import TokenBucket
from shared.contract.errors import ErrorCode, Failure
from shared.settings import EdgeSettings

TOO_FAST = Failure(ErrorCode.RATE_LIMITED, "too many requests, slow down", retry_ms=10_000)

_REJECTIONS_PER_SECOND = 10
_REJECTIONS_BURST = 200
_FIRST_REJECTIONS = 20
"""So many at once on a new connection: a flood of them costs the event loop milliseconds each time."""
_BEHIND_SECONDS = 1.5
"""Frames stay unread for no longer, except packages of an upload, which cannot be rejected one by one."""
_EXCESS = 8
"""Frames and rejections that wait, as a multiple of the limit of frames."""
_UNSENT_BYTES = 128 * 1024
"""While more replies are unsent, no further frames are rejected: the client does not read so fast."""


@dataclass(frozen=True, slots=True)
class RejectedFrame:
    """A frame that could not be decoded, or a request in excess, waiting for its error reply in its place."""

    failure: Failure
    request: Request | None = None
    context: Any = None


QueueItem = Action | RejectedFrame


class InboundQueue:
    """Frames wait here until the request before them is answered, so that replies keep request order."""

    __slots__ = (
        "_before_login", "_behind_since", "_connection", "_has_rates", "_max_bytes", "_max_frames", "_max_paced",
        "_max_paced_before_login", "_paced_in_tick", "_rejects_excess", "_requests", "_socket", "decoded", "frames",
        "paced", "paused", "queued_bytes", "rejections", "stopped",
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
        self.rejections = TokenBucket(_REJECTIONS_PER_SECOND, _REJECTIONS_BURST, now)
        self.rejections.spend(_REJECTIONS_BURST - _FIRST_REJECTIONS)
        # Lists, since most connections have nothing that waits, and few have much.
        self.frames: list[tuple[Frame | RejectedFrame, float]] = []
        """Each with the time of its arrival. One in excess is rejected and not stored."""
        self.paced = 0
        """So many of the last frames are over the rate, or wait behind those."""
        self.decoded: list[QueueItem] = []
        """These come before the frames."""
        self.queued_bytes = 0
        """Of the frames that wait."""
        self.paused = False
        """The socket is not read, since too much waits."""
        self._behind_since: float | None = None
        """Since when frames may have been unread."""
        self._rejects_excess = False
        """A full queue rejects frames instead of leaving them unread."""
        self._paced_in_tick = 0
        """Beyond the limit of frames, no more are read before the next tick."""
        self.stopped = False
        """The socket is not read any more."""

    @property
    def queued(self) -> int:
        return len(self.frames) + len(self.decoded)

    def receive(self, frame: Frame, now: float) -> None:
        """Queues one frame. A binary frame belongs to an announced upload; any other is rejected when it is decoded.
        Raises CloseConnection when the connection cannot go on."""
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
        else:
            self._pace(frame, connection.dialect, now)

    def admit(self, now: float) -> bool:
        """All frames that wait are paced: whether the rate admits the first one by now."""
        frame = self.frames[0][0]
        if not isinstance(frame, Binary) and self._has_rates and not self._within_rates(now):
            return False
        self.frames[0] = frame, now
        self.paced -= 1
        return True

    def requeue(self, request: Request) -> None:
        """A request that was held or did not fit goes before everything that waits."""
        self.decoded.insert(0, request)

    def add_requests(self, requests: Sequence[Request]) -> None:
        """Queues requests of the dialect's own, before the frames that wait."""
        if self._connection.phase is not Phase.CLOSING:
            self.decoded += requests

    def resume_reading(self) -> bool:
        """Reads the socket again if half of the limit is free; whether it was paused until now."""
        if not self.paused or self.stopped or self._paced_in_tick >= self._max_frames or self._exceeds(0.5):
            return False
        self.paused = False
        self._socket.resume_reading()
        return True

    def stop_reading(self) -> None:
        """For good."""
        self.stopped = True
        self._socket.pause_reading()

    def tick(self, now: float) -> None:
        """Called about every second: reads the socket again if its frames have been unread for too long."""
        self._paced_in_tick = 0
        if not (self.queued - self.paced or self.paused):
            self._behind_since, self._rejects_excess = None, False
        elif self._behind_since is not None and now - self._behind_since > _BEHIND_SECONDS:
            self._rejects_excess = not (self.frames and isinstance(self.frames[-1][0], Binary))
        self.resume_reading()

    def close(self) -> None:
        """Drops everything, and all that still comes."""
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
        self._paced_in_tick += 1
        self._store(frame, now, is_paced=True)
        if self._paced_in_tick >= self._max_frames:
            self._pause()

    def _store(self, frame: Frame | RejectedFrame, now: float, *, is_paced: bool = False) -> None:
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
        """Whether more than this share of the limits waits."""
        frames = self._max_frames
        if self._rejects_excess:
            frames *= _EXCESS
            if self._socket.unsent() > _UNSENT_BYTES:
                return True
        return self.queued_bytes > self._max_bytes * share or self.queued - self.paced > frames * share


def _rejected(frame: Frame, dialect: Dialect) -> RejectedFrame:
    return RejectedFrame(TOO_FAST, context=dialect.identify(frame))


def _detect(frame: Frame, connection: Connection) -> Dialect:
    try:
        return detect(frame, connection.dialects)(connection.info)
    except UnknownDialect as error:
        raise CloseConnection(1003, str(error)) from error
