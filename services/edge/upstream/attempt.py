"""Attempts to post a batch of drafts to the message service, until the batch is answered or its deadline has passed.

A draft is repeated with the same nonce. A draft is reported as failed only a second after the deadline, so that no
replica commits a message that was reported as failed. A leader that does not reply within a fraction of a second is
suspended, and the next one is tried. A replica that shuts down or has lost its database replies UNAVAILABLE, and
another replica is tried. A replica that is overloaded is believed, and the senders get its error at once.
"""

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from msgspec.structs import replace

from services.edge.journal import MessageJournal
from services.edge.metrics import EdgeMetrics
from shared.bus.client import Bus
from shared.bus.failures import NoResponders, TooLarge, Unavailable
from shared.clock import STARTED_MS
from shared.contract import subjects
from shared.contract.edge import Heartbeat
from shared.contract.errors import INTERNAL_ERROR, ErrorCode, Failure, RequestError
from shared.contract.ids import ChatId, NodeId, Nonce
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.partitions import LiveReplicas
from shared.tasks import Tasks
from shared.telemetry import log, trace

ANY = ""
"""Any replica of the queue group: there is one replica only, or no leader."""

_LEAST_SECONDS = 0.5
"""Much longer than a reply takes, unless there is a queue."""
MOST_SECONDS = 2.0
_TIMES_SLOWER = 3.0
"""A reply may take this many times as long as the slowest recent reply: an overloaded replica is not a dead one."""
_SLOWEST_DECAY = 0.9
"""By each reply."""
_SUSPENSION_SECONDS = 1.0
_DOUBLINGS = 4
"""A suspension lasts for 16 s at most."""


@dataclass(slots=True)
class _Replies:
    """The replies of one replica: the seconds of the slowest recent reply, and the silences since the last reply."""

    slowest: float = 0.0
    silences: int = 0


class Leaders:
    """The replicas of the message service that lead the partitions of chats, and how long this edge waits for their
    replies. Times are the event loop's. `partitions`: see MessageSettings. A receiver of messages is a replica, or ANY.

    A replica that does not reply in time is suspended: the next leader serves its partitions. Each further failure
    without a reply in between doubles the suspension, so that a replica that can be heard but not reached costs little.
    The last remaining replica is not suspended for slowness, because the queue group has no better one."""

    def __init__(self, partitions: int) -> None:
        self._replicas = LiveReplicas(partitions)
        self._replies: dict[str, _Replies] = {}
        """The replies of the live replicas, and of some that have ended."""

    def heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        replica = heartbeat.replica
        self._replicas.heartbeat(replica, heartbeat.partitions, now, standby=heartbeat.spare)
        if replica in self._replicas and replica not in self._replies:
            self._replies = {one: replies for one, replies in self._replies.items() if one in self._replicas}
            self._replies[replica] = _Replies()

    def leader(self, chat: ChatId, now: float) -> str:
        """The replica that leads the chat's partition; ANY if no replica leads it, or if there is only one replica."""
        return ANY if self._replicas.is_sole else self._replicas.leader(chat, now) or ANY

    def after(self, chat: ChatId, receiver: str, now: float) -> str:
        """The receiver that follows this one for a request; the same receiver if there is no other."""
        return ANY if self._replicas.is_sole else self._replicas.after(chat, receiver, now) or ANY

    def seconds(self, replica: str) -> float:
        """How long to wait for the replica's reply."""
        if self._replicas.is_last(replica):
            return MOST_SECONDS
        replies = self._replies[replica]
        return min(max(_LEAST_SECONDS, _TIMES_SLOWER * replies.slowest), MOST_SECONDS)

    def replied(self, replica: str, seconds: float) -> None:
        """A reply ends the suspension of a replica that was silent."""
        self._replicas.resume(replica)
        if replies := self._replies.get(replica):
            replies.slowest = max(seconds, replies.slowest * _SLOWEST_DECAY)
            replies.silences = 0

    def silent(self, replica: str, now: float) -> None:
        """The replica did not reply in time. Requests that were sent together count as one."""
        if self._replicas.leads(replica) and not self._replicas.is_last(replica):
            self.gone(replica, now)

    def gone(self, replica: str, now: float) -> None:
        """The replica does not serve."""
        if not self._replicas.leads(replica):
            return
        replies = self._replies[replica]
        replies.slowest = max(_LEAST_SECONDS, replies.slowest)
        self._replicas.suspend(replica, now + _SUSPENSION_SECONDS * 2 ** min(replies.silences, _DOUBLINGS))
        replies.silences += 1


