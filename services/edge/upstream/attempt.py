"""Attempts to post a batch of drafts: one batch's way to the message service, until it is answered or its deadline has
passed.

A draft is repeated with the same nonce. It is reported as failed only after the deadline and a second more, so that no
replica commits a message that was reported as failed. A leader that does not reply within a fraction of a second is
suspended, and the next one is tried. A replica that shuts down or has lost its database replies UNAVAILABLE, and
another replica is tried. A replica that is overloaded is believed, and the senders get its error at once.
"""

import asyncio
import time
from functools import partial
from typing import Protocol

from services.edge.journal import MessageJournal
from services.edge.metrics import EdgeMetrics
from services.edge.upstream.owners import ANY, MOST_SECONDS, Owners
from shared.bus.client import Bus
from shared.bus.failures import NoResponders, TooLarge, Unavailable
from shared.clock import STARTED_MS
from shared.contract import subjects
from shared.contract.errors import INTERNAL_ERROR, ErrorCode, Failure, RequestError
from shared.contract.ids import NodeId, Nonce
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.tasks import Tasks
from shared.telemetry import log, trace

_log = log(__name__)
_SLACK_SECONDS = 1.0
_PAUSE_SECONDS = 0.15
_ATTEMPT_SECONDS = 2.0
_OUTAGE_SECONDS = 4.0
"""A restart, or the death of one of several replicas, takes less."""
_PROBE_SECONDS = 1.0
_FORGOTTEN_SECONDS = 30.0
"""Without further attempts nobody knows whether the service is still away."""

CONCURRENT = Failure(ErrorCode.UNAVAILABLE, "another connection sends this message just now, please try again")
UNCONFIRMED = Failure(ErrorCode.UNAVAILABLE, "the message was not confirmed in time, please try again")


class Submitter(Protocol):
    """Receives the result of each draft that it submitted, unless it calls `done` before."""

    def confirmed(self, draft: Draft, posted: Posted, *, again: bool = False) -> None:
        """It is committed. `again`: an earlier request has committed it."""

    def failed(self, draft: Draft, failure: Failure) -> None:
        """It is not, and will not be; without a reply, that is not known."""

    def crashed(self) -> None:
        """One of the above raised, which has been logged."""


class PendingPosts:
    """The drafts without a result, and their submitters."""

    def __init__(self) -> None:
        self._submitters: dict[Nonce, tuple[Draft, Submitter]] = {}
        """The request of a delivered draft may still be under way when its client posts another one with the same
        nonce."""

    def __contains__(self, nonce: Nonce) -> bool:
        return nonce in self._submitters

    def add(self, drafts: list[Draft], submitter: Submitter) -> list[Draft]:
        """Returns those that may be posted. The others fail: another connection of the account is posting them just
        now, under the same name."""
        accepted: list[Draft] = []
        rejected: list[Draft] = []
        for draft in drafts:
            if draft.nonce in self._submitters:
                rejected.append(draft)
            else:
                self._submitters[draft.nonce] = draft, submitter
                accepted.append(draft)
        for draft in rejected:
            _pass_failure(submitter, draft, CONCURRENT)
        return accepted

    def done(self, nonce: Nonce) -> None:
        """It was delivered: it is not repeated, and its result is not passed on."""
        self._submitters.pop(nonce, None)

    def still(self, drafts: list[Draft]) -> list[Draft]:
        """Those of the drafts that have no result yet."""
        return [draft for draft in drafts if self._submitters.get(draft.nonce, (None,))[0] is draft]

    def settle(self, drafts: list[Draft], results: PostResults) -> list[Draft]:
        """Passes on the results; returns the drafts to be repeated."""
        again: list[Draft] = []
        for position, (draft, posted) in enumerate(zip(drafts, results.posted, strict=True)):
            if posted is not None:
                self._confirm(draft, posted, again=position in results.again)
            elif (failure := results.failures[position]).code is ErrorCode.UNAVAILABLE:
                again.append(draft)
            else:
                self.fail(draft, failure)
        return again

    def settle_late(self, drafts: list[Draft], requesting: "asyncio.Task[PostResults | RequestError]") -> None:
        """Passes on what a leader has committed whose reply came late; the rest is under way to another replica."""
        if (
            requesting.cancelled()
            or requesting.exception() is not None
            or isinstance(results := requesting.result(), RequestError)
        ):
            return
        for position, (draft, posted) in enumerate(zip(drafts, results.posted, strict=True)):
            if posted is not None:
                self._confirm(draft, posted, again=position in results.again)

    def _confirm(self, draft: Draft, posted: Posted, *, again: bool) -> None:
        if submitter := self._take_submitter(draft):
            try:
                submitter.confirmed(draft, posted, again=again)
            except Exception:
                _log.exception("result not handled")
                submitter.crashed()

    def fail(self, draft: Draft, failure: Failure) -> None:
        if submitter := self._take_submitter(draft):
            _pass_failure(submitter, draft, failure)

    def _take_submitter(self, draft: Draft) -> Submitter | None:
        """None if it has its result."""
        posted, submitter = self._submitters.get(draft.nonce, (None, None))
        if posted is not draft:
            return None
        del self._submitters[draft.nonce]
        return submitter


