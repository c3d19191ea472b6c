"""Processes the requests of one client: one at a time, messages to one chat in batches, replies in request order. Only
`_perform` and `_resolve` suspend."""

from collections.abc import Callable
from typing import Protocol

from services.edge.canonical.commands import MessageCommand, PostMessage, UploadCommand, metric_label
from services.edge.canonical.replies import Reply, TokenRenewed
from services.edge.client.connection import CloseConnection
from services.edge.client.failures import FailureLog
from services.edge.client.inbound import InboundQueue, RejectedFrame
from services.edge.client.message_flow import MessageFlow
from services.edge.client.outbound import OutboundQueue
from services.edge.client.posting import Posting
from services.edge.client.request_reader import WAITED, RequestReader, Work
from services.edge.client.session import LoginSession
from services.edge.client.uploads import ABANDONED
from services.edge.context import EdgeContext
from services.edge.dialects.base import LocalReply, Request
from shared.clock import now_ms
from shared.contract.auth import Authenticated, Login, Register
from shared.contract.errors import Failure
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


class RequestProcessor:
    """See services.edge.upstream.tick_batcher.Processable. `close` closes the connection."""

    __slots__ = (
        "_close", "_context", "_failures", "_flow", "_handler", "_inbound", "_out", "_reader", "_seconds", "_session",
        "close_when_idle", "is_performing",
    )  # fmt: skip

    def __init__(
        self,
        context: EdgeContext,
        inbound: InboundQueue,
        session: LoginSession,
        out: OutboundQueue,
        flow: MessageFlow,
        handler: RequestHandler,
        close: Callable[[int, str], None],
    ) -> None:
        self._context = context
        self._seconds = context.settings.edge.request_seconds
        self._failures = FailureLog(context.clock)
        self._inbound = inbound
        self._reader = RequestReader(session.connection, inbound)
        self._session = session
        self._out = out
        self._flow = flow
        self._handler = handler
        self._close = close
        self.is_performing = False
        """A request other than a batch in flight is being handled."""
        self.close_when_idle: tuple[int, str] | None = None
        """Code and reason with which the connection closes once everything is answered."""

    def process_queue(self) -> None:
        """Processes queued frames, as far as possible now."""
        posting: Posting = self._flow.posting
        if posting.in_flight is not None:
            self._flow.reply_due()
        while not self.is_performing and posting.in_flight is None and (work := self._next_work()) is not None:
            if isinstance(work, list):
                self._begin(work)
            elif isinstance(work, RejectedFrame):
                self._reject(work.request, work.failure, work.context)
            elif isinstance(work, LocalReply):
                self._out.reply_locally(work.frames)
            else:
                self._inbound.close()
                self.close_when_idle = work
        idle = not self.is_performing and posting.in_flight is None and not self._out.transfers
        if idle and self.close_when_idle is not None:
            self._close_in_order(*self.close_when_idle)
        if self._inbound.paused and self._inbound.resume_reading():
            self._out.confirmation.excuse(self._context.clock())

    def _close_in_order(self, code: int, reason: str) -> None:
        """All is answered but what is paced. That is awaited if only the client has ended its input."""
        if self._inbound.paced and self._inbound.stopped:
            self.reject_waiting(WAITED)
        if not self._inbound.paced:
            self._close(code, reason)

    def reject_waiting(self, failure: Failure) -> None:
        """Every request that waits, in their order."""
        for rejected in self._reader.reject_all(failure):
            self._reject(rejected.request, rejected.failure, rejected.context)

    def fail(self) -> None:
        self._close(1011, "internal error")

    def requeue(self, request: Request) -> None:
        """A request that was held goes before everything that waits."""
        if not self._out.is_closed:
            self._inbound.requeue(request)
            self._context.ticks.add(self)

    def drop_abandoned_uploads(self, now: float) -> None:
        """Called about every second."""
        if not (self.is_performing or self._flow.posting.in_flight is not None or self._inbound.paused):
            idle_seconds = self._context.settings.edge.upload_idle_seconds
            for started_by in self._session.abandoned_uploads(now, idle_seconds):
                self._reject(started_by, ABANDONED)

    def _next_work(self) -> Work | None:
        dialect = self._session.connection.dialect
        if self._inbound.frames:
            assert dialect is not None
            dialect.unix_ms = now_ms()
        try:
            return self._reader.next_work(self._context.clock(), self._seconds)
        except CloseConnection as error:
            self._close(error.code, error.reason)
            return None

    def _begin(self, requests: list[Request]) -> None:
        """Messages to one chat, or one other request."""
        command = requests[0].command
        if isinstance(command, MessageCommand) and self._can_post_directly(requests[0]):
            self._post(requests)
            return
        self.is_performing = True
        work = self._resolve(requests) if isinstance(command, MessageCommand) else self._perform(requests[0])
        self._context.tasks.start(work, type(command).__name__)

    def _can_post_directly(self, request: Request) -> bool:
        """Whether sender, chat and content need no look-up."""
        command = request.command
        if not isinstance(command, PostMessage) or command.to or command.references_media or command.reply_to:
            return False
        return not request.token or self._session.connection.has_verified_token(request, now_ms() // 1000)

    def _post(self, requests: list[Request]) -> None:
        for request in reversed(self._flow.post(requests, self, self._reader.waited)):
            self._inbound.requeue(request)

    async def _perform(self, request: Request) -> None:
        """Any request but a message."""
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
                self._reject(request, result)
            else:
                self._out.reply([(request, result)])
            self._flow.start_reading()
            if _is_login(request, result, account):
                self._handler.after_login(session)
            for event in deferred:
                self._flow.notify(event)
        except Exception:
            _log.exception("dialect failed", command=name)
            self.fail()
        self._finish()

    async def _resolve(self, requests: list[Request]) -> None:
        """Messages with a token, for a private chat, or with content that must be looked up."""
        trace.set(new_trace())
        try:
            resolved = await self._handler.resolve(self._session, requests)
        except Exception as error:
            failure = self._failures.to_failure(error, type(requests[0].command).__name__)
            for request in requests:
                self._reject(request, failure)
            resolved = []
        self._flow.start_reading()
        if resolved and not self._out.is_closed:
            self.is_performing = False
            self._post(resolved)
            self._context.ticks.add(self)  # the end of the tick publishes them
        else:
            self._session.discard_files(resolved)
            self._finish()

    def _reject(self, request: Request | None, failure: Failure, context: object = None) -> None:
        if self._out.is_closed:
            return
        if request is not None and isinstance(request.command, UploadCommand):
            self._session.uploads.drop(request.command.number)
        self._out.reply_error(request, failure, context)

    def _finish(self) -> None:
        self.is_performing = False
        if self._inbound.queued or self._inbound.paused or self.close_when_idle is not None:
            self._context.ticks.add(self)


def _is_login(request: Request, result: Reply | Failure, before: AccountId) -> bool:
    """`before`: the connection's account before the request."""
    if isinstance(result, TokenRenewed):
        return result.account != before
    return isinstance(result, Authenticated) and isinstance(request.command, Login | Register)
