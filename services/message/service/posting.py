"""Posting: batches queued requests into transactions, fans the messages out, then replies.

It works in cycles with at most one presence lookup: a cycle fans out and answers what the cycle before it committed,
and commits the next batch. Batches are fanned out in the order of their commits, so NATS gets a chat's messages in the
order of their indexes, and each request is answered after the delivery batches of all its messages. A request is never
split: one of more than `batch_rows` messages is a batch of its own. A request with a chat whose members session must be
queried for leaves the queue meanwhile and delays no other; after 0.3 s its other messages are committed without those
of that chat, which the edge repeats. No sender has two requests in flight, so their messages keep their order.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.message.domain import (
    DEADLINE_PASSED,
    MESSAGE_OVERHEAD_BYTES,
    NO_RECIPIENT,
    CommittedMessage,
    check_repeated,
)
from services.message.metrics import MessageMetrics
from services.message.service.ports import DeliveryPlan, FanoutPort, PostResponder, PresenceLookup, RosterPort
from services.message.service.roster import Roster
from services.message.store import CommitUnconfirmed, DatabaseUnavailable, MessageStore, PostedBatch
from shared.clock import now_ms
from shared.contract.errors import INTERNAL_ERROR, ErrorCode, Failure
from shared.contract.ids import ChatId
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.contract.model import Message
from shared.settings import MessageSettings
from shared.tasks import Tasks
from shared.telemetry import log

if TYPE_CHECKING:
    from shared.tracing import Tracer

_log = log(__name__)

_MAX_QUEUED_BATCHES = 64
"""A request is rejected while the messages of this many batches are unanswered, however short the estimated delay."""
_MAX_QUEUED_BYTES = 64 * 1024 * 1024
_RETRY_SECONDS = 0.5
_ROSTER_SECONDS = 0.3
_TOLERATED_CLOCK_MS: Final = 50
_ESTIMATED_CYCLES = 8

OVERLOADED = Failure(ErrorCode.RATE_LIMITED, "too much is being said, please try again")
"""Passed on to the sender: a retry at another replica would only add load."""
SHUTTING_DOWN = Failure(ErrorCode.UNAVAILABLE, "not here any more, please try again")
_DATABASE_UNAVAILABLE = Failure(ErrorCode.UNAVAILABLE, "the database does not answer, please try again")

PostResult = Message | Failure


class QueueDelayEstimator:
    """Admission control, pure: estimates the delay of a queued message from the duration of the last cycles. Only
    cycles that left requests in the queue show the capacity; unless all of the last ones did, the queue is short and
    the delay 0. The fastest of them counts, so that a single stall does not look like overload."""

    def __init__(self) -> None:
        self._seconds_per_message: deque[float] = deque(maxlen=_ESTIMATED_CYCLES)

    def observe(self, messages: int, seconds: float, *, full: bool) -> None:
        """Record one cycle. `full`: requests were left in the queue."""
        if full:
            self._seconds_per_message.append(seconds / messages)
        else:
            self._seconds_per_message.clear()

    def estimate(self, messages: int) -> float:
        """Seconds until this many messages are answered."""
        if len(self._seconds_per_message) < _ESTIMATED_CYCLES:
            return 0.0
        return messages * min(self._seconds_per_message)


class PostRequest:
    """One edge's request in flight: its drafts, then their results."""

    __slots__ = ("chats", "drafts", "responder", "results", "rosters", "size")

    def __init__(self, drafts: list[Draft], responder: PostResponder) -> None:
        self.drafts = drafts
        self.responder = responder
        self.chats = {draft.chat for draft in drafts}
        self.size = sum([len(draft.body) for draft in drafts]) + MESSAGE_OVERHEAD_BYTES * len(drafts)
        self.rosters: Mapping[ChatId, Roster | Failure] | None = None
        """Of its chats, once they are known."""
        self.results: list[PostResult] = []

    def committed_messages(self) -> list[CommittedMessage]:
        results = zip(self.results, self.drafts, strict=True)
        return [
            CommittedMessage(result, draft.face, draft.quote)
            for result, draft in results
            if isinstance(result, Message)
        ]

    def post_results(self) -> PostResults:
        posted: list[Posted | None] = []
        failures: dict[int, Failure] = {}
        again: list[int] = []
        for position, result in enumerate(self.results):
            if isinstance(result, Message):
                posted.append(Posted(result.id, result.index, result.time))
                if result.body is not self.drafts[position].body:
                    again.append(position)
            else:
                posted.append(None)
                failures[position] = result
        return PostResults(posted, failures, again)


