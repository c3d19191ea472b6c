"""One client: its frames in order, replies in request order, pushes. Only `_perform` and `_resolve` wait."""

from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing
from typing import Protocol

from services.edge.canonical.commands import MessageCommand, PostMessage, UploadCommand, metric_label
from services.edge.canonical.events import ChatJoined, Event, VerificationEnded
from services.edge.canonical.frames import Frame
from services.edge.canonical.replies import Reply
from services.edge.canonical.transport import Socket
from services.edge.catchup.backlog import ChatsLoaded, ShowMessages, Steps
from services.edge.catchup.catch_up import CatchUp
from services.edge.client.connection import CloseConnection, Connection
from services.edge.client.inbound import InboundQueue, RejectedFrame
from services.edge.client.outbound import OutboundQueue
from services.edge.client.posting import Posting
from services.edge.client.request_reader import RequestReader, Work
from services.edge.client.uploads import ABANDONED, UploadSlots
from services.edge.context import EdgeContext
from services.edge.dialects.base import Dialect, LocalReply, Request
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.presence.local_accounts import LocalAccount
from services.edge.receipts.confirmation import DeliveryConfirmation
from services.edge.receipts.read_state import Ranges
from services.edge.rpc.failures import to_failure
from shared.clock import now_ms
from shared.contract.auth import Authenticated, Revocation
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, ChatId, NodeId
from shared.contract.model import ProfileSummary
from shared.telemetry import log, new_trace, trace

_log = log(__name__)
_ANSWERED = 1000, "all is answered"


class RequestHandler(Protocol):
    async def handle(self, client: "Client", request: Request) -> Reply:
        """Carry out any request but a message. Raises Refused."""

    async def resolve(self, client: "Client", run: list[Request]) -> list[Request]:
        """Messages, or the last part of a file, as messages that only have to be posted. Raises Refused."""

    def after_login(self, client: "Client") -> None:
        """A login is answered: what else is due now."""