class OutageDetector:
    """Detects that the message service does not answer: messages are then rejected at once instead of after the
    deadline, except for one submission a second that finds out whether the service is back. Times are the event
    loop's."""

    __slots__ = ("_failed_at", "_probe_at", "failing_since")

    def __init__(self) -> None:
        self.failing_since: float | None = None
        """When the first attempt since the last answer began; None: the last one was answered."""
        self._failed_at = 0.0
        """When the last one began."""
        self._probe_at = 0.0

    def attempt_failed(self, began: float) -> None:
        """Nothing of the request was answered, or every answer was that the service is unavailable."""
        if self.failing_since is None:
            self.failing_since = began
        self._failed_at = began

    def seconds(self, now: float) -> float:
        """How long the service has been away, as far as is known; 0 for a short failure, or without recent attempts."""
        if self.failing_since is None or now - self._failed_at > _FORGOTTEN_SECONDS:
            return 0.0
        away = now - self.failing_since
        return away if away >= _OUTAGE_SECONDS else 0.0

    def answered(self) -> None:
        self.failing_since = None

    def rejects(self, now: float) -> bool:
        """Whether a submission is to be rejected at once."""
        if self.failing_since is None or now - self.failing_since < _OUTAGE_SECONDS:
            return False
        if now >= self._probe_at:
            self._probe_at = now + _PROBE_SECONDS
            return False
        return True


class PostAttempts:
    """Carries batches to the message service."""

    def __init__(
        self, bus: Bus, node: NodeId, owners: Owners, metrics: EdgeMetrics, journal: MessageJournal, tasks: Tasks
    ) -> None:
        self._bus = bus
        self._node = node
        self._owners = owners
        self._requests = metrics.posts
        self._journal = journal
        self._tasks = tasks
        self.pending = PendingPosts()
        self.outage = OutageDetector()
        self.slack_seconds = _SLACK_SECONDS
        """After the deadline, every draft has a result within this time, and a moment."""

    async def run(self, batch: list[Draft]) -> Failure | None:
        """Repeat drafts without an answer until the deadline, all in their order. Returns why some have none."""
        remaining, failure = batch, UNCONFIRMED
        self._journal.requested(trace.get(), [draft.nonce for draft in batch])
        try:
            remaining = await self._send_in_parts(batch)
        except RequestError as error:
            failure = error.failure
        except Exception:
            _log.exception("messages not posted")
            failure = INTERNAL_ERROR
        for draft in remaining:
            self.pending.fail(draft, failure)
        return failure if remaining else None

    async def _send_in_parts(self, batch: list[Draft]) -> list[Draft]:
        """A batch that NATS has no room for is divided; the parts are sent one after the other, to keep the order."""
        try:
            return await self._send_with_retry(batch)
        except TooLarge as error:
            if len(batch) == 1:
                self.pending.fail(batch[0], error.failure)
                return []
        half = len(batch) // 2
        return [*await self._send_in_parts(batch[:half]), *await self._send_in_parts(batch[half:])]

    async def _send_with_retry(self, batch: list[Draft]) -> list[Draft]:
        """Returns the drafts without an answer at the deadline. Raises RequestError, though not while an unanswered
        attempt may still be carried out."""
        loop, outage = asyncio.get_running_loop(), self.outage
        left = (max([draft.deadline for draft in batch]) - STARTED_MS) / 1000 - time.monotonic()
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
                remaining = self.pending.settle(batch, results)
                posted = len(remaining) < len(batch)
                _note_answer(outage, None if posted else ErrorCode.UNAVAILABLE, began)
                batch = remaining
            batch = self.pending.still(batch)
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
            return await self._bus.request(PostMessages.route, request, seconds=min(left, _ATTEMPT_SECONDS))
        self._requests.labels(attempt).inc()
        requesting = self._tasks.start(self._request_owner(owner, request, min(left, MOST_SECONDS)), "post to owner")
        loop.call_soon(self._bus.flush)  # right after the task's first step, which publishes
        if not (await asyncio.wait({requesting}, timeout=self._owners.seconds(owner)))[0]:
            self._owners.silent(owner, loop.time())
            requesting.add_done_callback(partial(self.pending.settle_late, batch))
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


def _pass_failure(submitter: Submitter, draft: Draft, failure: Failure) -> None:
    try:
        submitter.failed(draft, failure)
    except Exception:
        _log.exception("result not handled")
        submitter.crashed()


def _note_answer(outage: OutageDetector, code: ErrorCode | None, began: float) -> None:
    """`code`: the error of the whole request, None if something of it was answered otherwise."""
    if code is ErrorCode.UNAVAILABLE:
        outage.attempt_failed(began)
    else:
        outage.answered()
