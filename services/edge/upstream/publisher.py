"""Publishes local connections' messages to the message service: to the replica that owns the partition of their chat,
or to any. Submissions of one event-loop tick to one replica share a request; while several requests to it are in
flight, those of 20 ms do. A congestion window for each replica bounds the messages in flight by how soon they are
answered. While replies still arrive, a submission queued for more than 1.5 s is rejected with RATE_LIMITED.

A draft is repeated with the same nonce until it is answered or its deadline has passed. It is reported as failed only
after the deadline and a second more, so that no replica commits a message that was reported as failed. An owner that
does not reply within a fraction of a second is suspended, and the next one is tried.
While a database of the service has not answered for some seconds, new submissions to it are rejected at once, and are
not sent. A replica that shuts down or has lost its database replies UNAVAILABLE, and another replica is tried. A
replica that is overloaded is believed, and the senders get its error at once.
"""

import asyncio
import secrets
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

from services.edge.journal import MessageJournal
from services.edge.metrics import EdgeMetrics
from services.edge.rpc.failures import INTERNAL
from services.edge.upstream.lane import Lane
from services.edge.upstream.outage import OutageDetector
from services.edge.upstream.owners import ANY, MOST_SECONDS, Owners
from shared.bus.client import Bus
from shared.bus.failures import NoResponders, TooLarge, Unavailable
from shared.clock import steady_ms
from shared.contract import subjects
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import NodeId, Nonce
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.tasks import Tasks
from shared.telemetry import log, new_trace, trace

if TYPE_CHECKING:
    from shared.tracing import Tracer

_log = log(__name__)
_SLACK_SECONDS = 1.0
_PAUSE_SECONDS = 0.15
_ATTEMPT_SECONDS = 2.0
_GATHER_SECONDS = 0.02
"""Submissions are gathered for so long meanwhile: a replica that does not reply delays others no longer."""
_SOON_SECONDS = 0.5
"""A request that takes longer has waited for others."""
_QUEUE_SECONDS = 1.5
"""A submission is queued no longer while others are answered."""
NONCE_BITS: Final = 2**63 - 1

OVERLOADED = Failure(ErrorCode.RATE_LIMITED, "too much is being said, please try again")
SERVICE_DOWN = Failure(ErrorCode.UNAVAILABLE, "messages cannot be stored at the moment, please try again later")
UNCONFIRMED = Failure(ErrorCode.UNAVAILABLE, "the message was not confirmed in time, please try again")


class NotAcknowledged(Exception):
    """No message was acknowledged for some seconds, although some were sent."""


class Submitter(Protocol):
    """Receives the result of each draft that it submitted, unless it calls `done` before."""

    def confirmed(self, draft: Draft, posted: Posted, *, again: bool = False) -> None:
        """It is committed. `again`: an earlier request has committed it."""

    def failed(self, draft: Draft, failure: Failure) -> None:
        """It is not, and will not be; without a reply, that is not known."""

    def crashed(self) -> None:
        """One of the above raised, which has been logged."""


