"""What the connections of this node say, on its way to message: one request per turn of the event loop, and fewer when
so many are under way that one more would only wait there. How much is under way follows from how soon it is answered;
what waits for its place here, while answers come, is soon refused.

A draft is repeated with the same nonce until it is answered or its deadline has passed; only after the deadline and
some slack is it called failed, so that no replica commits what a user was told had failed. A replica that is going or
has lost its database says so (unavailable), and another may do better; one that has too much to do is believed, and who
said it is told at once.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING, Protocol

from services.edge.rpc.failures import INTERNAL
from services.edge.upstream.congestion_window import CongestionWindow
from shared.bus.client import Bus, Unavailable
from shared.contract import subjects
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId, ChatId, NodeId, Nonce
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.contract.model import ProfileSummary
from shared.database import now_ms
from shared.tasks import Tasks
from shared.telemetry import log

if TYPE_CHECKING:
    from shared.tracing import Tracer

_log = log(__name__)
_SLACK_SECONDS = 1.0
_PAUSE_SECONDS = 0.15
_ATTEMPT_SECONDS = 2.0
_AT_ONCE = 3
"""Requests under way that keep message busy: one is told to the recipients, one committed, one waits."""
_PATIENCE_SECONDS = 0.02
"""How long what is said meanwhile is gathered: a replica that does not answer holds nobody up longer."""
_BATCH_DRAFTS = 512
_BATCH_BYTES = 384 * 1024
"""Beyond these a batch takes no further run; runs are kept whole, so that their order is."""
_DRAFT_BYTES = 64
_SOON_SECONDS = 0.5
"""A request that takes longer has waited for others."""
_WAIT_SECONDS = 1.5
"""How long a run waits here while others are answered."""
_NONCE_BITS = 2**63 - 1

OVERLOADED = Failure(ErrorCode.RATE_LIMITED, "too much is being said, please try again")
UNCONFIRMED = Failure(ErrorCode.UNAVAILABLE, "the message was not confirmed in time, please try again")


class Submitter(Protocol):
    """Whoever said it; one of the first two is called for each draft, save when it called `done` before."""

    def confirmed(self, draft: Draft, posted: Posted) -> None:
        """It is committed."""

    def failed(self, draft: Draft, failure: Failure) -> None:
        """It is not, and will not be (or, without an answer, that is not known)."""

    def crashed(self) -> None:
        """One of the above raised; that has been logged."""


class MessagePublisher:
    """`post` during a turn; `flush` at its end. `longest_seconds`: after so long, and a moment, every draft is
    answered."""

    def __init__(self, bus: Bus, node: NodeId, request_seconds: float, tracer: "Tracer | None" = None) -> None:
        self._bus = bus
        self._tracer = tracer
        self._node = node
        self._seconds = request_seconds
        self.longest_seconds = request_seconds + _SLACK_SECONDS
        self._tasks = Tasks()
        self._said: deque[tuple[float, list[Draft]]] = deque()
        """The runs that are in no request yet, and since when."""
        self._under_way: dict[Nonce, list[Draft]] = {}
        """The requests that are not answered, by their first draft."""
        self._window = CongestionWindow()
        self._timer: asyncio.TimerHandle | None = None
        self._open: dict[Nonce, Submitter] = {}
        """Whom to tell of what has no answer yet."""
        self._nonces = count(secrets.randbits(62))

    def make_drafts(
        self, sender: AccountId, chat: ChatId, bodies: Iterable[bytes], face: ProfileSummary | None
    ) -> list[Draft]:
        deadline, nonces = now_ms() + int(self._seconds * 1000), self._nonces
        return [Draft(sender, chat, Nonce(next(nonces) & _NONCE_BITS), deadline, body, face) for body in bodies]

    def post(self, author: Submitter, run: list[Draft], now: float) -> None:
        """Queue a connection's messages, in this order, for the next request. `now`: by the event loop's clock."""
        for draft in run:
            self._open[draft.nonce] = author
        self._said.append((now, run))

    def done(self, nonce: Nonce) -> None:
        """It was delivered: no need to repeat it or to hear of it."""
        self._open.pop(nonce, None)

    def flush(self) -> None:
        """Send what was said, or let it gather for a moment."""
        if not self._said:
            return
        if not self._is_busy():
            self._send_all()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._send_all)

    def _is_busy(self) -> bool:
        """Whether one more request would only wait. One whose messages have all been delivered is done: its answer,
        which comes after them, holds up nobody."""
        busy = [batch for batch in self._under_way.values() if any(draft.nonce in self._open for draft in batch)]
        return len(busy) >= _AT_ONCE

    def _send_all(self) -> None:
        """What there is room for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._said and self._window.has_room(len(self._said[0][1])):
            self._send(self._next_batch())

    def _next_batch(self) -> list[Draft]:
        batch: list[Draft] = []
        size = 0
        while self._said:
            run = self._said[0][1]
            size += sum([len(draft.body) for draft in run]) + _DRAFT_BYTES * len(run)
            count = len(batch) + len(run)
            if batch and (count > _BATCH_DRAFTS or size > _BATCH_BYTES or not self._window.has_room(count)):
                break
            batch += run
            self._said.popleft()
        return batch

    def _expire_queue(self) -> None:
        """What has waited while others were answered: it would wait ever longer."""
        latest = asyncio.get_running_loop().time() - _WAIT_SECONDS
        while self._said and self._said[0][0] < latest:
            for draft in self._said.popleft()[1]:
                self._fail(draft, OVERLOADED)

    def _send(self, batch: list[Draft]) -> None:
        self._window.sent(len(batch))
        self._under_way[batch[0].nonce] = batch
        delivering = self._deliver(batch)
        if self._tracer is not None:
            delivering = self._tracer.begin("post", {"messages": len(batch)}).around(delivering)
        self._tasks.start(delivering, "post")
        asyncio.get_running_loop().call_soon(self._bus.flush)  # right after the task's first step, which publishes

    async def finish(self, timeout_seconds: float) -> None:
        """Whether there is room or not."""
        while self._said:
            self._send(self._next_batch())
        await self._tasks.finish(timeout_seconds)

    async def _deliver(self, batch: list[Draft]) -> None:
        """Repeat what has no answer until the deadline, all in the order it was said."""
        count, first, started = len(batch), batch[0].nonce, asyncio.get_running_loop().time()
        failure = UNCONFIRMED
        try:
            batch = await self._send_with_retry(batch)
        except RequestError as refusal:
            failure = refusal.failure
        except Exception:
            _log.exception("messages not posted")
            failure = INTERNAL
        del self._under_way[first]
        for draft in batch:
            self._fail(draft, failure)
        soon = failure is UNCONFIRMED and asyncio.get_running_loop().time() - started < _SOON_SECONDS
        self._window.acknowledged(count, soon=soon, is_full=bool(self._said))
        self.flush()
        if failure is not UNCONFIRMED or not batch:
            self._expire_queue()

    async def _send_with_retry(self, batch: list[Draft]) -> list[Draft]:
        """Returns what has no answer at the deadline. Raises Refused; not while an attempt that had no answer may still
        be carried out."""
        deadline = asyncio.get_running_loop().time() + self.longest_seconds
        repeated: tuple[ErrorCode, ...] = (ErrorCode.UNAVAILABLE,)
        while batch and (left := deadline - asyncio.get_running_loop().time()) > 0:
            try:
                request, seconds = PostMessages(self._node, batch), min(left, _ATTEMPT_SECONDS)
                results = await self._bus.request(subjects.POST_MESSAGES, request, seconds=seconds)
            except Unavailable:
                repeated = (ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED)
            except RequestError as refusal:
                if refusal.failure.code not in repeated:
                    raise
            else:
                batch = self._settle(batch, results)
            batch = [draft for draft in batch if draft.nonce in self._open]
            if batch:
                await asyncio.sleep(_PAUSE_SECONDS)
        return batch

    def _settle(self, batch: list[Draft], results: PostResults) -> list[Draft]:
        """Hand out the results; returns what is to be asked again."""
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
        if author := self._open.pop(draft.nonce, None):
            try:
                author.confirmed(draft, posted)
            except Exception:
                _log.exception("answer failed")
                author.crashed()

    def _fail(self, draft: Draft, failure: Failure) -> None:
        if author := self._open.pop(draft.nonce, None):
            try:
                author.failed(draft, failure)
            except Exception:
                _log.exception("answer failed")
                author.crashed()
