"""Publishes local connections' messages to the message service. Submissions of one event-loop tick share a request;
while several requests are in flight, those of 20 ms do. A congestion window bounds the messages in flight by how soon
they are answered. While replies still arrive, a submission queued for more than 1.5 s is rejected with RATE_LIMITED.

A draft is repeated with the same nonce until it is answered or its deadline has passed. It is reported as failed only
after the deadline and a second more, so that no replica commits a message that was reported as failed.
While the service has not answered for some seconds, new submissions are rejected at once, and are not sent. A
replica that shuts down or has lost its database replies UNAVAILABLE, and another replica is tried. A replica that is
overloaded is believed, and the senders get its error at once.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING, Protocol

from services.edge.rpc.failures import INTERNAL
from services.edge.upstream.congestion_window import CongestionWindow
from services.edge.upstream.outage import OutageDetector
from shared.bus.client import Bus, Unavailable
from shared.clock import steady_ms
from shared.contract import subjects
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId, ChatId, NodeId, Nonce
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.contract.model import ProfileSummary
from shared.tasks import Tasks
from shared.telemetry import log

if TYPE_CHECKING:
    from shared.tracing import Tracer

_log = log(__name__)
_SLACK_SECONDS = 1.0
_PAUSE_SECONDS = 0.15
_ATTEMPT_SECONDS = 2.0
_CONCURRENT_REQUESTS = 3
"""Requests in flight that keep the message service busy: one is fanned out, one is committed, one waits."""
_GATHER_SECONDS = 0.02
"""Submissions are gathered for so long meanwhile: a replica that does not reply delays others no longer."""
_REQUEST_DRAFTS = 512
_REQUEST_BYTES = 384 * 1024
"""A request at these limits gets no further submission; submissions are kept whole, to keep their order."""
_DRAFT_BYTES = 64
_SOON_SECONDS = 0.5
"""A request that takes longer has waited for others."""
_QUEUE_SECONDS = 1.5
"""A submission is queued no longer while others are answered."""
_NONCE_BITS = 2**63 - 1

OVERLOADED = Failure(ErrorCode.RATE_LIMITED, "too much is being said, please try again")
SERVICE_DOWN = Failure(ErrorCode.UNAVAILABLE, "messages cannot be stored at the moment, please try again later")
UNCONFIRMED = Failure(ErrorCode.UNAVAILABLE, "the message was not confirmed in time, please try again")


class Submitter(Protocol):
    """Receives the result of each draft that it submitted, unless it calls `done` before."""

    def confirmed(self, draft: Draft, posted: Posted) -> None:
        """It is committed."""

    def failed(self, draft: Draft, failure: Failure) -> None:
        """It is not, and will not be; without a reply, that is not known."""

    def crashed(self) -> None:
        """One of the above raised, which has been logged."""


class MessagePublisher:
    """`post` during a tick; `flush` at its end. After `longest_seconds`, and a moment, every draft has a result."""

    def __init__(self, bus: Bus, node: NodeId, request_seconds: float, tracer: "Tracer | None" = None) -> None:
        self._bus = bus
        self._tracer = tracer
        self._node = node
        self._seconds = request_seconds
        self.longest_seconds = request_seconds + _SLACK_SECONDS
        self._tasks = Tasks()
        self._queue: deque[tuple[float, list[Draft]]] = deque()
        """Submissions that are in no request yet, and since when."""
        self._in_flight: dict[Nonce, list[Draft]] = {}
        """The drafts of each unanswered request, by its first nonce."""
        self._window = CongestionWindow()
        self._outage = OutageDetector()
        self._timer: asyncio.TimerHandle | None = None
        self._submitters: dict[Nonce, Submitter] = {}
        """Of the drafts without a result."""
        self._nonces = count(secrets.randbits(62))

    def make_drafts(
        self, sender: AccountId, chat: ChatId, bodies: Iterable[bytes], face: ProfileSummary | None
    ) -> list[Draft]:
        deadline, nonces = int(steady_ms() + self._seconds * 1000), self._nonces
        return [Draft(sender, chat, Nonce(next(nonces) & _NONCE_BITS), deadline, body, face) for body in bodies]

    def post(self, submitter: Submitter, drafts: list[Draft], now: float) -> None:
        """Queue a connection's messages, in this order, for the next request. `now`: by the event loop's clock."""
        for draft in drafts:
            self._submitters[draft.nonce] = submitter
        self._queue.append((now, drafts))

    def done(self, nonce: Nonce) -> None:
        """It was delivered: it is not repeated, and its result is not passed on."""
        self._submitters.pop(nonce, None)

    def flush(self) -> None:
        """Begin a request, or gather submissions for a moment."""
        if self._outage.is_failing:
            self._reject_during_outage()
        if not self._queue:
            return
        if not self._is_busy():
            self._send_all()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._send_all)

    def _is_busy(self) -> bool:
        """Whether one more request would only wait. A request whose messages have all been delivered is done: its reply
        comes after them, and delays nobody."""
        busy = [batch for batch in self._in_flight.values() if any(draft.nonce in self._submitters for draft in batch)]
        return len(busy) >= _CONCURRENT_REQUESTS

    def _send_all(self) -> None:
        """As many requests as the window has room for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and self._window.has_room(len(self._queue[0][1])):
            self._send(self._next_batch())

    def _next_batch(self) -> list[Draft]:
        batch: list[Draft] = []
        size = 0
        while self._queue:
            drafts = self._queue[0][1]
            size += sum([len(draft.body) for draft in drafts]) + _DRAFT_BYTES * len(drafts)
            count = len(batch) + len(drafts)
            if batch and (count > _REQUEST_DRAFTS or size > _REQUEST_BYTES or not self._window.has_room(count)):
                break
            batch += drafts
            self._queue.popleft()
        return batch

    def _expire_queue(self) -> None:
        """Reject submissions that were queued too long while others were answered: they would wait ever longer."""
        latest = asyncio.get_running_loop().time() - _QUEUE_SECONDS
        while self._queue and self._queue[0][0] < latest:
            for draft in self._queue.popleft()[1]:
                self._fail(draft, OVERLOADED)

    def _reject_during_outage(self) -> None:
        now, accepted = asyncio.get_running_loop().time(), deque[tuple[float, list[Draft]]]()
        while self._queue:
            submission = self._queue.popleft()
            if self._outage.rejects(now):
                for draft in submission[1]:
                    self._fail(draft, SERVICE_DOWN)
            else:
                accepted.append(submission)
        self._queue = accepted

    def _send(self, batch: list[Draft]) -> None:
        self._window.sent(len(batch))
        self._in_flight[batch[0].nonce] = batch
        delivering = self._deliver(batch)
        if self._tracer is not None:
            delivering = self._tracer.begin("post", {"messages": len(batch)}).around(delivering)
        self._tasks.start(delivering, "post")
        asyncio.get_running_loop().call_soon(self._bus.flush)  # right after the task's first step, which publishes

    async def finish(self, timeout_seconds: float) -> None:
        """Send everything, whether there is room or not."""
        while self._queue:
            self._send(self._next_batch())
        await self._tasks.finish(timeout_seconds)

    async def _deliver(self, batch: list[Draft]) -> None:
        """Repeat drafts without an answer until the deadline, all in their order."""
        count, first, started = len(batch), batch[0].nonce, asyncio.get_running_loop().time()
        failure = UNCONFIRMED
        try:
            batch = await self._send_with_retry(batch)
        except RequestError as error:
            failure = error.failure
        except Exception:
            _log.exception("messages not posted")
            failure = INTERNAL
        del self._in_flight[first]
        for draft in batch:
            self._fail(draft, failure)
        soon = failure is UNCONFIRMED and asyncio.get_running_loop().time() - started < _SOON_SECONDS
        self._window.acknowledged(count, soon=soon, limited=bool(self._queue))
        self.flush()
        if failure is not UNCONFIRMED or not batch:
            self._expire_queue()

    async def _send_with_retry(self, batch: list[Draft]) -> list[Draft]:
        """Returns the drafts without an answer at the deadline. Raises RequestError, though not while an unanswered
        attempt may still be carried out."""
        deadline = asyncio.get_running_loop().time() + self.longest_seconds
        retried: tuple[ErrorCode, ...] = (ErrorCode.UNAVAILABLE,)
        while batch and (left := deadline - (began := asyncio.get_running_loop().time())) > 0:
            try:
                request, seconds = PostMessages(self._node, batch), min(left, _ATTEMPT_SECONDS)
                results = await self._bus.request(subjects.POST_MESSAGES, request, seconds=seconds)
            except Unavailable:
                self._outage.attempt_failed(began)
                retried = (ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED)
            except RequestError as error:
                self._note_answer(error.failure.code, began)
                if error.failure.code not in retried:
                    raise
            else:
                remaining = self._settle(batch, results)
                self._note_answer(ErrorCode.UNAVAILABLE if len(remaining) == len(batch) else None, began)
                batch = remaining
            batch = [draft for draft in batch if draft.nonce in self._submitters]
            if batch:
                await asyncio.sleep(_PAUSE_SECONDS)
        return batch

    def _note_answer(self, code: ErrorCode | None, began: float) -> None:
        """`code`: the error of the whole request, None if something of it was answered otherwise."""
        if code is ErrorCode.UNAVAILABLE:
            self._outage.attempt_failed(began)
        else:
            self._outage.answered()

    def _settle(self, batch: list[Draft], results: PostResults) -> list[Draft]:
        """Pass on the results; returns the drafts to be repeated."""
        again: list[Draft] = []
        for position, (draft, posted) in enumerate(zip(batch, results.posted, strict=True)):
            if posted is not None:
                self._confirm(draft, posted)
            elif (failure := results.failures[position]).code is ErrorCode.UNAVAILABLE:
                again.append(draft)
            else:
                self._fail(draft, failure)
        return again

    def _confirm(self, draft: Draft, posted: Posted) -> None:
        if submitter := self._submitters.pop(draft.nonce, None):
            try:
                submitter.confirmed(draft, posted)
            except Exception:
                _log.exception("result not handled")
                submitter.crashed()

    def _fail(self, draft: Draft, failure: Failure) -> None:
        if submitter := self._submitters.pop(draft.nonce, None):
            try:
                submitter.failed(draft, failure)
            except Exception:
                _log.exception("result not handled")
                submitter.crashed()