class MessagePublisher:
    """`post` during a tick; `flush` at its end. After `longest_seconds`, and a moment, every draft has a result."""

    def __init__(
        self,
        bus: Bus,
        node: NodeId,
        request_seconds: float,
        owners: Owners,
        metrics: EdgeMetrics,
        journal: MessageJournal,
        tracer: "Tracer | None" = None,
    ) -> None:
        self._bus = bus
        self._tracer = tracer
        self._node = node
        self._seconds = request_seconds
        self.longest_seconds = request_seconds + _SLACK_SECONDS
        self._owners = owners
        self._requests = metrics.posts
        self._journal = journal
        self._tasks = Tasks()
        self._lanes: dict[str, Lane] = {}
        """By receiver."""
        self._outage = OutageDetector()
        self._timer: asyncio.TimerHandle | None = None
        self._submitters: dict[Nonce, tuple[Draft, Submitter]] = {}
        """Of the drafts without a result. The request of a delivered draft may still be under way when its client posts
        another one with the same nonce."""
        self._nonces = count(secrets.randbits(62))

    def deadline(self, waited: float = 0.0) -> int:
        """Of drafts whose messages arrived `waited` seconds ago."""
        return int(steady_ms() + (self._seconds - waited) * 1000)

    def new_nonce(self) -> Nonce:
        """Of a draft that its client does not name."""
        return Nonce(next(self._nonces) & NONCE_BITS)

    def post(self, submitter: Submitter, drafts: list[Draft], now: float) -> None:
        """Queue a connection's messages to one chat, in this order, for the next request. `now`: by the event loop's
        clock."""
        for draft in drafts:
            self._submitters[draft.nonce] = draft, submitter
        owner = self._owners.owner(drafts[0].chat, now)
        lane = self._lanes.get(owner)
        if lane is None:
            self._lanes = {replica: lane for replica, lane in self._lanes.items() if not lane.is_idle}
            lane = self._lanes[owner] = Lane()
        lane.submit(drafts, now)

    def done(self, nonce: Nonce) -> None:
        """It was delivered: it is not repeated, and its result is not passed on."""
        self._submitters.pop(nonce, None)

    def is_posting(self, nonce: Nonce) -> bool:
        """Whether a draft with this nonce has no result yet."""
        return nonce in self._submitters

    async def check(self) -> None:
        """Of readiness. Raises NotAcknowledged."""
        if seconds := self._outage.seconds(asyncio.get_running_loop().time()):
            raise NotAcknowledged(f"no message was acknowledged for {seconds:.0f} s")

    def flush(self) -> None:
        """Begin requests, or gather submissions for a moment."""
        is_waiting = False
        for lane in self._lanes.values():
            if lane.has_queued:
                if self._outage.is_failing:
                    self._reject_during_outage(lane)
                if not lane.is_busy(self._submitters):
                    self._send_queued(lane)
                is_waiting = is_waiting or lane.has_queued
        if not is_waiting:
            self._cancel_timer()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._send_all)

    def _send_all(self) -> None:
        self._cancel_timer()
        for lane in self._lanes.values():
            self._send_queued(lane)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_queued(self, lane: Lane) -> None:
        """As many requests as the window has room for."""
        while lane.has_room():
            self._send(lane)

    def _expire_queue(self, lane: Lane) -> None:
        """Reject submissions that were queued too long while others were answered: they would wait ever longer."""
        for draft in lane.expire(asyncio.get_running_loop().time() - _QUEUE_SECONDS):
            self._fail(draft, OVERLOADED)

    def _reject_during_outage(self, lane: Lane) -> None:
        now = asyncio.get_running_loop().time()
        for since, drafts in lane.take_queue():
            if not self._outage.rejects(now):
                lane.submit(drafts, since)
                continue
            for draft in drafts:
                self._fail(draft, SERVICE_DOWN)

    def _send(self, lane: Lane) -> None:
        batch = lane.next_batch()
        delivering = self._deliver(lane, batch)
        if self._tracer is not None:
            delivering = self._tracer.begin("post", {"messages": len(batch)}).around(delivering)
        self._tasks.start(delivering, "post")
        asyncio.get_running_loop().call_soon(self._bus.flush)  # right after the task's first step, which publishes

    async def finish(self, timeout_seconds: float) -> None:
        """Send everything, whether there is room or not."""
        for lane in self._lanes.values():
            while lane.has_queued:
                self._send(lane)
        await self._tasks.finish(timeout_seconds)

    async def _deliver(self, lane: Lane, batch: list[Draft]) -> None:
        """Repeat drafts without an answer until the deadline, all in their order."""
        started, failure = asyncio.get_running_loop().time(), UNCONFIRMED
        remaining = batch
        if self._tracer is None:
            trace.set(new_trace())  # of this task
        self._journal.requested(trace.get(), [draft.nonce for draft in batch])
        try:
            remaining = await self._send_in_parts(batch)
        except RequestError as error:
            failure = error.failure
        except Exception:
            _log.exception("messages not posted")
            failure = INTERNAL
        for draft in remaining:
            self._fail(draft, failure)
        soon = failure is UNCONFIRMED and asyncio.get_running_loop().time() - started < _SOON_SECONDS
        lane.answered(batch, soon=soon)
        self.flush()
        if failure is not UNCONFIRMED or not remaining:
            self._expire_queue(lane)

    async def _send_in_parts(self, batch: list[Draft]) -> list[Draft]:
        """A batch that NATS has no room for is divided; the parts are sent one after the other, to keep the order."""
        try:
            return await self._send_with_retry(batch)
        except TooLarge as error:
            if len(batch) == 1:
                self._fail(batch[0], error.failure)
                return []
        half = len(batch) // 2
        return [*await self._send_in_parts(batch[:half]), *await self._send_in_parts(batch[half:])]

    async def _send_with_retry(self, batch: list[Draft]) -> list[Draft]:
        """Returns the drafts without an answer at the deadline. Raises RequestError, though not while an unanswered
        attempt may still be carried out."""
        loop, outage = asyncio.get_running_loop(), self._outage
        left = (max([draft.deadline for draft in batch]) - steady_ms()) / 1000
        deadline = loop.time() + left + _SLACK_SECONDS
        retried: tuple[ErrorCode, ...] = (ErrorCode.UNAVAILABLE,)
        owner, attempt = self._owners.owner(batch[0].chat, loop.time()), "owner"
        while batch and (left := deadline - (began := loop.time())) > 0:
            previous, posted, silent = owner, False, False
            try:
                results = await self._request(owner, attempt, batch, left)
            except Unavailable:
                outage.attempt_failed(began)
                retried, silent = (ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED, ErrorCode.TOO_LARGE), True
            except RequestError as error:
                _note_answer(outage, error.failure.code, began)
                if error.failure.code not in retried:
                    raise
            else:
                remaining = self._settle(batch, results)
                posted = len(remaining) < len(batch)
                _note_answer(outage, None if posted else ErrorCode.UNAVAILABLE, began)
                batch = remaining
            batch = [draft for draft in batch if self._submitters.get(draft.nonce, (None,))[0] is draft]
            if batch and not posted:
                owner, attempt = self._owners.after(batch[0].chat, owner, loop.time()), "other"
            if batch and not (silent and owner != previous):
                await asyncio.sleep(_PAUSE_SECONDS)
        return batch

    async def _request(self, owner: str, attempt: str, batch: list[Draft], left: float) -> PostResults:
        """Send one request, to a queue group if `owner` is no replica. Raises RequestError."""
        request, loop = PostMessages(self._node, batch), asyncio.get_running_loop()
        if owner == ANY:
            self._requests.labels("any").inc()
            return await self._bus.request(subjects.POST_MESSAGES, request, seconds=min(left, _ATTEMPT_SECONDS))
        self._requests.labels(attempt).inc()
        requesting = self._tasks.start(self._request_owner(owner, request, min(left, MOST_SECONDS)), "post to owner")
        loop.call_soon(self._bus.flush)  # right after the task's first step, which publishes
        if not (await asyncio.wait({requesting}, timeout=self._owners.seconds(owner)))[0]:
            self._owners.silent(owner, loop.time())
            requesting.add_done_callback(partial(self._settle_late, batch))
            raise Unavailable(subjects.post(owner).label)
        results: PostResults | RequestError = requesting.result()
        if isinstance(results, RequestError):
            raise results
        return results

    async def _request_owner(self, owner: str, request: PostMessages, seconds: float) -> PostResults | RequestError:
        """Is never cancelled for being late: the reply still counts, and shows that the owner lives."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            results = await self._bus.request(subjects.post(owner), request, seconds=seconds, wait_for_service=False)
        except NoResponders as error:
            self._owners.gone(owner, loop.time())
            return error
        except Unavailable as error:
            self._owners.silent(owner, loop.time())
            return error
        except RequestError as error:
            return error
        self._owners.replied(owner, loop.time() - began)
        return results

    def _settle_late(self, batch: list[Draft], requesting: "asyncio.Task[PostResults | RequestError]") -> None:
        """Pass on what an owner has committed whose reply came late; the rest is under way to another replica."""
        if (
            requesting.cancelled()
            or requesting.exception() is not None
            or isinstance(results := requesting.result(), RequestError)
        ):
            return
        for position, (draft, posted) in enumerate(zip(batch, results.posted, strict=True)):
            if posted is not None:
                self._confirm(draft, posted, again=position in results.again)

    def _settle(self, batch: list[Draft], results: PostResults) -> list[Draft]:
        """Pass on the results; returns the drafts to be repeated."""
        again: list[Draft] = []
        for position, (draft, posted) in enumerate(zip(batch, results.posted, strict=True)):
            if posted is not None:
                self._confirm(draft, posted, again=position in results.again)
            elif (failure := results.failures[position]).code is ErrorCode.UNAVAILABLE:
                again.append(draft)
            else:
                self._fail(draft, failure)
        return again

    def _confirm(self, draft: Draft, posted: Posted, *, again: bool) -> None:
        if submitter := self._take_submitter(draft):
            try:
                submitter.confirmed(draft, posted, again=again)
            except Exception:
                _log.exception("result not handled")
                submitter.crashed()

    def _fail(self, draft: Draft, failure: Failure) -> None:
        if submitter := self._take_submitter(draft):
            try:
                submitter.failed(draft, failure)
            except Exception:
                _log.exception("result not handled")
                submitter.crashed()

    def _take_submitter(self, draft: Draft) -> Submitter | None:
        """None if it has its result."""
        posted, submitter = self._submitters.get(draft.nonce, (None, None))
        if posted is not draft:
            return None
        del self._submitters[draft.nonce]
        return submitter


def _note_answer(outage: OutageDetector, code: ErrorCode | None, began: float) -> None:
    """`code`: the error of the whole request, None if something of it was answered otherwise."""
    if code is ErrorCode.UNAVAILABLE:
        outage.attempt_failed(began)
    else:
        outage.answered()