_log = log(__name__)
_SLACK_SECONDS = 1.0
_PAUSE_SECONDS = 0.15
_ATTEMPT_SECONDS = 2.0
_OUTAGE_SECONDS = 4.0
"""A restart, or the death of one of several replicas, takes less."""
_PROBE_SECONDS = 1.0
_FORGOTTEN_SECONDS = 30.0
"""After this time without attempts, a service no longer counts as unavailable."""

CONCURRENT = Failure(ErrorCode.UNAVAILABLE, "another connection is sending this message, please try again")
UNCONFIRMED = Failure(ErrorCode.UNAVAILABLE, "the message was not confirmed in time, please try again")


class Submitter(Protocol):
    """Receives the result of each submitted draft, unless the submitter calls `done` before."""

    def confirmed(self, draft: Draft, posted: Posted, *, again: bool = False) -> None:
        """The draft is committed. `again`: an earlier request has committed it."""

    def failed(self, draft: Draft, failure: Failure) -> None:
        """The draft is not committed and never will be. If no reply came, nobody knows whether the message was
        posted."""

    def crashed(self) -> None:
        """One of the methods above raised an exception, which has been logged."""


class PendingPosts:
    """The drafts without a result, and their submitters."""

    def __init__(self) -> None:
        self._submitters: dict[Nonce, tuple[Draft, Submitter]] = {}
        """The request of a delivered draft may still be under way when the client posts another draft with the same
        nonce."""

    def __contains__(self, nonce: Nonce) -> bool:
        return nonce in self._submitters

    def add(self, drafts: list[Draft], submitter: Submitter) -> list[Draft]:
        """Register drafts, and return those to post. A draft fails if its nonce is in use: another connection of the
        account is posting a draft with the same nonce."""
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
        """The draft's message was delivered, so the draft is not repeated and its result is not passed on."""
        self._submitters.pop(nonce, None)

    def still(self, drafts: list[Draft]) -> list[Draft]:
        """The drafts among these that have no result yet."""
        return [draft for draft in drafts if self._submitters.get(draft.nonce, (None,))[0] is draft]

    def settle(self, drafts: list[Draft], results: PostResults) -> list[Draft]:
        """Forwards the results; returns the drafts to repeat."""
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
        """Forwards results that a leader has committed but whose reply came late; the other drafts are on their way to
        another replica."""
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
        """The submitter of the draft; None if the draft has its result."""
        posted, submitter = self._submitters.get(draft.nonce, (None, None))
        if posted is not draft:
            return None
        del self._submitters[draft.nonce]
        return submitter


