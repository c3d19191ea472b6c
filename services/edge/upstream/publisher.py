"""Publishes local connections' messages to the message service. They go to the replica that leads the partition of
their chat, or to any replica. The publisher queues them. The submissions of one event-loop iteration to one replica
share a request. While several requests to a replica are in flight, the submissions of 20 ms share one. For each
replica, a congestion window limits the messages in flight by how soon they are answered. While replies still arrive, a
submission that is queued for more than 1.5 s is rejected with RATE_LIMITED. If the service has not answered for some
seconds, new submissions are rejected at once and are not sent. services.edge.upstream.attempt describes how a request
is sent."""

import asyncio
import secrets
import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Final

from services.edge.journal import MessageJournal
from services.edge.metrics import EdgeMetrics
from services.edge.upstream.attempt import UNCONFIRMED, Leaders, PendingPosts, PostAttempts, Submitter
from shared.bus.client import Bus
from shared.clock import STARTED_MS
from shared.contract.errors import INTERNAL_ERROR, ErrorCode, Failure, RequestError
from shared.contract.ids import NodeId, Nonce
from shared.contract.message import Draft, Posted
from shared.tasks import Tasks
from shared.telemetry import new_trace, trace

if TYPE_CHECKING:
    from shared.tracing import Tracer

_GATHER_SECONDS = 0.02
"""Submissions are gathered for this time. So a replica that does not reply delays the messages to other replicas by no
more than this."""
_SOON_SECONDS = 0.5
"""A reply that takes longer shows that the request has waited for other requests."""
_QUEUE_SECONDS = 1.5
"""The longest time that a submission is queued while others are answered."""
NONCE_BITS: Final = 2**63 - 1

_CONCURRENT_REQUESTS: Final = 3
"""With this number of requests in flight, a replica always has work. One is being delivered, one is being committed,
and one waits."""
_REQUEST_DRAFTS: Final = 512
_REQUEST_BYTES: Final = 384 * 1024
"""The most bytes of a request. A request that has reached a limit gets no further submission. A submission is never
divided, to keep its order."""
_DRAFT_BYTES: Final = 64
_MIN_MESSAGES = 1_536
"""The smallest size of the window. It is many more messages than the batch of one connection has."""
_MAX_MESSAGES = 32_768

OVERLOADED = Failure(ErrorCode.RATE_LIMITED, "too many messages are being sent, please try again")
SERVICE_DOWN = Failure(ErrorCode.UNAVAILABLE, "messages cannot be stored at the moment, please try again later")


class NotAcknowledged(Exception):
    """No message was acknowledged for some seconds, although messages were sent."""