class Client:
    """See services.edge.canonical.transport.Client and services.edge.presence.local_accounts.Recipient."""

    __slots__ = (
        "_account", "_busy", "_close_when_idle", "_deferred_events", "_ended", "_out", "_performs", "_posting",
        "_reader", "answers_first", "catch_up_state", "confirmation", "connection", "inbound", "is_void", "last_heard",
        "node", "socket", "uploads",
    )  # fmt: skip

    def __init__(
        self,
        node: EdgeContext,
        connection: Connection,
        socket: Socket,
        performs: RequestHandler,
        ended: Callable[["Client"], None],
    ) -> None:
        self.node = node
        self.connection = connection
        self.socket = socket
        self._performs = performs
        self._ended = ended
        self.last_heard = node.now()
        self.inbound = InboundQueue(connection, socket, node.settings.edge, self.last_heard)
        self._reader = RequestReader(connection, self.inbound)
        self.confirmation = DeliveryConfirmation(socket, self._delivery_confirmed, self.last_heard)
        self._out = OutboundQueue(node, socket, connection, self.confirmation, self.close, self._more)
        self.answers_first = False
        """What is under way may void the login, and has to be answered before that ends it."""
        self.is_void = False
        """The login was voided meanwhile."""
        self._account: LocalAccount | None = None
        self.uploads = UploadSlots(node.media)
        self._posting = Posting(node, self)
        self.catch_up_state = CatchUp(node.backlogs, node.chats, self._posting)
        self._busy = False
        self._deferred_events: list[ChatJoined] | None = None
        self._close_when_idle: tuple[int, str] | None = None

    # What the gateway reports

    def frame_received(self, frame: Frame) -> None:
        node, out = self.node, self._out
        if out.is_closed:
            return
        self.last_heard = now = node.now()
        try:
            self.inbound.receive(frame, now)
        except CloseConnection as hangup:
            self.close(hangup.code, hangup.reason)
            return
        if out.traffic is None:
            out.traffic = node.metrics.traffic(out.dialect.name)
        out.traffic.frames_in += 1
        if not self._busy:
            node.tick_batcher.add(self)

    def pong_received(self) -> None:
        self.last_heard = self.node.now()
        self.confirmation.pong_received()

    def input_ended(self) -> None:
        self._close_when_idle = self._close_when_idle or _ANSWERED
        self.node.tick_batcher.add(self)

    def peer_closing(self) -> None:
        self._disconnect()

    def closed(self) -> None:
        self._disconnect()
        self._ended(self)

    # Turns

    def process_queue(self) -> None:
        """Do what waits, as far as it can be done now."""
        if self._posting.in_flight is not None:
            self._posting.reply_due()
        while not self._busy and (work := self._next_work()) is not None:
            if isinstance(work, list):
                self._begin(work)
            elif isinstance(work, RejectedFrame):
                self.reply_error(work.request, work.failure, work.context)
            elif isinstance(work, LocalReply):
                self._out.reply_locally(work.frames)
            else:
                self.inbound.close()
                self._close_when_idle = work
        if self._close_when_idle is not None and not self._busy and not self._out.transfers:
            self.close(*self._close_when_idle)
        if self.inbound.resume_reading():
            self.confirmation.excuse(self.node.now())

    def _begin(self, requests: list[Request]) -> None:
        """Messages to one chat, or one other request."""
        self._busy, command = True, requests[0].command
        if isinstance(command, MessageCommand) and self._can_post_directly(requests[0]):
            self._posting.submit(requests)
        else:
            work = self._resolve(requests) if isinstance(command, MessageCommand) else self._perform(requests[0])
            self.node.tasks.start(work, type(command).__name__)

    def _next_work(self) -> Work | None:
        try:
            return self._reader.next_work(self.node.now(), self.node.settings.edge.request_seconds)
        except CloseConnection as hangup:
            self.close(hangup.code, hangup.reason)
            return None

    def requeue(self, request: Request) -> None:
        """A request that was withheld, before all that waits."""
        if not self.is_closing:
            self.inbound.requeue(request)
            self.node.tick_batcher.add(self)

    @property
    def dialect(self) -> Dialect:
        return self._out.dialect

    @property
    def line_ending(self) -> bytes:
        return self.dialect.line_ending

    @property
    def names_senders(self) -> bool:
        return self.dialect.names_senders

    @property
    def pushes_pending_requests(self) -> bool:
        return self.dialect.pushes_pending_requests

    @property
    def is_closing(self) -> bool:
        """Nothing more is said or listened to; only the socket is still to end."""
        return self._out.is_closed

    def resume(self) -> None:
        self._busy = False
        if self.inbound.queued or self.inbound.paused or self._close_when_idle is not None:
            self.node.tick_batcher.add(self)

    def _more(self, requests: Sequence[Request]) -> None:
        self.inbound.add_requests(requests)
        self.node.tick_batcher.add(self)

    async def _perform(self, request: Request) -> None:
        """Any request but a message: one at a time."""
        trace.set(new_trace())
        name, started = type(request.command).__name__, self.node.now()
        self._deferred_events = []
        result: Reply | Failure
        try:
            result = await self._performs.handle(self, request)
        except Exception as error:
            result = to_failure(error, name)
        self.node.metrics.request_seconds.labels(metric_label(request.command)).observe(self.node.now() - started)
        deferred, self._deferred_events = self._deferred_events, None
        try:
            if isinstance(result, Failure):
                self.reply_error(request, result)
            else:
                self.reply([(request, result)])
            self._read(self.catch_up_state.start_reading())
            if isinstance(result, Authenticated):
                self._performs.after_login(self)
            for event in deferred:
                self.notify(event)
        except Exception:
            _log.exception("dialect failed", command=name)
            self.fail()
        self.resume()

    def _can_post_directly(self, request: Request) -> bool:
        """Whether it is known who says it, where, and all of what."""
        command = request.command
        if not isinstance(command, PostMessage) or command.to or command.references_media:
            return False
        return not request.token or self.connection.has_verified_token(request, now_ms() // 1000)

    async def _resolve(self, run: list[Request]) -> None:
        """Messages that bear a token, are for a private chat, or hold what has to be looked up."""
        trace.set(new_trace())
        try:
            resolved = await self._performs.resolve(self, run)
        except Exception as error:
            failure = to_failure(error, type(run[0].command).__name__)
            for request in run:
                self.reply_error(request, failure)
            resolved = []
        self._read(self.catch_up_state.start_reading())
        if resolved and not self.is_closing:
            self._posting.submit(resolved)
            self.node.tick_batcher.add(self)  # whose end sends what was said
        else:
            self.resume()

    def reply(self, answers: Sequence[tuple[Request, Reply]]) -> None:
        self._out.reply(answers)

    def reply_error(self, request: Request | None, failure: Failure, context: object = None) -> None:
        if not self.is_closing:
            if request is not None and isinstance(request.command, UploadCommand):
                self.uploads.drop(request.command.number)
            self._out.reply_error(request, failure, context)

    # Pushes

    def deliver(self, said: Sequence[EncodedMessage]) -> None:
        """News. One's own messages, too, come after what was missed before them."""
        if self.catch_up_state.backlog is None and self._posting.in_flight is None:
            self._out.push(said)
            return
        for encoded in said:
            if not self.catch_up_state.contains(encoded.message):
                self.deliver_one(encoded)

    def deliver_one(self, encoded: EncodedMessage) -> None:
        """Also what was missed, and the connection's own messages, if they are found that way first."""
        if self._posting.in_flight is None or not self._posting.consume_own(encoded):
            self._out.push((encoded,))

    def notify(self, event: Event) -> None:
        """Chats that appear during a request are told of after its answer, which may be about them."""
        if self._deferred_events is not None and isinstance(event, ChatJoined):
            self._deferred_events.append(event)
        else:
            self._posting.reply_due()
            self._out.notify(event)

    # The account

    async def logged_in(
        self, answer: Authenticated, others: Collection[NodeId], face: ProfileSummary | None, issued: int | None = None
    ) -> None:
        """Logged in (`issued`: by a token of this age): what comes for the account comes here, and what it missed is
        read once that is answered. The former account is left first. `others` are the other nodes that the account is
        on."""
        self.log_out()
        now = self.node.now()
        self._account = self.node.accounts.attach(answer.account, self, now)
        self._account.summary = face or self._account.summary
        self.connection.logged_in(answer, self._account.requests, issued)
        self.node.require_revocations_after(answer.revision)
        self.dialect.logged_in(answer.account, now)
        self._out.reschedule_wake()
        if self.dialect.receives_pushes:
            await self.catch_up_state.begin(self._account, self.dialect, others)

    def catch_up(self, chat: ChatId, fresh: int) -> None:
        if self._account is not None and not self.is_closing and self.dialect.receives_pushes:
            self._read(self.catch_up_state.chat_discovered(self._account, self.dialect, chat, fresh))

    def _read(self, steps: Steps | None) -> None:
        if steps is not None:
            self.catch_up_state.reading = self.node.tasks.start(self._carry_out(steps), "catch-up")

    async def _carry_out(self, steps: Steps) -> None:
        try:
            async with aclosing(steps):
                async for step in steps:
                    if isinstance(step, ShowMessages):
                        for encoded in step.messages:
                            self.deliver_one(encoded)
                    elif isinstance(step, ChatsLoaded):
                        self._out.chats_loaded(step.chats)
                    else:
                        await self._out.until_room()
        except Exception:
            _log.exception("backlog not read")
            self.fail()

    def log_out(self) -> None:
        """The account is left; the connection stays."""
        if self._account is not None:
            self._detach()
            if self._deferred_events is not None:
                self._deferred_events.clear()
            self.connection.logged_out()
            self.dialect.logged_in(NO_ACCOUNT, self.node.now())
            self._out.reschedule_wake()

    def _detach(self) -> None:
        resident = self._account
        if resident is None:
            return
        self.catch_up_state.cancel()
        self.uploads.drop_all()
        self._out.logged_out()
        self._account = None
        if self.node.accounts.detach(resident, self):
            self.node.chats.account_detached(resident)

    def _delivery_confirmed(self, ranges: Ranges) -> None:
        if self._account is not None:
            self.node.read_state.mark_read(self._account.account, ranges)

    async def confirm_all(self) -> None:
        await self.confirmation.confirm_all(self.node.now)

    # The end

    def tick(self, now: float) -> None:
        """Called about every second: pings, and what is due by the clock."""
        edge, connection = self.node.settings.edge, self.connection
        if reason := connection.timed_out(now, edge.first_frame_seconds, edge.unauthenticated_seconds):
            self.close(1008, reason)
        elif self.confirmation.tick(now, self.last_heard, edge, excused=self.inbound.paused or self.socket.is_paced()):
            self.socket.abort()
        self._posting.expire(now)
        if not (self._busy or self.inbound.paused):
            for begun_by in self.uploads.abandoned(now, edge.upload_idle_seconds):
                self.reply_error(begun_by, ABANDONED)
        if connection.pending_verification is not None and now >= connection.pending_verification.expires:
            connection.pending_verification = None
            self.notify(VerificationEnded("expired"))

    def fail(self) -> None:
        """Something that concerns this connection went wrong; it has been logged."""
        self.close(1011, "internal error")

    def revoked(self, revocation: Revocation) -> None:
        self.connection.token = ""  # to be checked again
        if not self.connection.is_ended_by(revocation):
            return
        self.is_void = self.answers_first
        if not self.answers_first:
            self.close(1008, "logged out")

    def close_gracefully(self, code: int, reason: str) -> None:
        """Take nothing new, answer what has come, then hang up."""
        self._close_when_idle = code, reason
        self.socket.pause_reading()
        self.node.tick_batcher.add(self)

    def close(self, code: int, reason: str) -> None:
        """Close from our side. The account stays until the socket ends: only then is known what has arrived."""
        if self.is_closing:
            return
        self.node.metrics.closed.labels(code).inc()
        self.stop_sending()
        self.socket.close(code, reason)

    def _disconnect(self) -> None:
        self.stop_sending()
        self._detach()

    def stop_sending(self) -> None:
        self._posting.reply_due()
        self._out.stop_sending()
        self.catch_up_state.cancel()
        self.inbound.close()
