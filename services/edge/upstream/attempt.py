"""Attempts to post a batch of drafts to the message service, until the batch is answered or its deadline has passed.

A draft is sent again with the same nonce. It is reported as failed only a second after the deadline, so that no replica
commits a message that was reported as failed. If a leader does not reply within a fraction of a second, it is
suspended, and the drafts are sent to the next one. A replica that shuts down or has lost its database replies
UNAVAILABLE, and the drafts are sent to another replica. If a replica replies that it is overloaded, the senders get
this error at once.
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
"""This receiver is any replica of the queue group. It is used if there is only one replica, or no leader."""

_LEAST_SECONDS = 0.5
"""The shortest time to wait for a reply. A reply takes much less, unless other requests wait before it."""
MOST_SECONDS = 2.0
_TIMES_SLOWER = 3.0
"""A reply may take this many times as long as the slowest recent reply, because an overloaded replica is not a dead
one."""
_SLOWEST_DECAY = 0.9
"""With each reply, the time of the slowest recent reply is multiplied by this."""
_SUSPENSION_SECONDS = 1.0
_DOUBLINGS = 4
"""The most times that the length of a suspension is multiplied by two. It then lasts for 16 s."""


@dataclass(slots=True)
class _Replies:
    """The replies of one replica. Its fields are the seconds of the slowest recent reply, and the number of requests
    without a reply since the last reply."""

    slowest: float = 0.0
    silences: int = 0


class Leaders:
    """The replicas of the message service that lead the partitions of chats, and how long this edge waits for their
    replies. Times are on the event loop's clock. `partitions`: see MessageSettings. The receiver of a request is a
    replica, or ANY.

    A replica that does not reply in time is suspended, and the next leader serves its partitions. Each further failure
    doubles the suspension, until there is a reply. So a replica whose heartbeats arrive but that does not reply delays
    few messages. The last remaining replica is not suspended for slowness, because no other replica could reply.
    """

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
        """The replica that leads the chat's partition. ANY if no replica leads it, or if there is only one replica."""
        return ANY if self._replicas.is_sole else self._replicas.leader(chat, now) or ANY

    def after(self, chat: ChatId, receiver: str, now: float) -> str:
        """The receiver to which a request is sent after this one has failed. It is the same receiver if there is no
        other."""
        return ANY if self._replicas.is_sole else self._replicas.after(chat, receiver, now) or ANY

    def seconds(self, replica: str) -> float:
        """How many seconds to wait for the replica's reply."""
        if self._replicas.is_last(replica):
            return MOST_SECONDS
        replies = self._replies.get(replica)
        if replies is None:  # the replica has ended after it was chosen
            return _LEAST_SECONDS
        return min(max(_LEAST_SECONDS, _TIMES_SLOWER * replies.slowest), MOST_SECONDS)

    def replied(self, replica: str, seconds: float) -> None:
        """Note a reply of the replica. It ends a suspension."""
        self._replicas.resume(replica)
        if replies := self._replies.get(replica):
            replies.slowest = max(seconds, replies.slowest * _SLOWEST_DECAY)
            replies.silences = 0

    def silent(self, replica: str, now: float) -> None:
        """Note that the replica did not reply in time. Several requests that were sent together count as one."""
        if self._replicas.leads(replica) and not self._replicas.is_last(replica):
            self.gone(replica, now)

    def gone(self, replica: str, now: float) -> None:
        """Suspend the replica, because it does not serve its partitions."""
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
"""Failures for a shorter time are no outage. A restart, or the death of one of several replicas, takes less time than
this."""
_PROBE_SECONDS = 1.0
_FORGOTTEN_SECONDS = 30.0
"""After this time without attempts, the service no longer counts as unavailable."""

CONCURRENT = Failure(ErrorCode.UNAVAILABLE, "another connection is sending this message, please try again")
UNCONFIRMED = Failure(ErrorCode.UNAVAILABLE, "the message was not confirmed in time, please try again")


class Submitter(Protocol):
    """Receives the result of each draft that it has submitted, unless it calls `done` before."""

    def confirmed(self, draft: Draft, posted: Posted, *, again: bool = False) -> None:
        """The draft is committed. `again`: an earlier request has committed it."""

    def failed(self, draft: Draft, failure: Failure) -> None:
        """The draft has failed. Either it was rejected, or no replica has replied in time. In the second case, the
        message may have been committed."""

    def crashed(self) -> None:
        """One of the other methods has raised an exception, which has been logged."""


