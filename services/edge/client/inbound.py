"""The unprocessed input of one client: frames, and the requests decoded from them. Rates are limited here, sizes in the
dialects. Backpressure: a full queue stops the reading of its socket. Sans-IO."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.edge.canonical.frames import Binary, Frame
from services.edge.canonical.transport import Socket
from services.edge.client.connection import CloseConnection, Connection, Phase
from services.edge.dialects.base import Action, Dialect, Request
from services.edge.dialects.registry import UnknownDialect, detect
from services.edge.rate_limit import TokenBucket
from shared.contract.errors import Failure
from shared.settings import EdgeSettings

_REJECTIONS_PER_SECOND = 10
_REJECTIONS_BURST = 200


@dataclass(frozen=True, slots=True)
class RejectedFrame:
    """A frame that could not be decoded, or a request over the rate, waiting for its error reply in its place."""

    failure: Failure
    request: Request | None = None
    context: Any = None


QueueItem = Action | RejectedFrame


class InboundQueue:
    """Frames wait here until the request before them is answered, so that replies keep request order. While too much
    waits, the socket is not read."""

    __slots__ = (
        "_connection", "_requests", "_settings", "_socket", "decoded", "frames", "paused", "queued_bytes",
        "rejections",
    )  # fmt: skip

    def __init__(self, connection: Connection, socket: Socket, settings: EdgeSettings, now: float) -> None:
        self._connection = connection
        self._socket = socket
        self._settings = settings
        limits = connection.info.limits
        self._requests = TokenBucket(limits.requests_per_second, limits.requests_burst, now)
        self.rejections = TokenBucket(_REJECTIONS_PER_SECOND, _REJECTIONS_BURST, now)
        # Lists, since most connections have nothing that waits, and few have much.
        self.frames: list[tuple[Frame | None, float]] = []
        """Each with the time of its arrival; None: over the rate, not stored."""
        self.decoded: list[QueueItem] = []
        """These come before the frames."""
        self.queued_bytes = 0
        """Of the frames that wait."""
        self.paused = False
        """The socket is not read, since too much waits."""

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
        if not connection.info.limits.rates or isinstance(frame, Binary) or self._within_rates(now):
            self.frames.append((frame, now))
            self.queued_bytes += len(frame)
        elif self.rejections.take(now):
            self.frames.append((None, now))
        else:
            raise CloseConnection(1008, "too many requests")
        if not self.paused and self._exceeds(1.0):
            self.paused = True
            self._socket.pause_reading()

    def requeue(self, request: Request) -> None:
        """A request that was held or did not fit goes before everything that waits."""
        self.decoded.insert(0, request)

    def add_requests(self, requests: Sequence[Request]) -> None:
        """Queues requests of the dialect's own, before the frames that wait."""
        if self._connection.phase is not Phase.CLOSING:
            self.decoded += requests

    def resume_reading(self) -> bool:
        """Reads the socket again if half of the limit is free; whether it was paused until now."""
        if not self.paused or self._exceeds(0.5):
            return False
        self.paused = False
        self._socket.resume_reading()
        return True

    def close(self) -> None:
        """Drops everything, and all that still comes."""
        self._connection.phase = Phase.CLOSING
        self.frames.clear()
        self.decoded.clear()
        self.queued_bytes = 0

    def _within_rates(self, now: float) -> bool:
        account_requests = self._connection.account_requests
        return self._requests.take(now) and (account_requests is None or account_requests.take(now))

    def _exceeds(self, share: float) -> bool:
        """Whether more than this share of the limits waits."""
        settings = self._settings
        return self.queued_bytes > settings.incoming_bytes * share or self.queued > settings.incoming_frames * share


def _detect(frame: Frame, connection: Connection) -> Dialect:
    try:
        return detect(frame, connection.dialects)(connection.info)
    except UnknownDialect as error:
        raise CloseConnection(1003, str(error)) from error
