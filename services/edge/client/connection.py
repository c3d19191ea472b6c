"""The state of one client, sans-IO: from its first frame to its end, who it is, what waits for its turn.

Frames come in by `receive` and wait; `next_work` decodes and hands out the next one when the one before is answered,
so that replies keep request order. Rates are limited here, sizes in the dialects.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeGuard

from services.edge.canonical.commands import BEFORE_LOGIN, PostMessage
from services.edge.canonical.frames import Binary, Frame
from services.edge.dialects.base import (
    Action,
    ConnectionInfo,
    DecodeError,
    Dialect,
    Disconnect,
    LocalReply,
    Request,
)
from services.edge.dialects.registry import Dialects, UnknownDialect, detect
from services.edge.rate_limit import TokenBucket
from shared.contract.auth import Authenticated, Revocation
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.settings import Edge

_REFUSALS_PER_SECOND = 10
_REFUSALS_BURST = 200
_RUN = 64
"""Messages of one connection in one request, at most."""
_QUEUE_DELAY_LIMIT_SECONDS = 0.7
"""Whose messages wait so long each time is behind a queue that does not get shorter, not behind a stall."""

NOT_LOGGED_IN = Failure(ErrorCode.UNAUTHENTICATED, "log in first")
TOO_FAST = Failure(ErrorCode.RATE_LIMITED, "too many requests, slow down")
WAITED = Failure(ErrorCode.UNAVAILABLE, "too much is waiting, please try again")


class CloseConnection(Exception):
    """The connection must be closed with this WebSocket close code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Phase(Enum):
    OPENED = auto()
    AUTHENTICATED = auto()
    CLOSING = auto()


@dataclass(frozen=True, slots=True)
class RejectedFrame:
    """A frame that could not be understood, or a request over the rate, waiting to be answered in its turn."""

    failure: Failure
    request: Request | None = None
    context: Any = None


_TOO_LATE = RejectedFrame(WAITED)


@dataclass(frozen=True, slots=True)
class PendingVerification:
    """A registration or login that waits for its e-mail to be verified; `expires` on the caller's clock."""

    request: Request
    ticket: str
    expires: float


QueueItem = Action | RejectedFrame
Work = list[Request] | LocalReply | Disconnect | RejectedFrame


