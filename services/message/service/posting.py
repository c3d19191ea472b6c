"""Posting: what waits becomes one transaction, its envelopes, then its answers.

It goes in rounds, of one look-up each: what was committed in the round before is told and answered, and what waits is
committed. Batches are told in the order they were committed, so a chat's messages are handed to NATS in the order of
their index, and every request's answer after the envelopes of all its messages. A request is never split: one of more
than `batch_rows` messages is a batch alone. A request for whose chats session must be asked stands aside meanwhile and
holds nobody up; no sender has two requests under way, so none of their messages overtakes another.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from services.message.adapters.fanout import Fanout, Outgoing
from services.message.adapters.roster_cache import Memberships, Roster
from services.message.domain import LATE, MESSAGE_OVERHEAD_BYTES, Said, refusal
from services.message.metrics import Metrics
from services.message.service.admission import Pace
from services.message.store import OutcomeUnknown, Store
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.contract.model import Message
from shared.database import DatabaseUnavailable, now_ms
from shared.presence import Presence, PresenceSnapshot
from shared.settings import Message as Settings
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)

_BATCHES_WAITING = 64
"""So many batches' messages may be unanswered; a request beyond is refused, however soon its turn would come."""
_BYTES_WAITING = 64 * 1024 * 1024
_UNKNOWN_PAUSE_SECONDS = 0.5

OVERLOADED = Failure(ErrorCode.RATE_LIMITED, "too much is being said, please try again")
"""Told to who said it: to ask another replica would only make it more."""
CLOSED = Failure(ErrorCode.UNAVAILABLE, "not here any more, please try again")
_AWAY = Failure(ErrorCode.UNAVAILABLE, "the database does not answer, please try again")
_BROKEN = Failure(ErrorCode.INTERNAL, "internal error")

Outcome = Message | Failure


class Responder(Protocol):
    """Takes the answer to one request. `cause`: names it to a tracer; empty when it is not traced."""

    @property
    def cause(self) -> str: ...

    async def reply(self, reply: object) -> None: ...

    async def reply_error(self, failure: Failure) -> None: ...


class Request:
    """One edge's turn on its way: what was asked, then what came of it."""

    __slots__ = ("chats", "drafts", "outcomes", "responder", "rosters", "size")

    def __init__(self, drafts: list[Draft], responder: Responder) -> None:
        self.drafts = drafts
        self.responder = responder
        self.chats = {draft.chat for draft in drafts}
        self.size = sum([len(draft.body) for draft in drafts]) + MESSAGE_OVERHEAD_BYTES * len(drafts)
        self.rosters: Mapping[ChatId, Roster | Failure] | None = None
        """Of its chats, once they are known."""
        self.outcomes: list[Outcome] = []

    def said(self) -> list[Said]:
        """What of it is committed."""
        outcomes = zip(self.outcomes, self.drafts, strict=True)
        return [Said(outcome, draft.face) for outcome, draft in outcomes if isinstance(outcome, Message)]

    def results(self) -> PostResults:
        posted: list[Posted | None] = []
        failures: dict[int, Failure] = {}
        for position, outcome in enumerate(self.outcomes):
            if isinstance(outcome, Message):
                posted.append(Posted(outcome.id, outcome.index, outcome.time))
            else:
                posted.append(None)
                failures[position] = outcome
        return PostResults(posted, failures)