class OutageDetector:
    """Detects that the message service does not answer: messages are then rejected at once instead of after the
    deadline, except one submission a second, which tests whether the service is back. Times are the event loop's."""

    __slots__ = ("_failed_at", "_probe_at", "failing_since")

    def __init__(self) -> None:
        self.failing_since: float | None = None
        """When the first attempt since the last answer began; None: the last one was answered."""
        self._failed_at = 0.0
        """The time at which the last outage began."""
        self._probe_at = 0.0

    def attempt_failed(self, began: float) -> None:
        """Note a failed attempt: the request got no answer, or only answers `unavailable`."""
        if self.failing_since is None:
            self.failing_since = began
        self._failed_at = began

    def seconds(self, now: float) -> float:
        """How long the service has been unavailable, as far as is known; 0 for a short failure, or without recent
        attempts."""
        if self.failing_since is None or now - self._failed_at > _FORGOTTEN_SECONDS:
            return 0.0
        outage = now - self.failing_since
        return outage if outage >= _OUTAGE_SECONDS else 0.0

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
        self, bus: Bus, node: NodeId, leaders: Leaders, metrics: EdgeMetrics, journal: MessageJournal, tasks: Tasks
    ) -> None:
        self._bus = bus
        self._node = node
        self._leaders = leaders
        self._requests = metrics.posts
        self._journal = journal
        self._tasks = tasks
        self.pending = PendingPosts()
        self.outage = OutageDetector()
        self.slack_seconds = _SLACK_SECONDS
        """The time after the deadline in which a draft still gets its result."""

    async def run(self, batch: list[Draft]) -> Failure | None:
        """Repeat drafts without an answer until the deadline, all in their order. Returns why some drafts have no
        result."""
        remaining, failure = batch, UNCONFIRMED
        self._journal.requested(trace.get(), [draft.nonce for draft in batch])
        try:
            remaining = await self._send_in_parts(batch)
        except RequestError as error:
            failure = error.failure
        except Exception:
            _log.exception("messages not posted")
            failure = INTERNAL_ERROR
        if failure.code is ErrorCode.INTERNAL:
            failure = replace(failure, request=failure.request or trace.get())
        for draft in remaining:
            self.pending.fail(draft, failure)
        return failure if remaining else None

    async def _send_in_parts(self, batch: list[Draft]) -> list[Draft]:
        """A batch for which NATS has no room is divided. The parts are sent one after the other, to keep the order."""
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
        leader, attempt = self._leaders.leader(batch[0].chat, loop.time()), "leader"
        while batch and (left := deadline - (began := loop.time())) > 0:
            previous, posted, silent = leader, False, False
            try:
                results = await self._request(leader, attempt, batch, left)
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
                leader, attempt = self._leaders.after(batch[0].chat, leader, loop.time()), "other"
            if batch and not (silent and leader != previous):
                await asyncio.sleep(_PAUSE_SECONDS)
        return batch

    async def _request(self, leader: str, attempt: str, batch: list[Draft], left: float) -> PostResults:
        """Send one request, to a queue group if `leader` is no replica. Raises RequestError."""
        request, loop = PostMessages(self._node, batch), asyncio.get_running_loop()
        if leader == ANY:
            self._requests.labels("any").inc()
            return await self._bus.send(request, seconds=min(left, _ATTEMPT_SECONDS))
        self._requests.labels(attempt).inc()
        requesting = self._tasks.start(self._request_leader(leader, request, min(left, MOST_SECONDS)), "post to leader")
        loop.call_soon(self._bus.flush)  # the task publishes in its first step, and the flush follows right after it
        if not (await asyncio.wait({requesting}, timeout=self._leaders.seconds(leader)))[0]:
            self._leaders.silent(leader, loop.time())
            requesting.add_done_callback(partial(self.pending.settle_late, batch))
            raise Unavailable(subjects.post(leader).label)
        results: PostResults | RequestError = requesting.result()
        if isinstance(results, RequestError):
            raise results
        return results

    async def _request_leader(self, leader: str, request: PostMessages, seconds: float) -> PostResults | RequestError:
        """Is never cancelled for being late: the reply still counts, and shows that the leader lives."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            results = await self._bus.request(subjects.post(leader), request, seconds=seconds, wait_for_service=False)
        except NoResponders as error:
            self._leaders.gone(leader, loop.time())
            return error
        except Unavailable as error:
            self._leaders.silent(leader, loop.time())
            return error
        except RequestError as error:
            return error
        self._leaders.replied(leader, loop.time() - began)
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