class Connection:
    """See the module. `number` is unique on this node; times are seconds of one monotonic clock. Without a `dialect`
    the first frame tells which of `dialects` it is."""

    __slots__ = (
        "_decoded", "_dialects", "_frames", "_overload_rounds", "_patience", "_refusals", "_requests", "_said_at",
        "account", "account_requests", "dialect", "first_valid", "issued", "number", "opened",
        "pending_verification", "phase", "queued_bytes", "revision", "sid", "surroundings", "token",
        "token_expires",
    )  # fmt: skip

    def __init__(
        self, number: int, dialect: Dialect | None, dialects: Dialects, surroundings: ConnectionInfo, now: float
    ) -> None:
        self.number = number
        self._dialects = dialects
        self.dialect = dialect
        self.surroundings = surroundings
        self.phase = Phase.OPENED
        self.opened = now
        self.first_valid: float | None = None
        self.account: AccountId = NO_ACCOUNT
        self.sid = ""
        self.token = ""
        """The last one that was found good for this login."""
        self.token_expires = 0
        """Unix seconds."""
        self.revision = 0
        self.issued: int | None = None
        self.pending_verification: PendingVerification | None = None
        self.account_requests: TokenBucket | None = None
        limits = surroundings.limits
        self._requests = TokenBucket(limits.requests_per_second, limits.requests_burst, now)
        self._refusals = TokenBucket(_REFUSALS_PER_SECOND, _REFUSALS_BURST, now)
        # Lists, since most connections have nothing that waits, and few have much.
        self._frames: list[tuple[Frame | None, float]] = []  # and when it came; None: over the rate, not kept
        self._decoded: list[QueueItem] = []
        self.queued_bytes = 0
        """Of the frames that wait."""
        self._said_at: float | None = None
        """When the last thing to do was handed out, if it was a run of messages."""
        self._overload_rounds = 0
        """So many runs, one after the other, were too long under way for what came meanwhile."""
        self._patience = math.inf

    # In

    def receive(self, frame: Frame, now: float) -> None:
        """Queues one frame. A binary frame belongs to an announced upload; any other is rejected when it is decoded.
        Raises CloseConnection when the connection cannot go on."""
        if self.phase is Phase.CLOSING:
            return
        if self.dialect is None:
            self.dialect = self._detect(frame)
        if not self.surroundings.limits.rates or isinstance(frame, Binary) or self._within_rates(now):
            self._frames.append((frame, now))
            self.queued_bytes += len(frame)
        elif self._refusals.take(now):
            self._frames.append((None, now))
        else:
            raise CloseConnection(1008, "too many requests")

    def requeue(self, request: Request) -> None:
        """A request that was withheld, or put back, comes before everything that waits."""
        self._decoded.insert(0, request)

    def add_requests(self, requests: Sequence[Request]) -> None:
        """Queues requests of the dialect's own, before the frames that wait."""
        if self.phase is not Phase.CLOSING:
            self._decoded += requests

    def _detect(self, frame: Frame) -> Dialect:
        try:
            return detect(frame, self._dialects)(self.surroundings)
        except UnknownDialect as error:
            raise CloseConnection(1003, str(error)) from error

    def _within_rates(self, now: float) -> bool:
        within = self._requests.take(now)
        return within and (self.account_requests is None or self.account_requests.take(now))

    # Out

    @property
    def queued(self) -> int:
        return len(self._frames) + len(self._decoded)

    def queue_exceeds(self, share: float, limits: Edge) -> bool:
        """Whether more than this share of what may wait does."""
        return self.queued_bytes > limits.incoming_bytes * share or self.queued > limits.incoming_frames * share

    def next_work(self, now: float, patience: float = math.inf) -> Work | None:
        """What to do next: a run of messages to one chat, one other request, a reply to write, or nothing. What has
        waited for more than `patience` seconds is refused: it would be answered too late, and late is what comes after
        it, too. Raises CloseConnection when the connection cannot go on.

        Frames are decoded here, not before: what they mean depends on who is logged in by then."""
        if not (self._frames or self._decoded):
            return None
        if self._said_at is not None:
            self._update_admission(now, self._said_at)
            self._said_at = None
        patience = min(patience, self._patience)
        turn = self._next_item(now, patience)
        if not isinstance(turn, Request):
            return turn
        if self.phase is not Phase.AUTHENTICATED and not turn.token and not isinstance(turn.command, BEFORE_LOGIN):
            return RejectedFrame(NOT_LOGGED_IN, turn)
        run = [turn]
        if isinstance(turn.command, PostMessage) and self.phase is Phase.AUTHENTICATED:
            while self.queued and len(run) < _RUN and (following := self._next_item(now, patience)) is not None:
                if not _says_on(following, turn):
                    self._decoded.insert(0, following)
                    break
                run.append(following)
            self._said_at = now
        return run

    def _update_admission(self, now: float, said_at: float) -> None:
        """After a run of messages. When what came meanwhile has waited too long again, more is said than can be taken,
        and only the newest of it is: the less, the longer it took. After a stall, all of it is."""
        waited = now - max(self._frames[0][1], said_at) if self._frames else 0.0
        self._overload_rounds = self._overload_rounds + 1 if waited > _QUEUE_DELAY_LIMIT_SECONDS else 0
        self._patience = _QUEUE_DELAY_LIMIT_SECONDS**2 / waited if self._overload_rounds > 1 else math.inf

    def _next_item(self, now: float, patience: float) -> QueueItem | None:
        if self.phase is Phase.CLOSING:
            return None
        while not self._decoded and self._frames:
            frame, came = self._frames.pop(0)
            if frame is None:
                return RejectedFrame(TOO_FAST)
            self.queued_bytes -= len(frame)
            if now - came > patience and not isinstance(frame, Binary):
                return _TOO_LATE
            turns = self._decode(frame, now)
            if len(turns) == 1:
                return turns[0]
            self._decoded += turns
        return self._decoded.pop(0) if self._decoded else None

    def _decode(self, frame: Frame, now: float) -> Sequence[QueueItem]:
        assert self.dialect is not None
        try:
            requests = self.dialect.decode(frame, now)
        except DecodeError as error:
            if isinstance(frame, Binary) and self.surroundings.limits.rates and not self._refusals.take(now):
                raise CloseConnection(1008, "too many requests") from error
            return [RejectedFrame(error.failure, context=error.context)]
        if self.first_valid is None:
            self.first_valid = now
        return requests

    # Login

    def logged_in(self, answer: Authenticated, account_requests: TokenBucket, issued: int | None = None) -> None:
        """`issued`: of the token that it is logged in by, Unix seconds; None: by a secret."""
        self.phase = Phase.AUTHENTICATED
        self.account, self.sid, self.revision = answer.account, answer.sid, answer.revision
        self.issued = issued
        self.account_requests = account_requests
        self.pending_verification = None

    def has_verified_token(self, request: Request, unix_seconds: int) -> bool:
        """Whether the request bears the token that was found good before, for the account it names, and in time."""
        same = request.token == self.token and request.account in (NO_ACCOUNT, self.account)
        return same and unix_seconds <= self.token_expires

    def is_ended_by(self, revocation: Revocation) -> bool:
        """Whether this login is void by it; what was heard of before the login is not."""
        if revocation.number <= self.revision:
            return False
        if revocation.sid:
            return revocation.sid == self.sid
        return self.issued is None or self.issued < revocation.time

    def logged_out(self) -> None:
        """Logged out; the connection goes on as if it had just been opened."""
        self.token = ""
        self.phase = Phase.OPENED
        self.account, self.sid = NO_ACCOUNT, ""
        self.account_requests = None

    def close(self) -> None:
        self.phase = Phase.CLOSING
        self._frames.clear()
        self._decoded.clear()
        self.queued_bytes = 0

    def timed_out(self, now: float, first_frame_seconds: float, unauthenticated_seconds: float) -> str:
        """Why a connection without a login is closed by now; empty while it may stay."""
        if self.phase is not Phase.OPENED:
            return ""
        if self.first_valid is None:
            return "no valid frame in time" if now - self.opened > first_frame_seconds else ""
        if self.pending_verification is not None:
            return ""
        return "not logged in for too long" if now - self.first_valid > unauthenticated_seconds else ""


def _says_on(turn: QueueItem, before: Request) -> TypeGuard[Request]:
    """Whether it is a message to the same chat, of which nothing is to be looked up. (A run to one chat alone cannot be
    answered out of order.)"""
    if not isinstance(turn, Request) or not isinstance(turn.command, PostMessage):
        return False
    command = before.command
    assert isinstance(command, PostMessage)
    same_chat = turn.command.chat == command.chat and turn.command.to == command.to
    return (
        same_chat
        and not (command.references_media or turn.command.references_media)
        and turn.token == before.token
        and turn.account == before.account
    )
