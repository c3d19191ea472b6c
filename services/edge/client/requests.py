"""The requests of one client that are no messages, and messages that need a lookup: one at a time. Only `_perform` and
`_resolve` suspend."""

from collections.abc import Callable
from typing import Protocol

from services.edge.canonical.commands import MessageCommand, PostMessage, UploadCommand, metric_label
from services.edge.canonical.replies import Reply, TokenRenewed
from services.edge.client.inbox import PostBatch
from services.edge.client.outbox import ClientOutbox
from services.edge.client.session import LoginSession
from services.edge.client.uploads import ABANDONED
from services.edge.context import EdgeContext
from services.edge.dialects.base import Request
from services.edge.rate_limit import TokenBucket, log_rate
from shared.contract.auth import Authenticated, Login, Register
from shared.contract.errors import INTERNAL_ERROR, Failure, RequestError
from shared.contract.ids import AccountId
from shared.telemetry import log, new_trace, trace

_log = log(__name__)


class RequestHandler(Protocol):
    async def handle(self, session: LoginSession, request: Request) -> Reply:
        """Carry out any request but a message. Raises RequestError."""

    async def resolve(self, session: LoginSession, requests: list[Request]) -> list[Request]:
        """Messages, or the last part of a file, as messages that only have to be posted. Raises RequestError."""

    def after_login(self, session: LoginSession) -> None:
        """A login is answered: starts the work after it."""


class FailureLog:
    """Logs bugs, which any exception but RequestError is, one a second: a client that has found one can repeat it."""

    __slots__ = ("_clock", "_rate")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rate: TokenBucket | None = None

    def to_failure(self, error: Exception, command: str) -> Failure:
        if isinstance(error, RequestError):
            return error.failure
        if self._rate is None:
            self._rate = log_rate(self._clock())
        if self._rate.take(self._clock()):
            _log.error("request failed", command=command, exc_info=error)
        return INTERNAL_ERROR


class RequestOwner(Protocol):
    """The client."""

    def post(self, batch: PostBatch) -> None:
        """Messages that need no lookup any more."""

    def start_reading(self) -> None:
        """A login may have been answered: reads the missed messages."""

    def wake(self) -> None:
        """Goes on at the end of this iteration of the event loop."""

    def fail(self) -> None: ...


class RequestRunner:
    __slots__ = ("_context", "_failures", "_handler", "_out", "_owner", "_session", "is_performing")

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
        """A request other than a batch in flight is being handled."""

    def perform(self, request: Request) -> None:
        """Any request but a message, or the last part of a file."""
        self.is_performing = True
        work = self._resolve([request]) if isinstance(request.command, MessageCommand) else self._perform(request)
        self._context.tasks.start(work, type(request.command).__name__)

    def resolve(self, batch: PostBatch) -> None:
        """Messages with a token, for a private chat, or with content that must be looked up."""
        self.is_performing = True
        self._context.tasks.start(self._resolve(batch.requests), "PostMessage")

    async def _perform(self, request: Request) -> None:
        trace.set(new_trace())
        context, session, name = self._context, self._session, type(request.command).__name__
        started, session.deferred, account = context.clock(), [], session.connection.account
        result: Reply | Failure
        try:
            result = await self._handler.handle(session, request)
        except Exception as error:
            result = self._failures.to_failure(error, name)
        context.metrics.request_seconds.labels(metric_label(request.command)).observe(context.clock() - started)
        deferred, session.deferred = session.deferred, None
        try:
            if isinstance(result, Failure):
                self.reject(request, result)
            else:
                self._out.reply([(request, result)])
            self._owner.start_reading()
            if _is_login(request, result, account):
                self._handler.after_login(session)
            for event in deferred:
                session.notify(event)
        except Exception:
            _log.exception("dialect failed", command=name)
            self._owner.fail()
        self._finish()

    async def _resolve(self, requests: list[Request]) -> None:
        trace.set(new_trace())
        try:
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
            self._owner.post(PostBatch(resolved, messages))
            self._owner.wake()  # the end of the iteration publishes them
        else:
            self._session.discard_files(resolved)
            self._finish()

    def reject(self, request: Request | None, failure: Failure, context: object = None) -> None:
        if self._out.is_closed:
            return
        if request is not None and isinstance(request.command, UploadCommand):
            self._session.uploads.drop(request.command.number)
        self._out.reply_error(request, failure, context)

    def drop_abandoned_uploads(self, now: float) -> None:
        idle_seconds = self._context.settings.edge.upload_idle_seconds
        for started_by in self._session.abandoned_uploads(now, idle_seconds):
            self.reject(started_by, ABANDONED)

    def _finish(self) -> None:
        self.is_performing = False
        self._owner.wake()


def _is_login(request: Request, result: Reply | Failure, before: AccountId) -> bool:
    """`before`: the connection's account before the request."""
    if isinstance(result, TokenRenewed):
        return result.account != before
    return isinstance(result, Authenticated) and isinstance(request.command, Login | Register)
