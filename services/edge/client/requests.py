"""Handles the requests of one client, one at a time. Messages for which nothing must be looked up are not handled here.
If the dialect's replies have ids, several reads can wait for their replies at the same time. Only `_perform`, `_read`
and `_resolve` suspend their task."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace

from services.edge.canonical.commands import (
    MessageCommand,
    PostMessage,
    UploadCommand,
    holds_back,
    may_be_overtaken,
    metric_label,
)
from services.edge.canonical.replies import MessagePage, Reply, TokenRenewed
from services.edge.client.inbox import PostBatch
from services.edge.client.outbox import ClientOutbox
from services.edge.client.session import LoginSession
from services.edge.client.uploads import ABANDONED
from services.edge.context import EdgeContext
from services.edge.dialects.base import Request
from services.edge.rate_limit import TokenBucket, log_rate
from shared.contract.auth import Authenticated, Login, Register
from shared.contract.errors import INTERNAL_ERROR, ErrorCode, Failure, RequestError
from shared.contract.guests import RegisterGuest
from shared.contract.ids import AccountId
from shared.tasks import operation
from shared.telemetry import log, new_trace, trace

_log = log(__name__)
_MOST_READS = 8
"""The highest number of reads that wait for replies at the same time."""
_MOST_QUEUED_READS = 64
"""The highest number of reads that wait until another read is answered."""
_TOO_MANY_READS = Failure(ErrorCode.RATE_LIMITED, "too many reads are waiting, slow down", retry_ms=1000)


class RequestHandler(Protocol):
    async def handle(self, session: LoginSession, request: Request) -> Reply:
        """Perform a request that is not a message. Raises RequestError."""

    async def resolve(self, session: LoginSession, requests: list[Request]) -> list[Request]:
        """Return messages, or the last part of a file, as messages that only have to be posted. Raises RequestError."""

    def after_login(self, session: LoginSession) -> None:
        """Start the work that follows a login. The login has been answered."""


class FailureLog:
    """Logs at most one bug a second, because a client that has found a bug can cause it again and again. Any exception
    but RequestError is a bug."""

    __slots__ = ("_clock", "_rate")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rate: TokenBucket | None = None

    def to_failure(self, error: Exception, command: str) -> Failure:
        """Return the failure to reply with. It has the trace id of the logged lines."""
        if isinstance(error, RequestError):
            return replace(error.failure, request=trace.get())
        if self._rate is None:
            self._rate = log_rate(self._clock())
        if self._rate.take(self._clock()):
            _log.error("request failed", command=command, exc_info=error)
        return replace(INTERNAL_ERROR, request=trace.get())


class RequestOwner(Protocol):
    """The part of the client that the handling of requests uses."""

    def post(self, batch: PostBatch, lookup_seconds: float = 0.0) -> None:
        """Post messages for which nothing remains to be looked up. `lookup_seconds`: how long the lookup took."""

    def start_reading(self) -> None:
        """Start to read the missed messages, if a login was answered."""

    def wake(self) -> None:
        """Process the client at the end of this iteration of the event loop."""

    def fail(self) -> None: ...


class RequestRunner:
    __slots__ = (
        "_context", "_failures", "_handler", "_out", "_owner", "_queued_reads", "_reads", "_session", "is_performing",
    )  # fmt: skip

    def __init__(
        self,
        context: EdgeContext,
        session: LoginSession,
        out: ClientOutbox,
        handler: RequestHandler,
        owner: RequestOwner,
    ) -> None:
        self._context = context
        self._failures = FailureLog(context.clock)
        self._session = session
        self._out = out
        self._handler = handler
        self._owner = owner
        self.is_performing = False
        """Whether a request is being handled that is neither a batch in flight nor a read."""
        self._reads: list[tuple[Request, asyncio.Task[None]]] = []
        self._queued_reads: list[Request] = []

    @property
    def all_answered(self) -> bool:
        return not (self.is_performing or self._reads)

    def must_wait(self, request: Request) -> bool:
        """Whether the request must wait for the reply to a read. Reads never wait here, because they have a queue of
        their own."""
        if not self._reads or self._is_read(request):
            return False
        reads = [*[read for read, _ in self._reads], *self._queued_reads]
        return any(holds_back(read.command, request.command) for read in reads)

    def _is_read(self, request: Request) -> bool:
        return not self._out.dialect.orders_replies and not request.token and may_be_overtaken(request.command)

    def perform(self, request: Request) -> None:
        """Handle any request except a message or the last part of a file."""
        if self._is_read(request):
            if len(self._queued_reads) < _MOST_QUEUED_READS:
                self._queued_reads.append(request)
                self._start_reads()
            else:
                self.reject(request, _TOO_MANY_READS)
            return
        self.is_performing = True
        work = self._resolve([request]) if isinstance(request.command, MessageCommand) else self._perform(request)
        self._context.tasks.start(work, type(request.command).__name__)

    def resolve(self, batch: PostBatch) -> None:
        """Handle messages for which something must be looked up: the token, the private chat or the content."""
        self.is_performing = True
        self._context.tasks.start(self._resolve(batch.requests), "PostMessage")

    def _start_reads(self) -> None:
        while self._queued_reads and len(self._reads) < _MOST_READS:
            request = self._queued_reads.pop(0)
            task = self._context.tasks.start(self._read(request), type(request.command).__name__)
            self._reads.append((request, task))

    async def _read(self, request: Request) -> None:
        try:
            result = await self._result(request)
            # an unlimited number of replies could fill the outbox, which would close the connection
            await self._out.until_room()
            self._answer(request, result)
        except Exception:
            _log.exception("dialect failed", command=type(request.command).__name__)
            self._owner.fail()
        finally:
            self._reads = [(read, task) for read, task in self._reads if read is not request]
            self._start_reads()
            self._owner.wake()

    async def _perform(self, request: Request) -> None:
        session, name = self._session, type(request.command).__name__
        session.deferred, account = [], session.connection.account
        result = await self._result(request)
        deferred, session.deferred = session.deferred, None
        try:
            self._answer(request, result)
            self._owner.start_reading()
            if _is_login(request, result, account):
                self._handler.after_login(session)
            for event in deferred:
                session.notify(event)
        except Exception:
            _log.exception("dialect failed", command=name)
            self._owner.fail()
        self._finish()

    async def _result(self, request: Request) -> Reply | Failure:
        trace.set(new_trace())
        context, started = self._context, self._context.clock()
        result: Reply | Failure
        try:
            with operation(context.settings.edge.request_seconds):
                result = await self._handler.handle(self._session, request)
        except Exception as error:
            result = self._failures.to_failure(error, type(request.command).__name__)
        context.metrics.request_seconds.labels(metric_label(request.command)).observe(context.clock() - started)
        return result

    def _answer(self, request: Request, result: Reply | Failure) -> None:
        if isinstance(result, Failure):
            self.reject(request, result)
        else:
            self._out.reply([(request, result)])
            if isinstance(result, MessagePage):
                self._out.replied(shown.message for shown in result.messages)

    async def _resolve(self, requests: list[Request]) -> None:
        trace.set(new_trace())
        started = self._context.clock()
        try:
            with operation(self._context.settings.edge.request_seconds):
                resolved = await self._handler.resolve(self._session, requests)
        except Exception as error:
            failure = self._failures.to_failure(error, type(requests[0].command).__name__)
            for request in requests:
                self.reject(request, failure)
            resolved = []
        self._owner.start_reading()
        if resolved and not self._out.is_closed:
            self.is_performing = False
            messages = [one.command for one in resolved if isinstance(one.command, PostMessage)]
            self._owner.post(PostBatch(resolved, messages), self._context.clock() - started)
            self._owner.wake()  # the requests are published at the end of the event-loop iteration
        else:
            self._session.discard_files(resolved)
            self._finish()

    def reject(self, request: Request | None, failure: Failure, context: object = None) -> None:
        if self._out.is_closed:
            return
        if request is not None and isinstance(request.command, UploadCommand):
            self._session.uploads.drop(request.command.number)
        self._out.reply_error(request, failure, context)

    def cancel_reads(self) -> None:
        """Cancel all reads, because the connection has ended."""
        self._queued_reads.clear()
        for _, task in self._reads:
            task.cancel()

    def drop_abandoned_uploads(self, now: float) -> None:
        idle_seconds = self._context.settings.edge.upload_idle_seconds
        for started_by in self._session.abandoned_uploads(now, idle_seconds):
            self.reject(started_by, ABANDONED)

    def _finish(self) -> None:
        self.is_performing = False
        self._owner.wake()


def _is_login(request: Request, result: Reply | Failure, before: AccountId) -> bool:
    """Whether this result has logged an account in. `before`: the connection's account before the request."""
    if isinstance(result, TokenRenewed):
        return result.account != before
    return isinstance(result, Authenticated) and isinstance(request.command, Login | Register | RegisterGuest)
