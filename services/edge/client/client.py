"""One client: its socket and its queue of frames, and all that belongs to it."""

from collections.abc import Callable, Sequence

from services.edge.canonical.events import Event, VerificationEnded
from services.edge.canonical.frames import Frame
from services.edge.canonical.transport import Socket
from services.edge.client.connection import CloseConnection, Connection
from services.edge.client.inbound import TOO_FAST, InboundQueue
from services.edge.client.message_flow import MessageFlow
from services.edge.client.outbound import OutboundQueue
from services.edge.client.posting import Posting
from services.edge.client.request_processor import RequestHandler, RequestProcessor
from services.edge.client.session import LocalServices, LoginSession
from services.edge.context import EdgeContext
from services.edge.dialects.base import LOGGED_OUT, TOO_MANY_REQUESTS, Dialect, Request
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.journal import DeliveryRecord
from services.edge.presence.local_accounts import Recipient
from services.edge.receipts.confirmation import DeliveryConfirmation
from services.edge.recording.tap import Tap
from services.edge.upstream.publisher import MessagePublisher
from shared.contract.audit import DeliveryStage
from shared.contract.auth import Revocation
from shared.contract.ids import NO_ACCOUNT, ChatId

_INPUT_ENDED = 1000, "all is answered"


class Client(Recipient):
    """See also services.edge.canonical.transport.ClientHandler. `ended` is called when the socket has ended."""

    __slots__ = (
        "_context", "_ended", "_flow", "_last_heard", "_out", "_posting", "_processor", "confirmation",
        "connection", "inbound", "session", "socket",
    )  # fmt: skip

    def __init__(
        self,
        context: EdgeContext,
        services: LocalServices,
        publisher: MessagePublisher,
        handler: RequestHandler,
        connection: Connection,
        socket: Socket,
        ended: Callable[["Client"], None],
    ) -> None:
        now, close = context.clock(), self.close
        self._context = context
        self._ended = ended
        self._last_heard = now
        self.connection = connection
        self.socket = socket
        self.inbound = InboundQueue(connection, socket, context.settings.edge, now)
        self.confirmation = DeliveryConfirmation(socket, context.clock, context.settings.edge.handling_seconds)
        self._out = OutboundQueue(
            context, socket, connection, self.confirmation, services.transfers, close, self._add_requests
        )
        self._posting = Posting(publisher, connection)
        self.session = LoginSession(context, services, self, connection, self._out, self._posting)
        self._flow = MessageFlow(context, self.session, self._out, self._posting, close)
        self._processor = RequestProcessor(context, self.inbound, self.session, self._out, self._flow, handler, close)

    @property
    def dialect(self) -> Dialect:
        return self._out.dialect

    @property
    def is_closing(self) -> bool:
        """Nothing more is sent or received; only the socket is still to end."""
        return self._out.is_closed

    @property
    def tap(self) -> Tap | None:
        """While the frames are recorded."""
        return self._out.tap

    @tap.setter
    def tap(self, tap: Tap | None) -> None:
        self._out.tap = tap

    @property
    def record(self) -> DeliveryRecord | None:
        """While the login is audited."""
        return self._out.record

    def keep_record(self, record: DeliveryRecord | None) -> None:
        self._out.record = record

    # Reported by the gateway

    @property
    def line_ending(self) -> bytes:
        return self.dialect.line_ending

    @property
    def is_logged_in(self) -> bool:
        return self.connection.account != NO_ACCOUNT

    def frame_received(self, frame: Frame) -> None:
        context, out = self._context, self._out
        if out.is_closed:
            return
        self._last_heard = now = context.clock()
        try:
            self.inbound.receive(frame, now)
        except CloseConnection as error:
            if error.reason == TOO_MANY_REQUESTS:
                self._processor.reject_waiting(TOO_FAST)
            self.close(error.code, error.reason)
            return
        if out.traffic is None:
            out.traffic = context.metrics.traffic(out.dialect.name)
        out.traffic.frames_in += 1
        if out.tap is not None:
            out.tap.received(frame)
        if not self._processor.is_performing and self._posting.in_flight is None:
            context.ticks.add(self._processor)

    def pong_received(self) -> None:
        self._last_heard = now = self._context.clock()
        self.session.mark_delivered(self.confirmation.pong_received(now))

    def input_ended(self) -> None:
        self._processor.close_when_idle = self._processor.close_when_idle or _INPUT_ENDED
        self._context.ticks.add(self._processor)

    def peer_closing(self) -> None:
        self._disconnect()

    def closed(self) -> None:
        self._disconnect()
        self._ended(self)

    # For the account that is logged in

    @property
    def number(self) -> int:
        return self.connection.number

    @property
    def names_senders(self) -> bool:
        return self.dialect.names_senders

    @property
    def pushes_pending_requests(self) -> bool:
        return self.dialect.pushes_pending_requests

    @property
    def shows_ephemeral(self) -> bool:
        return self.dialect.shows_ephemeral

    @property
    def shows_others_joins(self) -> bool:
        return self.dialect.shows_others_joins

    @property
    def dialect_name(self) -> str:
        return self.dialect.name

    def delivery_stage(self, chat: ChatId, index: int, time: int) -> DeliveryStage | None:
        dialect, session = self.dialect, self.session
        if self._out.is_closed:
            return DeliveryStage.CLOSING
        if stage := self._out.delivery_stage(chat, index):
            return stage
        if session.catch_up.awaits(chat):
            return DeliveryStage.BACKLOG
        if not dialect.receives_pushes or (not dialect.pushes_backlog and time < session.pushes_since):
            return DeliveryStage.PULLED
        return None if dialect.confirms_pushes else DeliveryStage.UNMARKED

    def deliver(self, messages: Sequence[EncodedMessage]) -> None:
        self._flow.deliver(messages)

    def notify(self, event: Event) -> None:
        self._flow.notify(event)

    def notify_ephemeral(self, event: Event) -> bool:
        taken = self._out.takes_ephemeral
        if taken:
            self._flow.notify(event)
        return taken

    def catch_up(self, chat: ChatId, fresh: int) -> None:
        self._flow.catch_up(chat, fresh)

    def revoked(self, revocation: Revocation) -> None:
        if self.session.revoked(revocation):
            self.close(1008, LOGGED_OUT)

    async def confirm_all(self) -> None:
        await self.confirmation.confirm_all()

    def requeue(self, request: Request) -> None:
        """A request that was held goes before everything that waits."""
        self._processor.requeue(request)

    # Time and the end

    def tick(self, now: float, *, may_confirm: bool) -> bool:
        """Called about every second: pings, and closes the connection after its time limits. `may_confirm`: see
        DeliveryConfirmation.tick. Returns whether a ping was sent."""
        edge, connection, socket = self._context.settings.edge, self.connection, self.socket
        self.inbound.tick(now)
        if self.inbound.paced:
            self._context.ticks.add(self._processor)
        excused = self.inbound.paused or (self.confirmation.waiting_since is not None and socket.delays_pongs())
        if reason := connection.timed_out(now, edge.first_frame_seconds, edge.unauthenticated_seconds):
            self.close(1008, reason)
        elif self.confirmation.tick(now, self._last_heard, edge, excused=excused, may_confirm=may_confirm):
            socket.abort()
        self._flow.expire(now)
        self._processor.drop_abandoned_uploads(now)
        if connection.pending_verification is not None and now >= connection.pending_verification.expires:
            connection.pending_verification = None
            self.notify(VerificationEnded("expired"))
        return self.confirmation.last_ping == now

    def close_gracefully(self, code: int, reason: str) -> None:
        """Reads no new frames, answers those that were received, then closes."""
        self._processor.close_when_idle = code, reason
        self.inbound.stop_reading()
        self._context.ticks.add(self._processor)

    def close(self, code: int, reason: str) -> None:
        """Closes from this side. The account stays until the socket ends: only then is it known which messages were
        delivered."""
        if self._out.is_closed:
            return
        if reason == TOO_MANY_REQUESTS:
            self.socket.count_as_flood()
        if (dialect := self.connection.dialect) is not None:
            frames, code, reason = dialect.encode_close(code, reason)
            self._out.write_now(frames)
        if self._out.tap is not None:
            self._out.tap.closed(code, reason)
        self._context.metrics.closed.labels(code).inc()
        self._stop_sending()
        self.socket.close(code, reason)

    def _disconnect(self) -> None:
        if self._out.tap is not None:
            self._out.tap.closed()
        self._stop_sending()
        self.session.leave()

    def _stop_sending(self) -> None:
        self._flow.flush()
        self._out.stop_sending()
        self.session.catch_up.cancel()
        self.inbound.close()

    def _add_requests(self, requests: Sequence[Request]) -> None:
        """Requests of the dialect's own; none at the end of media transfers."""
        self.inbound.add_requests(requests)
        self._context.ticks.add(self._processor)