def _by_our_clock(drafts: list[Draft], responder: PostResponder) -> list[Draft]:
    """The drafts with deadlines of our wall clock."""
    ahead = responder.to_wall_clock(0)
    if abs(ahead) < _TOLERATED_CLOCK_MS:
        return drafts
    return [msgspec.structs.replace(draft, deadline=draft.deadline + ahead) for draft in drafts]


class PostingBatcher:
    """`submit` queues requests while `run` works; after `close`, `run` returns when all are answered. `flush` sends
    published messages and replies at once."""

    def __init__(
        self,
        store: MessageStore,
        rosters: RosterPort,
        fanout: FanoutPort,
        metrics: MessageMetrics,
        settings: MessageSettings,
        flush: Callable[[], None],
        tracer: "Tracer | None" = None,
    ) -> None:
        self._store = store
        self._rosters = rosters
        self._fanout = fanout
        self._metrics = metrics
        self._flush = flush
        self._tracer = tracer
        self._traced_commits = deque[str]()
        """Traceparents of the commits not fanned out yet: a cycle fans out the commit of the cycle before."""
        self._batch_rows = settings.batch_rows
        self._longest_queue_seconds = settings.queue_seconds
        self._queue_delay = QueueDelayEstimator()
        self._queue: deque[PostRequest] = deque()
        self._wake = asyncio.Event()
        self._tasks = Tasks()
        self._rows = self._bytes = self._requests = 0
        self._closed = False
        metrics.queue_rows.set_function(lambda: self._rows)

    # Queueing

    def submit(self, message: PostMessages, responder: PostResponder) -> None:
        """Queue a request, or reject it if it would not be answered soon."""
        self._fanout.edge_seen(message.node, time.monotonic())
        request = PostRequest(_by_our_clock(message.drafts, responder), responder)
        failure = SHUTTING_DOWN if self._closed else OVERLOADED if self._is_overloaded() else None
        if failure is not None:
            self._metrics.rejected[failure.code].inc(len(request.drafts))
            self._tasks.start(responder.reply_error(failure), "reject")
            return
        self._count_in_flight(request, 1)
        self._enqueue(request)

    def queue_seconds(self) -> float:
        """How long a message would wait; 0 while the queue is short."""
        return self._queue_delay.estimate(self._rows)

    def _is_overloaded(self) -> bool:
        full = self._rows >= _MAX_QUEUED_BATCHES * self._batch_rows or self._bytes >= _MAX_QUEUED_BYTES
        return full or self.queue_seconds() > self._longest_queue_seconds

    def _count_in_flight(self, request: PostRequest, sign: int) -> None:
        self._requests += sign
        self._rows += sign * len(request.drafts)
        self._bytes += sign * request.size

    def _enqueue(self, request: PostRequest) -> None:
        self._queue.append(request)
        self._wake.set()

    def close(self) -> None:
        """Reject new requests."""
        self._closed = True
        self._wake.set()

    # Cycles

    async def run(self) -> None:
        try:
            committed: list[PostRequest] = []
            while (requests := await self._next_batch(committed)) or committed:
                started, full = time.perf_counter(), bool(self._queue)
                committed = await self._cycle(committed, requests)
                messages = sum([len(request.drafts) for request in requests])
                self._queue_delay.observe(messages, time.perf_counter() - started, full=full)
        finally:
            await self._tasks.close()

    async def _next_batch(self, committed: Collection[PostRequest]) -> list[PostRequest]:
        """The queued requests, up to a batch. Empty without waiting if some are `committed`; empty after the end."""
        while not self._queue:
            if committed or (self._closed and not self._requests):
                return []
            self._wake.clear()
            await self._wake.wait()
        requests = [self._queue.popleft()]
        rows = len(requests[0].drafts)
        while self._queue and rows + len(self._queue[0].drafts) <= self._batch_rows:
            requests.append(self._queue.popleft())
            rows += len(requests[-1].drafts)
        return requests

    async def _cycle(self, committed: list[PostRequest], requests: list[PostRequest]) -> list[PostRequest]:
        """Fan out and answer `committed`, commit `requests`. Returns the requests whose results are known now.
        If the commit would delay them, broadcasts do not wait for the lookup, which they do not need."""
        chats = set[ChatId]().union(*[request.chats for request in requests if request.rosters is None])
        messages = [message for request in committed for message in request.committed_messages()]
        plan = self._fanout.plan(messages) if messages else None
        inline = bool(committed and requests) and self._store.commits_inline
        if plan is not None and inline and chats and not self._fanout.needs_lookup(plan):
            await self._publish_and_reply(committed, plan, await self._fanout.look_up(plan, ()))
            committed, plan = [], None
        found = await self._fanout.look_up(plan, chats)
        ready = self._with_rosters(requests, chats, found.versions) if requests else []
        if committed and ready and not inline:
            await asyncio.gather(self._commit(ready), self._publish_and_reply(committed, plan, found))
            return ready
        if committed:
            await self._publish_and_reply(committed, plan, found)
        if ready:
            await self._commit(ready)
        return ready

    # Committing

    def _with_rosters(
        self, requests: Iterable[PostRequest], chats: Iterable[ChatId], versions: Mapping[ChatId, int]
    ) -> list[PostRequest]:
        """The requests whose chats have rosters; the others are queued again when theirs are loaded."""
        fresh = {chat: roster for chat in chats if (roster := self._rosters.fresh(chat, versions)) is not None}
        ready: list[PostRequest] = []
        for request in requests:
            if request.rosters is None and request.chats <= fresh.keys():
                request.rosters = fresh
            if request.rosters is None:
                self._tasks.start(self._load_rosters(request, versions), "rosters")
            else:
                ready.append(request)
        return ready

    async def _load_rosters(self, request: PostRequest, versions: Mapping[ChatId, int]) -> None:
        """Messages of a chat whose roster takes longer fail, so that the others do not wait; edges repeat them."""
        request.rosters = await self._rosters.load(request.chats, versions, _ROSTER_SECONDS)
        self._enqueue(request)

    def _commit(self, requests: list[PostRequest]) -> Coroutine[Any, Any, None]:
        """A transaction commits many requests, so its span is linked to each of theirs."""
        committing = self._check_and_post(requests)
        if self._tracer is None:
            return committing
        causes = [request.responder.cause for request in requests]
        counts = {"requests": len(requests), "messages": sum(len(request.drafts) for request in requests)}
        span = self._tracer.link("commit", causes, counts)
        self._traced_commits.append(span.traceparent)
        return span.around(committing)

    async def _check_and_post(self, requests: list[PostRequest]) -> None:
        now = now_ms()
        failures: list[Failure | None] = []
        accepted: list[Draft] = []
        for request in requests:
            assert request.rosters is not None
            for draft in request.drafts:
                roster = request.rosters[draft.chat]
                failure = roster if isinstance(roster, Failure) else roster.check_post(draft, now)
                failures.append(failure)
                if failure is None:
                    accepted.append(draft)
        posted = iter(await self._post(accepted) if accepted else ())
        results = iter([next(posted) if failure is None else failure for failure in failures])
        for request in requests:
            request.results = [next(results) for _ in request.drafts]
        await self._find_posted_before(requests)

    async def _find_posted_before(self, requests: Iterable[PostRequest]) -> None:
        """A sender that may post no more since an earlier attempt gets the message which that attempt has posted."""
        forbidden = [
            (request, position)
            for request in requests
            for position, result in enumerate(request.results)
            if isinstance(result, Failure) and (result.code is ErrorCode.FORBIDDEN or result is NO_RECIPIENT)
        ]
        if not forbidden:
            return
        drafts = [request.drafts[position] for request, position in forbidden]
        try:
            earlier = await self._store.find_results(drafts)
        except DatabaseUnavailable:
            found: Sequence[PostResult | None] = [_DATABASE_UNAVAILABLE] * len(forbidden)
        else:
            found = _check_repeated(earlier, drafts)
        for (request, position), result in zip(forbidden, found, strict=True):
            if result is not None:
                request.results[position] = result

    async def _post(self, drafts: Sequence[Draft]) -> list[PostResult]:
        """One result per draft. Drafts that the database rejects for their content are found by bisection."""
        started = time.perf_counter()
        try:
            posted = await self._post_confirmed(drafts)
        except DatabaseUnavailable:
            return [_DATABASE_UNAVAILABLE] * len(drafts)
        except Exception:
            if len(drafts) == 1:
                _log.exception("message rejected by the database")
                return [INTERNAL_ERROR]
            self._metrics.retries.labels("content").inc()
            return await self._bisect_post(drafts[: len(drafts) // 2], drafts[len(drafts) // 2 :])
        self._metrics.commit_seconds.observe(time.perf_counter() - started)
        self._metrics.batch_rows.observe(len(drafts))
        results: Sequence[PostResult | None] = posted.results
        if posted.duplicates:
            results = _check_repeated(posted, drafts)
        return [DEADLINE_PASSED if result is None else result for result in results]

    async def _post_confirmed(self, drafts: Sequence[Draft]) -> PostedBatch:
        """If a commit is not confirmed, nothing else is posted until its result is known: committed messages must reach
        their recipients. Raises DatabaseUnavailable if nothing was committed."""
        try:
            posted = await self._store.post(drafts)
            self._metrics.duplicates.inc(posted.duplicates)
            return posted
        except CommitUnconfirmed:
            _log.warning("commit not confirmed", messages=len(drafts))
        while True:
            self._metrics.retries.labels("unknown").inc()
            try:
                return await self._store.find_results(drafts)
            except DatabaseUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _bisect_post(self, first: Sequence[Draft], second: Sequence[Draft]) -> list[PostResult]:
        """Post the halves one after the other. If drafts of the first may be retried, the second is not posted, so
        that it does not overtake them."""
        results = await self._post(first)
        if any(isinstance(result, Failure) and result.code is ErrorCode.UNAVAILABLE for result in results):
            return results + [_DATABASE_UNAVAILABLE] * len(second)
        return results + await self._post(second)

    # Fan-out and replies

    def _publish_and_reply(
        self, requests: Sequence[PostRequest], plan: DeliveryPlan | None, found: PresenceLookup
    ) -> Coroutine[Any, Any, None]:
        finishing = self._finish(requests, plan, found)
        if self._tracer is None:
            return finishing
        return self._tracer.continue_trace("fan out", "internal", self._traced_commits.popleft()).around(finishing)

    async def _finish(self, requests: Sequence[PostRequest], plan: DeliveryPlan | None, found: PresenceLookup) -> None:
        """First to the recipients, then to the senders."""
        try:
            if plan is not None:
                await self._fan_out(plan, found)
            for request in requests:
                await request.responder.reply(request.post_results())
            self._flush()  # the next commit may block the event loop
        except Exception:
            _log.exception("batch not fanned out")
            self._fanout.announce_loss()
        for request in requests:
            self._count_in_flight(request, -1)
            for result in request.results:
                if isinstance(result, Failure):
                    self._metrics.rejected[result.code].inc()

    async def _fan_out(self, plan: DeliveryPlan, found: PresenceLookup) -> None:
        started = time.perf_counter()
        await self._fanout.deliver(plan, found)
        self._metrics.fan_out_seconds.observe(time.perf_counter() - started)
        self._metrics.acknowledged.inc(len(plan.messages))


def _check_repeated(posted: PostedBatch, drafts: Sequence[Draft]) -> list[PostResult | None]:
    return [
        result and check_repeated(result, draft, was_sent=(draft.chat, result.index, draft.body) in posted.changed)
        for result, draft in zip(posted.results, drafts, strict=True)
    ]
