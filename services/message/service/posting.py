"""Posts messages: commits queued requests in batches, delivers their messages, and then replies.

The service works in cycles with at most one presence lookup each. A cycle delivers the messages that the previous cycle
committed, answers their requests, and commits the next batch. Batches are delivered in the order of commits, so NATS
gets a chat's messages in the order of indexes. Each request is answered after the delivery batches of all its messages.
A request is never split: a request with more than `batch_rows` messages is a batch of its own. If the session service
must be queried for a chat's members, the request leaves the queue until session replies, and delays no other request.
If the session service does not reply within 0.3 s, the messages of that chat fail, and the edge repeats them. The
request's other messages are committed. A sender never has two requests in flight, so the sender's messages keep their
order.
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
from services.message.service.member_list import ChatMembers
from services.message.service.ports import DeliveryPlan, FanoutPort, MemberListPort, PostResponder, PresenceLookup
from services.message.store import CommitUnconfirmed, DatabaseUnavailable, MessageStore, PostedBatch
from shared.clock import now_ms
from shared.contract.errors import INTERNAL_ERROR, ErrorCode, Failure
from shared.contract.ids import ChatId
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.contract.model import Message
from shared.settings.messages import MessageSettings
from shared.tasks import Tasks
from shared.telemetry import log, new_trace

if TYPE_CHECKING:
    from shared.tracing import Tracer

_log = log(__name__)

_MAX_QUEUED_BATCHES = 64
"""The most unanswered messages, in batches. Beyond this number, requests are rejected, even if the estimated delay is
short."""
_MAX_QUEUED_BYTES = 64 * 1024 * 1024
_RETRY_SECONDS = 0.5
_MEMBER_LIST_SECONDS = 0.3
_TOLERATED_CLOCK_MS: Final = 50
_ESTIMATED_CYCLES = 8

OVERLOADED = Failure(ErrorCode.RATE_LIMITED, "too many messages are being sent, please try again")
"""The edge passes this error on to the sender. It does not try another replica, which would only add load."""
SHUTTING_DOWN = Failure(ErrorCode.UNAVAILABLE, "this replica no longer serves the chat, please try again")
_DATABASE_UNAVAILABLE = Failure(ErrorCode.UNAVAILABLE, "the database does not answer, please try again")

PostResult = Message | Failure


class QueueDelayEstimator:
    """Admission control, as a pure class: estimates the delay of a queued message from the duration of the last cycles.
    Only a cycle that leaves requests in the queue shows the capacity. If one of the last cycles has emptied the queue,
    the queue is short and the delay is 0. The estimate uses the fastest cycle, so that a single stall does not look
    like overload."""

    def __init__(self) -> None:
        self._seconds_per_message: deque[float] = deque(maxlen=_ESTIMATED_CYCLES)

    def observe(self, messages: int, seconds: float, *, full: bool) -> None:
        """Record one cycle. `full`: the cycle has left requests in the queue."""
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
    """One request of an edge that is not answered yet: its drafts, and later their results."""

    __slots__ = ("chats", "drafts", "member_lists", "responder", "results", "size")

    def __init__(self, drafts: list[Draft], responder: PostResponder) -> None:
        self.drafts = drafts
        self.responder = responder
        self.chats = {draft.chat for draft in drafts}
        self.size = sum([len(draft.body) for draft in drafts]) + MESSAGE_OVERHEAD_BYTES * len(drafts)
        self.member_lists: Mapping[ChatId, ChatMembers | Failure] | None = None
        """The member lists of the request's chats, once all are known."""
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
    """The drafts, with their deadlines converted to the wall clock of this process."""
    ahead = responder.to_wall_clock(0)
    if abs(ahead) < _TOLERATED_CLOCK_MS:
        return drafts
    return [msgspec.structs.replace(draft, deadline=draft.deadline + ahead) for draft in drafts]


