"""What the connections of this node say, on its way to message: one request per turn of the event loop, and fewer when
so many are under way that one more would only wait there.

A draft is repeated with the same nonce until it is answered or its deadline has passed; only after the deadline and
some slack is it called failed, so that no replica commits what a user was told had failed.
"""

import asyncio
import secrets
from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING, Protocol

from services.edge.failures import INTERNAL
from shared.bus import Bus
from shared.contract import subjects
from shared.contract.errors import ErrorCode, Failure, Refused
from shared.contract.ids import AccountId, ChatId, NodeId, Nonce
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.contract.model import Face
from shared.database import now_ms
from shared.tasks import Tasks
from shared.telemetry import log

if TYPE_CHECKING:
    from shared.tracing import Tracer

_log = log(__name__)
_SLACK_SECONDS = 1.0
_PAUSE_SECONDS = 0.15
_AT_ONCE = 3
"""Requests under way that keep message busy: one is told to the recipients, one committed, one waits."""
_PATIENCE_SECONDS = 0.02
"""How long what is said meanwhile is gathered: a replica that does not answer holds nobody up longer."""
_BATCH_DRAFTS = 512
_BATCH_BYTES = 384 * 1024
"""Beyond these a batch takes no further run; runs are kept whole, so that their order is."""
_DRAFT_BYTES = 64
_NONCE_BITS = 2**63 - 1

UNCONFIRMED = Failure(ErrorCode.UNAVAILABLE, "the message was not confirmed in time, please try again")


class Author(Protocol):
    """Whoever said it; one of the first two is called for each draft, save when it called `done` before."""

    def confirmed(self, draft: Draft, posted: Posted) -> None:
        """It is committed."""

    def failed(self, draft: Draft, failure: Failure) -> None:
        """It is not, and will not be (or, without an answer, that is not known)."""

    def crashed(self) -> None:
        """One of the above raised; that has been logged."""


class Upstream:
    """`post` during a turn; `flush` at its end. `longest_seconds`: after so long, and a moment, every draft is
    answered."""

    def __init__(self, bus: Bus, node: NodeId, request_seconds: float, tracer: "Tracer | None" = None) -> None:
        self._bus = bus
        self._tracer = tracer
        self._node = node
        self._seconds = request_seconds
        self.longest_seconds = request_seconds + _SLACK_SECONDS
        self._tasks = Tasks()
        self._said: list[list[Draft]] = []
        """The runs that are in no request yet."""
        self._timer: asyncio.TimerHandle | None = None
        self._open: dict[Nonce, Author] = {}
        """Whom to tell of what has no answer yet."""
        self._nonces = count(secrets.randbits(62))

    def drafts(self, sender: AccountId, chat: ChatId, bodies: Iterable[bytes], face: Face | None) -> list[Draft]:
        deadline, nonces = now_ms() + int(self._seconds * 1000), self._nonces
        return [Draft(sender, chat, Nonce(next(nonces) & _NONCE_BITS), deadline, body, face) for body in bodies]

    def post(self, author: Author, run: list[Draft]) -> None:
        """Queue a connection's messages, in this order, for the next request."""
        for draft in run:
            self._open[draft.nonce] = author
        self._said.append(run)

    def done(self, nonce: Nonce) -> None:
        """It was delivered: no need to repeat it or to hear of it."""
        self._open.pop(nonce, None)

    def flush(self) -> None:
        """Send what was said, or let it gather for a moment."""
        if not self._said:
            return
        if len(self._tasks) < _AT_ONCE:
            self._send_all()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._send_all)

    def _send_all(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch: list[Draft] = []
        size = 0
        runs, self._said = self._said, []
        for run in runs:
            run_size = sum([len(draft.body) for draft in run]) + _DRAFT_BYTES * len(run)
            if batch and (len(batch) + len(run) > _BATCH_DRAFTS or size + run_size > _BATCH_BYTES):
                self._send(batch)
                batch, size = [], 0
            batch += run
            size += run_size
        if batch:
            self._send(batch)

    def _send(self, batch: list[Draft]) -> None:
        delivering = self._deliver(batch)
        if self._tracer is not None:
            delivering = self._tracer.begin("post", {"messages": len(batch)}).around(delivering)
        self._tasks.start(delivering, "post")

    async def finish(self, timeout_seconds: float) -> None:
        self._send_all()
        await self._tasks.finish(timeout_seconds)

    async def _deliver(self, batch: list[Draft]) -> None:
        """Repeat what has no answer until the deadline, all in the order it was said."""
        failure = UNCONFIRMED
        try:
            batch = await self._insist(batch)
        except Refused as refusal:
            failure = refusal.failure
        except Exception:
            _log.exception("messages not posted")
            failure = INTERNAL
        for draft in batch:
            self._fail(draft, failure)
        self._send_all()

    async def _insist(self, batch: list[Draft]) -> list[Draft]:
        """Returns what has no answer at the deadline. Raises Refused."""
        deadline = asyncio.get_running_loop().time() + self.longest_seconds
        while batch and (left := deadline - asyncio.get_running_loop().time()) > 0:
            try:
                request = PostMessages(self._node, batch)
                results = await self._bus.ask(subjects.POST_MESSAGES, request, seconds=left, retry=True)
            except Refused as refusal:
                if refusal.failure.code is not ErrorCode.UNAVAILABLE:
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