class PendingPosts:
    """The drafts without a result, and their submitters."""

    def __init__(self) -> None:
        self._submitters: dict[Nonce, tuple[Draft, Submitter]] = {}
        """The submitters, by nonce. The request of a draft that was delivered may still be under way when the client
        posts another draft with the same nonce. So each entry has its draft."""

    def __contains__(self, nonce: Nonce) -> bool:
        return nonce in self._submitters

    def add(self, drafts: list[Draft], submitter: Submitter) -> list[Draft]:
        """Register drafts, and return the drafts to post. A draft fails if its nonce is in use, because another
        connection of the account is posting a draft with the same nonce."""
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
        """Note that the draft's message was delivered. So the draft is not repeated, and its result is not passed
        on."""
        self._submitters.pop(nonce, None)

    def still(self, drafts: list[Draft]) -> list[Draft]:
        """The drafts in this list that have no result yet."""
        return [draft for draft in drafts if self._submitters.get(draft.nonce, (None,))[0] is draft]

    def settle(self, drafts: list[Draft], results: PostResults) -> list[Draft]:
        """Pass the results on to the submitters. Returns the drafts to repeat."""
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
        """Pass on results of a leader whose reply came late. The drafts without a result are on their way to another
        replica."""
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
        """Remove and return the submitter of the draft. None if the draft already has its result."""
        posted, submitter = self._submitters.get(draft.nonce, (None, None))
        if posted is not draft:
            return None
        del self._submitters[draft.nonce]
        return submitter


class OutageDetector:
    """Detects that the message service does not answer. Messages are then rejected at once, instead of after the
    deadline. One submission a second is still sent, to find out whether the service answers again. Times are on the
    event loop's clock."""

    __slots__ = ("_failed_at", "_probe_at", "failing_since")

    def __init__(self) -> None:
        self.failing_since: float | None = None
        """When the first attempt since the last answer began. None if the last attempt was answered."""
        self._failed_at = 0.0
        """When the last failed attempt began."""
        self._probe_at = 0.0

    def attempt_failed(self, began: float) -> None:
        """Note a failed attempt. The request got no answer, or only `unavailable`."""
        if self.failing_since is None:
            self.failing_since = began
        self._failed_at = began

    def seconds(self, now: float) -> float:
        """How many seconds the service has been unavailable, as far as this is known. The result is 0 for a short
        failure, or without recent attempts."""
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
    """Sends batches to the message service."""

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
        """The time after its deadline within which a draft still gets its result."""

    async def run(self, batch: list[Draft]) -> Failure | None:
        """Send the batch, and repeat drafts without an answer until the deadline, in order. Returns the reason why
        drafts have no result, if there are any."""
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
        """Send a batch. If NATS has no room for the batch, it is divided. The parts are sent one after the other, to
        keep the order."""
        try:
            return await self._send_with_retry(batch)
        except TooLarge as error:
            if len(batch) == 1:
                self.pending.fail(batch[0], error.failure)
                return []
        half = len(batch) // 2
        return [*await self._send_in_parts(batch[:half]), *await self._send_in_parts(batch[half:])]

    async def _send_with_retry(self, batch: list[Draft]) -> list[Draft]:
        """Send drafts, and repeat those without an answer. Returns the drafts without an answer at the deadline. Raises
        RequestError, but not while an unanswered attempt may still be carried out."""
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
        """Send one request. If `leader` is ANY, it goes to the queue group. Raises RequestError."""
        request, loop = PostMessages(self._node, batch), asyncio.get_running_loop()
        if leader == ANY:
            self._requests.labels("any").inc()
            return await self._bus.send(request, seconds=min(left, _ATTEMPT_SECONDS))
        self._requests.labels(attempt).inc()
        requesting = self._tasks.start(self._request_leader(leader, request, min(left, MOST_SECONDS)), "post to leader")
        # the task publishes in its first step, and NATS is flushed right after this step
        loop.call_soon(self._bus.flush)
        if not (await asyncio.wait({requesting}, timeout=self._leaders.seconds(leader)))[0]:
            self._leaders.silent(leader, loop.time())
            requesting.add_done_callback(partial(self.pending.settle_late, batch))
            raise Unavailable(subjects.post(leader).label)
        results: PostResults | RequestError = requesting.result()
        if isinstance(results, RequestError):
            raise results
        return results

    async def _request_leader(self, leader: str, request: PostMessages, seconds: float) -> PostResults | RequestError:
        """Send a request to a leader. This task is not cancelled when it is late, because a late reply still has
        results, and shows that the leader lives."""
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
    """Note whether the service has answered. `code`: the error of the whole request, or None if some drafts have
    another answer."""
    if code is ErrorCode.UNAVAILABLE:
        outage.attempt_failed(began)
    else:
        outage.answered()