class Batcher:
    """`submit` requests while `run` is under way; after `close`, it ends when everything is answered. `flush` sends at
    once what was told and answered."""

    def __init__(
        self,
        store: Store,
        memberships: Memberships,
        presence: Presence,
        fanout: Fanout,
        metrics: Metrics,
        settings: Settings,
        flush: Callable[[], None],
    ) -> None:
        self._store = store
        self._memberships = memberships
        self._presence = presence
        self._fanout = fanout
        self._metrics = metrics
        self._flush = flush
        self._batch_rows = settings.batch_rows
        self._queue_seconds = settings.queue_seconds
        self._pace = Pace()
        self._queue: deque[Request] = deque()
        self._wake = asyncio.Event()
        self._tasks = Tasks()
        self._rows = self._bytes = self._requests = 0
        self._closed = False
        metrics.queue_rows.set_function(lambda: self._rows)

    def submit(self, request: PostMessages, responder: Responder) -> None:
        """Queue a request, or refuse it when it would not be answered soon."""
        self._fanout.heard(request.node)
        waiting = Request(request.drafts, responder)
        failure = CLOSED if self._closed else OVERLOADED if self._is_overloaded() else None
        if failure is not None:
            self._metrics.refused[failure.code].inc(len(request.drafts))
            self._tasks.start(responder.reply_error(failure), "refuse")
            return
        self._account(waiting, 1)
        self._put(waiting)

    def _is_overloaded(self) -> bool:
        full = self._rows >= _BATCHES_WAITING * self._batch_rows or self._bytes >= _BYTES_WAITING
        return full or self._pace.wait(self._rows) > self._queue_seconds

    def close(self) -> None:
        """Take nothing new."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        try:
            committed: list[Request] = []
            while (requests := await self._next(committed)) or committed:
                started, full = time.perf_counter(), bool(self._queue)
                committed = await self._round(committed, requests)
                messages = sum([len(request.drafts) for request in requests])
                self._pace.took(messages, time.perf_counter() - started, full=full)
        finally:
            await self._tasks.close()

    def _put(self, request: Request) -> None:
        self._queue.append(request)
        self._wake.set()

    def _account(self, request: Request, sign: int) -> None:
        self._requests += sign
        self._rows += sign * len(request.drafts)
        self._bytes += sign * request.size

    async def _next(self, committed: Collection[Request]) -> list[Request]:
        """Everything that waits, up to a batch; nothing when there are some to be told, or when it is over."""
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

    async def _round(self, committed: list[Request], requests: list[Request]) -> list[Request]:
        """Returns what of the requests is committed now, or refused."""
        outgoing = self._fanout.prepare([said for request in committed for said in request.said()])
        new = set[ChatId]().union(*[request.chats for request in requests if request.rosters is None])
        where = await self._look_up(outgoing.accounts, new.union(outgoing.chats))
        ready = self._with_rosters(requests, new, where.versions)
        if self._store.is_quick:
            await self._tell(committed, outgoing, where)
            await self._commit(ready)
        else:
            await asyncio.gather(self._commit(ready), self._tell(committed, outgoing, where))
        return ready

    async def _look_up(self, accounts: Collection[AccountId], chats: Collection[ChatId]) -> PresenceSnapshot:
        """What was told to all edges alone needs none."""
        return await self._presence.lookup(accounts, chats) if accounts or chats else PresenceSnapshot({}, {})

    # Committing

    def _with_rosters(
        self, requests: Iterable[Request], new: Iterable[ChatId], versions: Mapping[ChatId, int]
    ) -> list[Request]:
        """Those whose chats' members are known; the others come back when they are."""
        good = {chat: roster for chat in new if (roster := self._memberships.good(chat, versions)) is not None}
        ready: list[Request] = []
        for request in requests:
            if request.rosters is None and request.chats <= good.keys():
                request.rosters = good
            if request.rosters is None:
                self._tasks.start(self._ask_rosters(request, versions), "rosters")
            else:
                ready.append(request)
        return ready

    async def _ask_rosters(self, request: Request, versions: Mapping[ChatId, int]) -> None:
        request.rosters = await self._memberships.rosters(request.chats, versions)
        self._put(request)

    async def _commit(self, requests: list[Request]) -> None:
        now = now_ms()
        verdicts: list[Failure | None] = []
        accepted: list[Draft] = []
        for request in requests:
            for draft in request.drafts:
                verdict = self._verdict(draft, request, now)
                verdicts.append(verdict)
                if verdict is None:
                    accepted.append(draft)
        committed = iter(await self._post(accepted) if accepted else ())
        outcomes = iter([next(committed) if verdict is None else verdict for verdict in verdicts])
        for request in requests:
            request.outcomes = [next(outcomes) for _ in request.drafts]

    def _verdict(self, draft: Draft, request: Request, now: int) -> Failure | None:
        assert request.rosters is not None
        roster = request.rosters[draft.chat]
        if isinstance(roster, Failure):
            return refusal(draft, roster, now)
        return refusal(draft, roster.members, now, roster.speaker)

    async def _post(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """One outcome per draft. What the database takes from nobody is found by halving the batch."""
        started = time.perf_counter()
        try:
            outcomes, duplicates = await self._post_for_sure(drafts)
        except DatabaseUnavailable:
            return [_AWAY] * len(drafts)
        except Exception:
            if len(drafts) == 1:
                _log.exception("message refused by the database")
                return [_BROKEN]
            self._metrics.retries.labels("content").inc()
            return await self._post_halves(drafts[: len(drafts) // 2], drafts[len(drafts) // 2 :])
        self._metrics.commit_seconds.observe(time.perf_counter() - started)
        self._metrics.batch_rows.observe(len(drafts))
        self._metrics.duplicates.inc(duplicates)
        return [LATE if outcome is None else outcome for outcome in outcomes]

    async def _post_halves(self, first: Sequence[Draft], second: Sequence[Draft]) -> list[Outcome]:
        """What can be said again must not be overtaken by what was said after it."""
        outcomes = await self._post(first)
        if any(isinstance(outcome, Failure) and outcome.code is ErrorCode.UNAVAILABLE for outcome in outcomes):
            return outcomes + [_AWAY] * len(second)
        return outcomes + await self._post(second)

    async def _post_for_sure(self, drafts: Sequence[Draft]) -> tuple[Sequence[Message | None], int]:
        """The outcomes, and how many are duplicates. When a commit gets no answer, nothing else is done until it is
        known what became of it: what was committed must be told to its recipients. Raises DatabaseUnavailable when
        nothing was."""
        try:
            return await self._store.post(drafts)
        except OutcomeUnknown:
            _log.warning("commit without an answer", messages=len(drafts))
        while True:
            self._metrics.retries.labels("unknown").inc()
            try:
                return (await self._store.recall(drafts)).outcomes, 0
            except DatabaseUnavailable:
                await asyncio.sleep(_UNKNOWN_PAUSE_SECONDS)

    # Fanning out

    async def _tell(self, requests: Sequence[Request], outgoing: Outgoing, where: PresenceSnapshot) -> None:
        """First those who are to have the messages, then those who said them."""
        try:
            await self._fan_out(outgoing, where)
            for request in requests:
                await request.responder.reply(request.results())
            if requests:
                self._flush()  # the commit that comes next may hold up the event loop
        except Exception:
            _log.exception("batch not fanned out")
            self._fanout.announce_loss()
        for request in requests:
            self._account(request, -1)
            for outcome in request.outcomes:
                if isinstance(outcome, Failure):
                    self._metrics.refused[outcome.code].inc()

    async def _fan_out(self, outgoing: Outgoing, where: PresenceSnapshot) -> None:
        if outgoing.batch:
            started = time.perf_counter()
            await self._fanout.deliver(outgoing, where)
            self._metrics.fan_out_seconds.observe(time.perf_counter() - started)
            self._metrics.acknowledged.inc(len(outgoing.batch))