class PostingBatcher:
    """`submit` queues requests while `run` works. After `close`, `run` returns when all requests are answered. `flush`
    sends published messages and replies at once."""

    def __init__(
        self,
        store: MessageStore,
        member_lists: MemberListPort,
        fanout: FanoutPort,
        metrics: MessageMetrics,
        settings: MessageSettings,
        flush: Callable[[], None],
        tracer: "Tracer | None" = None,
    ) -> None:
        self._store = store
        self._member_lists = member_lists
        self._fanout = fanout
        self._metrics = metrics
        self._flush = flush
        self._tracer = tracer
        self._traced_commits = deque[str]()
        """The traceparents of commits that are not delivered yet. Each cycle delivers the commit of the previous
        cycle."""
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
        """Queue a request, or reject a request that would not be answered soon."""
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
        """The time that a new message would wait; 0 while the queue is short."""
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
        """Take queued requests for one batch; wait for requests if the queue is empty. Returns an empty list instead of
        waiting if requests are `committed`, or after `close`."""
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
        """Deliver and answer `committed`, and commit `requests`. Returns the requests with known results. The commit
        can delay the lookup of presence. A broadcast needs no lookup, so it does not wait for it."""
        chats = set[ChatId]().union(*[request.chats for request in requests if request.member_lists is None])
        messages = [message for request in committed for message in request.committed_messages()]
        plan = self._fanout.plan(messages) if messages else None
        inline = bool(committed and requests) and self._store.commits_inline
        if plan is not None and inline and chats and not self._fanout.needs_lookup(plan):
            await self._publish_and_reply(committed, plan, await self._fanout.look_up(plan, ()))
            committed, plan = [], None
        found = await self._fanout.look_up(plan, chats)
        ready = self._with_member_lists(requests, chats, found.versions) if requests else []
        if committed and ready and not inline:
            await asyncio.gather(self._commit(ready), self._publish_and_reply(committed, plan, found))
            return ready
        if committed:
            await self._publish_and_reply(committed, plan, found)
        if ready:
            await self._commit(ready)
        return ready

    # Committing

    def _with_member_lists(
        self, requests: Iterable[PostRequest], chats: Iterable[ChatId], versions: Mapping[ChatId, int]
    ) -> list[PostRequest]:
        """The requests for whose chats there are fresh member lists. The other requests are queued again when their
        member lists are loaded."""
        fresh = {
            chat: member_list for chat in chats if (member_list := self._member_lists.fresh(chat, versions)) is not None
        }
        ready: list[PostRequest] = []
        for request in requests:
            if request.member_lists is None and request.chats <= fresh.keys():
                request.member_lists = fresh
            if request.member_lists is None:
                self._tasks.start(self._load_member_lists(request, versions), "member_lists")
            else:
                ready.append(request)
        return ready

    async def _load_member_lists(self, request: PostRequest, versions: Mapping[ChatId, int]) -> None:
        """Load the member lists of the request's chats, and queue the request again. If the list of a chat takes too
        long, the messages of this chat fail, and the edge repeats them."""
        request.member_lists = await self._member_lists.load(request.chats, versions, _MEMBER_LIST_SECONDS)
        self._enqueue(request)

    def _commit(self, requests: list[PostRequest]) -> Coroutine[Any, Any, None]:
        """Commit the requests in one transaction. Its span is linked to the span of each request."""
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
            assert request.member_lists is not None
            for draft in request.drafts:
                member_list = request.member_lists[draft.chat]
                failure = member_list if isinstance(member_list, Failure) else member_list.check_post(draft, now)
                failures.append(failure)
                if failure is None:
                    accepted.append(draft)
        results = await self._post(accepted) if accepted else []
        if len(accepted) < len(failures):
            posted = iter(results)
            results = [next(posted) if failure is None else failure for failure in failures]
        end = 0
        for request in requests:
            start, end = end, end + len(request.drafts)
            request.results = results[start:end]
        await self._find_posted_before(requests)

    async def _find_posted_before(self, requests: Iterable[PostRequest]) -> None:
        """For senders that may no longer post, find the messages that an earlier attempt has posted, because these are
        still the results."""
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
        """Post the drafts. Returns one result per draft. If the database rejects the content of a draft, bisection
        finds this draft."""
        started = time.perf_counter()
        try:
            posted = await self._post_confirmed(drafts)
        except DatabaseUnavailable:
            return [_DATABASE_UNAVAILABLE] * len(drafts)
        except Exception:
            if len(drafts) == 1:
                _log.exception("message rejected by the database", request=(request := new_trace()))
                return [msgspec.structs.replace(INTERNAL_ERROR, request=request)]
            self._metrics.retries.labels("content").inc()
            return await self._bisect_post(drafts[: len(drafts) // 2], drafts[len(drafts) // 2 :])
        self._metrics.commit_seconds.observe(time.perf_counter() - started)
        self._metrics.batch_rows.observe(len(drafts))
        results: Sequence[PostResult | None] = posted.results
        if posted.duplicates:
            results = _check_repeated(posted, drafts)
        return [DEADLINE_PASSED if result is None else result for result in results]

    async def _post_confirmed(self, drafts: Sequence[Draft]) -> PostedBatch:
        """Post the drafts. If a commit is not confirmed, nothing else is posted until the commit's result is known,
        because committed messages must reach their recipients. Raises DatabaseUnavailable if nothing was committed."""
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
        """Posts the two halves one after the other. If the edge may repeat drafts of the first half, the second half is
        not posted. Otherwise, it would overtake these drafts."""
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
        """Deliver to the recipients first, then reply to the senders."""
        try:
            if plan is not None:
                await self._fan_out(plan, found)
            for request in requests:
                await request.responder.reply(request.post_results())
            self._flush()  # flushed now, because the next commit may block the event loop
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