class CongestionWindow:
    """Limits the messages in flight from an edge (additive increase, multiplicative decrease). While replies take long,
    more messages would only wait in the message service, where they cannot be rejected early. This class is pure. It
    counts messages."""

    __slots__ = ("_in_flight", "_size")

    def __init__(self) -> None:
        self._size = _MIN_MESSAGES
        self._in_flight = 0

    def has_room(self, messages: int) -> bool:
        return self._in_flight + messages <= self._size

    def sent(self, messages: int) -> None:
        self._in_flight += messages

    def acknowledged(self, messages: int, *, soon: bool, limited: bool) -> None:
        """Note that messages were acknowledged. `soon`: whether the reply was quick. `limited`: whether more messages
        wait for room. Within the time of a reply, the window at most doubles or halves."""
        self._in_flight -= messages
        if not soon:
            self._size = max(_MIN_MESSAGES, self._size - messages // 2)
        elif limited:
            self._size = min(_MAX_MESSAGES, self._size + messages)


class Lane:
    """The messages to one replica of the message service, or to any. They are queued, then in flight. This class is
    pure. A congestion window limits the messages in flight by the time that replies take. So a slow replica delays no
    messages to other replicas."""

    __slots__ = ("_in_flight", "_window", "queue")

    def __init__(self) -> None:
        self.queue: deque[tuple[float, list[Draft]]] = deque()
        """The submissions that are not in a request yet, each with the time since which it is queued."""
        self._in_flight: dict[int, list[Draft]] = {}
        """The drafts of each unanswered request, by the identity of the request's list. A nonce could not be the key,
        because a delivered message may be sent again before the reply to its first request."""
        self._window = CongestionWindow()

    @property
    def is_idle(self) -> bool:
        return not self.queue and not self._in_flight

    def is_busy(self, awaited: PendingPosts) -> bool:
        """Whether one more request to this receiver would only wait there. A request whose messages are all delivered
        no longer counts, although its reply comes later."""
        busy = [batch for batch in self._in_flight.values() if any(draft.nonce in awaited for draft in batch)]
        return len(busy) >= _CONCURRENT_REQUESTS

    def submit(self, drafts: list[Draft], now: float) -> None:
        self.queue.append((now, drafts))

    def has_room(self) -> bool:
        """Whether a submission is queued and the window has room for it."""
        return bool(self.queue) and self._window.has_room(len(self.queue[0][1]))

    def next_batch(self) -> list[Draft]:
        """Take the first submission, and as many others as fit into the same request. All are in flight from now on."""
        batch: list[Draft] = []
        size = 0
        while self.queue:
            drafts = self.queue[0][1]
            size += sum([len(draft.body) for draft in drafts]) + _DRAFT_BYTES * len(drafts)
            count = len(batch) + len(drafts)
            if batch and (count > _REQUEST_DRAFTS or size > _REQUEST_BYTES or not self._window.has_room(count)):
                break
            batch += drafts
            self.queue.popleft()
        self._window.sent(len(batch))
        self._in_flight[id(batch)] = batch
        return batch

    def answered(self, batch: list[Draft], *, soon: bool) -> None:
        """Note that every draft of a batch has its result. `batch`: the list that `next_batch` returned. `soon`:
        whether the reply was quick."""
        del self._in_flight[id(batch)]
        self._window.acknowledged(len(batch), soon=soon, limited=bool(self.queue))

    def expire(self, latest: float) -> list[Draft]:
        """Remove and return the drafts that were submitted before `latest`."""
        expired: list[Draft] = []
        while self.queue and self.queue[0][0] < latest:
            expired += self.queue.popleft()[1]
        return expired

    def take_queue(self) -> list[tuple[float, list[Draft]]]:
        """Remove and return all submissions."""
        submissions = list(self.queue)
        self.queue.clear()
        return submissions


class MessagePublisher:
    """Callers call `post` during an iteration of the event loop, and `flush` at its end. Every draft has a result soon
    after `longest_seconds`."""

    def __init__(
        self,
        bus: Bus,
        node: NodeId,
        request_seconds: float,
        leaders: Leaders,
        metrics: EdgeMetrics,
        journal: MessageJournal,
        tracer: "Tracer | None" = None,
    ) -> None:
        self._bus = bus
        self._tracer = tracer
        self._seconds = request_seconds
        self._leaders = leaders
        self._tasks = Tasks()
        self._attempts = PostAttempts(bus, node, leaders, metrics, journal, self._tasks)
        self._outage = self._attempts.outage
        self.longest_seconds = request_seconds + self._attempts.slack_seconds
        self.pending = self._attempts.pending
        self._lanes: dict[str, Lane] = {}
        """The lanes, by receiver."""
        self._timer: asyncio.TimerHandle | None = None
        self._nonces = count(secrets.randbits(62))

    def deadline(self, arrived: float) -> int:
        """The deadline of messages that arrived at this time (on the event loop's clock)."""
        waited = asyncio.get_running_loop().time() - arrived
        return int(STARTED_MS + (time.monotonic() - waited + self._seconds) * 1000)

    def new_nonce(self) -> Nonce:
        """A nonce for a draft whose client has given it none."""
        return Nonce(next(self._nonces) & NONCE_BITS)

    def post(self, submitter: Submitter, drafts: list[Draft], now: float) -> None:
        """Queue a connection's messages to one chat, in this order, for the next request. Messages that are being
        posted already are left out. `now`: the time on the event loop's clock."""
        if not (drafts := self.pending.add(drafts, submitter)):
            return
        leader = self._leaders.leader(drafts[0].chat, now)
        lane = self._lanes.get(leader)
        if lane is None:
            self._lanes = {replica: lane for replica, lane in self._lanes.items() if not lane.is_idle}
            lane = self._lanes[leader] = Lane()
        lane.submit(drafts, now)

    async def check(self) -> None:
        """Check whether this node is ready. Raises NotAcknowledged."""
        if seconds := self._outage.seconds(asyncio.get_running_loop().time()):
            raise NotAcknowledged(f"no message was acknowledged for {seconds:.0f} s")

    def flush(self) -> None:
        """Send the queued submissions, or gather more for a moment."""
        is_waiting = False
        for lane in self._lanes.values():
            if lane.queue:
                if self._outage.failing_since is not None:
                    self._reject_during_outage(lane)
                if not lane.is_busy(self.pending):
                    self._send_queued(lane)
                is_waiting = is_waiting or bool(lane.queue)
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
        """Send as many queued requests as fit into the window."""
        while lane.has_room():
            self._send(lane)

    def _expire_queue(self, lane: Lane) -> None:
        """Reject submissions that were queued too long while others were answered. Otherwise submissions would wait
        longer and longer."""
        for draft in lane.expire(asyncio.get_running_loop().time() - _QUEUE_SECONDS):
            self.pending.fail(draft, OVERLOADED)

    def _reject_during_outage(self, lane: Lane) -> None:
        now = asyncio.get_running_loop().time()
        for since, drafts in lane.take_queue():
            if not self._outage.rejects(now):
                lane.submit(drafts, since)
                continue
            for draft in drafts:
                self.pending.fail(draft, SERVICE_DOWN)

    def _send(self, lane: Lane) -> None:
        since = lane.queue[0][0]
        batch = lane.next_batch()
        delivering = self._deliver(lane, batch)
        if self._tracer is not None:
            waited = int((asyncio.get_running_loop().time() - since) * 1e6)
            delivering = self._tracer.begin("post", {"messages": len(batch), "waited_us": waited}).around(delivering)
        self._tasks.start(delivering, "post")
        # The task publishes in its first step, and NATS is flushed right after this step.
        asyncio.get_running_loop().call_soon(self._bus.flush)

    async def finish(self, timeout_seconds: float) -> None:
        """Send all submissions, even if the window has no room."""
        for lane in self._lanes.values():
            while lane.queue:
                self._send(lane)
        await self._tasks.finish(timeout_seconds)

    async def _deliver(self, lane: Lane, batch: list[Draft]) -> None:
        started = asyncio.get_running_loop().time()
        if self._tracer is None:
            trace.set(new_trace())  # the trace of this task
        failure = await self._attempts.run(batch)
        soon = failure is None and asyncio.get_running_loop().time() - started < _SOON_SECONDS
        lane.answered(batch, soon=soon)
        self.flush()
        if failure is not UNCONFIRMED:
            self._expire_queue(lane)


async def post_one(publisher: MessagePublisher, draft: Draft, now: float) -> None:
    """Post one draft. Returns once it is committed. `now`: the time on the event loop's clock. Raises RequestError."""
    submission = _SinglePost()
    publisher.post(submission, [draft], now)
    publisher.flush()
    if (failure := await submission.result) is not None:
        raise RequestError.from_failure(failure)


class _SinglePost:
    """See services.edge.upstream.attempt.Submitter."""

    def __init__(self) -> None:
        self.result: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()

    def confirmed(self, draft: Draft, posted: Posted, *, again: bool = False) -> None:
        self._set(None)

    def failed(self, draft: Draft, failure: Failure) -> None:
        self._set(failure)

    def crashed(self) -> None:
        self._set(INTERNAL_ERROR)

    def _set(self, result: Failure | None) -> None:
        if not self.result.done():
            self.result.set_result(result)
