"""One client: its socket, inbox, posts, outbox and login. A message from the client passes through the inbox and the
posts. Output to the client passes through the outbox."""

from collections.abc import Callable, Iterable, Sequence

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.events import ChatJoined, Event, VerificationEnded
from services.edge.canonical.frames import Frame
from services.edge.canonical.transport import Socket
from services.edge.client.connection import CloseConnection, Connection, Phase
from services.edge.client.inbox import TOO_FAST, WAITED, ClientInbox, PostBatch, RejectedFrame, Work
from services.edge.client.outbox import ClientOutbox
from services.edge.client.posts import Iteration, Posts
from services.edge.client.requests import RequestHandler, RequestRunner
from services.edge.client.session import LocalServices, LoginSession, ReadMissed
from services.edge.confirmations.confirmation import DeliveryConfirmation
from services.edge.context import EdgeContext
from services.edge.dialects.base import LOGGED_OUT, TOO_MANY_REQUESTS, Action, Dialect, LoadedChat, LocalReply, Request
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.journal import DeliveryRecord
from services.edge.presence.local_accounts import Recipient
from services.edge.recording import Tap
from shared.clock import now_ms
from shared.contract.audit import DeliveryStage
from shared.contract.auth import Revocation
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, ChatId
from shared.contract.model import Message
from shared.telemetry import log

_log = log(__name__)
_INPUT_ENDED = 1000, "all is answered"


class Client(Recipient):
    """Implements services.edge.canonical.transport.ClientHandler, services.edge.client.posts.Processable,
    services.edge.client.requests.RequestOwner and services.edge.catchup.missed.ReadingClient. The client calls `ended`
    when the socket has ended."""

    __slots__ = (
        "_close_when_idle", "_context", "_ended", "_iteration", "_last_heard", "_out", "_posts", "_requests",
        "_rests_until", "confirmation", "connection", "inbox", "session", "socket",
    )  # fmt: skip

    def __init__(
        self,
        context: EdgeContext,
        services: LocalServices,
        iteration: Iteration,
        handler: RequestHandler,
        connection: Connection,
        socket: Socket,
        ended: Callable[["Client"], None],
    ) -> None:
        now, close, edge = context.clock(), self.close, context.settings.edge
        self._context = context
        self._ended = ended
        self._iteration = iteration
        self._last_heard = now
        self._rests_until = 0.0
        """Until this time, the timer has nothing to do, unless a frame or a push comes."""
        self._close_when_idle: tuple[int, str] | None = None
        """The code and the reason with which the connection is closed once every request is answered."""
        self.connection = connection
        self.socket = socket
        self.inbox = ClientInbox(connection, socket, edge, now)
        self.confirmation = DeliveryConfirmation(socket, context.clock, edge.handling_seconds)
        self._out = ClientOutbox(
            context, socket, connection, self.confirmation, services.transfers, close, self._add_actions
        )
        self.session = LoginSession(context, services, self, connection, self._out)
        self._posts = Posts(context, iteration, self.session, self._out, self)
        self.session.catch_up.client = self
        self._requests = RequestRunner(context, self.session, self._out, handler, self)

    @property
    def dialect(self) -> Dialect:
        return self._out.dialect

    @property
    def is_closing(self) -> bool:
        """Whether nothing more is sent or received. The socket itself may not have ended yet."""
        return self._out.is_closed

    @property
    def tap(self) -> Tap | None:
        """The recorder of this connection's frames, if they are recorded."""
        return self._out.tap

    @tap.setter
    def tap(self, tap: Tap | None) -> None:
        self._out.tap = tap

    @property
    def record(self) -> DeliveryRecord | None:
        """The record of messages that this connection has got, while the account is audited."""
        self._out.write_deferred()
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
        self._rests_until = 0.0
        try:
            self.inbox.receive(frame, now)
        except CloseConnection as error:
            if error.reason == TOO_MANY_REQUESTS:
                self._reject_waiting(TOO_FAST)
            self.close(error.code, error.reason)
            return
        if out.traffic is None:
            out.traffic = context.metrics.traffic(out.dialect.name)
        out.traffic.frames_in += 1
        if out.tap is not None:
            out.tap.received(frame)
        if not self._requests.is_performing and self._posts.in_flight is None:
            self._iteration.add(self)

    def pong_received(self) -> None:
        self._last_heard = now = self._context.clock()
        self.session.mark_delivered(self.confirmation.pong_received(now))

    def input_ended(self) -> None:
        self._close_when_idle = self._close_when_idle or _INPUT_ENDED
        self.wake()

    def peer_closing(self) -> None:
        self._disconnect()

    def closed(self) -> None:
        self._disconnect()
        self._ended(self)

    # Requests of the client

    def wake(self) -> None:
        self._iteration.add(self)

    def process(self) -> None:
        """Process the inbox as far as possible now. Requests are handled one at a time, and messages to one chat in
        batches. Replies are in the order of requests. In a dialect whose replies have ids, later replies may overtake
        the replies to reads."""
        posts, requests, inbox = self._posts, self._requests, self.inbox
        self._out.write_deferred()
        if posts.in_flight is not None:
            posts.reply_due()
        while (
            (inbox.frames or inbox.decoded)
            and not requests.is_performing
            and posts.in_flight is None
            and (work := self._next_work()) is not None
        ):
            if isinstance(work, PostBatch):
                self._post_or_resolve(work)
            elif isinstance(work, Request):
                if requests.must_wait(work):
                    inbox.requeue(work)
                    break
                requests.perform(work)
            elif isinstance(work, RejectedFrame):
                requests.reject(work.request, work.failure, work.context)
            elif isinstance(work, LocalReply):
                self._out.reply_locally(work.frames)
            else:
                inbox.close()
                self._close_when_idle = work
        if self._close_when_idle is not None and not (
            posts.in_flight is not None or self._out.transfers or not requests.all_answered
        ):
            self._close_in_order(*self._close_when_idle)
        if inbox.paused and inbox.resume_reading():
            self.confirmation.excuse(self._context.clock())

    def _next_work(self) -> Work | None:
        try:
            return self.inbox.next_work(self._context.clock(), self._context.settings.edge.request_seconds)
        except CloseConnection as error:
            self.close(error.code, error.reason)
            return None

    def _post_or_resolve(self, batch: PostBatch) -> None:
        if self._needs_lookup(batch.requests[0], batch.messages[0]):
            self._requests.resolve(batch)
        else:
            self.post(batch)

    def _needs_lookup(self, request: Request, message: PostMessage) -> bool:
        """Whether the sender, the chat or the content must be looked up."""
        if message.to or message.references_media or message.reply_to:
            return True
        return bool(request.token) and not self.connection.has_verified_token(request, now_ms() // 1000)

    def post(self, batch: PostBatch, lookup_seconds: float = 0.0) -> None:
        waited = self.inbox.waited + lookup_seconds
        for request in reversed(self._posts.submit(batch, self._context.clock(), waited)):
            self.inbox.requeue(request)

    def requeue(self, request: Request) -> None:
        """Put a request that was taken from the inbox in front of all waiting requests."""
        if not self._out.is_closed:
            self.inbox.requeue(request)
            self.wake()

    def _reject_waiting(self, failure: Failure) -> None:
        """Reject every request that waits, in order."""
        for rejected in self.inbox.reject_all(failure):
            self._requests.reject(rejected.request, rejected.failure, rejected.context)

    def _add_actions(self, actions: Sequence[Action]) -> None:
        """Add requests of the dialect itself. The list is empty when the dialect's media transfers have ended."""
        self._rests_until = 0.0
        self.inbox.add_actions(actions)
        self.wake()

    def fail(self) -> None:
        try:
            self.close(1011, "internal error")
        except Exception:
            _log.exception("connection not closed in order")
            self.socket.abort()

    # Output to the client

    def deliver(self, messages: Sequence[EncodedMessage]) -> None:
        """Deliver live messages of one chat. Missed messages come first, even before the client's own new messages."""
        catch_up = self.session.catch_up
        if catch_up.missed is None and self._posts.in_flight is None:
            self._out.push(messages)
            return
        for encoded in messages:
            if catch_up.missed is None or not catch_up.contains(encoded.message):
                self._deliver_one(encoded)

    def deliver_later(self, messages: list[EncodedMessage]) -> None:
        if self._posts.in_flight is not None or not self._out.may_defer():
            self.deliver(messages)
            return
        catch_up = self.session.catch_up
        if catch_up.missed is not None:
            messages = [encoded for encoded in messages if not catch_up.contains(encoded.message)]
        if messages:
            self._out.defer(messages)

    def notify_later(self, event: Event) -> None:
        session = self.session
        is_free = session.deferred is None and session.pushed is None and self._posts.in_flight is None
        if is_free and self._out.may_defer():
            self._out.defer(event)
        else:
            self.notify(event)

    def _deliver_one(self, encoded: EncodedMessage) -> None:
        """Deliver a live or a missed message. If the message belongs to the batch in flight, it answers the client's
        request."""
        if self._posts.in_flight is not None:
            if self._posts.accept(encoded):
                return
            self._posts.flush()
        self._out.push((encoded,))

    def notify(self, event: Event) -> None:
        session = self.session
        if session.deferred is not None and (isinstance(event, ChatJoined) or session.catch_up.awaits_answer):
            session.deferred.append(event)
            return
        if session.pushed is not None:
            session.pushed.append(event)
        self._posts.flush()
        self._out.notify(event)

    def notify_ephemeral(self, event: Event) -> bool:
        taken = self._out.takes_ephemeral
        if taken:
            self.notify(event)
        return taken

    def catch_up(self, chat: ChatId, fresh: int) -> None:
        self._read(self.session.discover(chat, fresh))

    def start_reading(self) -> None:
        self._read(self.session.catch_up.start_reading())

    def _read(self, read: ReadMissed | None) -> None:
        if read is not None:
            self.session.catch_up.reading = self._context.tasks.start(self._read_missed(read), "catch-up")

    async def _read_missed(self, read: ReadMissed) -> None:
        try:
            await read()
        except Exception:
            _log.exception("missed messages not read")
            self.fail()

    # services.edge.catchup.missed.ReadingClient

    def awaits_reply(self, message: Message) -> bool:
        in_flight = self._posts.in_flight
        return in_flight is not None and in_flight.awaits(message)

    def posts_in(self, chat: ChatId) -> bool:
        in_flight = self._posts.in_flight
        return in_flight is not None and in_flight.chat == chat

    def load_chats(self, chats: Sequence[LoadedChat]) -> None:
        self._out.chats_loaded(chats)

    def show(self, messages: Iterable[EncodedMessage]) -> None:
        for encoded in messages:
            self._deliver_one(encoded)

    async def until_room(self) -> None:
        await self._out.until_room()

    # The following methods are for the account that is logged in.

    @property
    def number(self) -> int:
        return self.connection.number

    @property
    def shows_pending_requests(self) -> bool:
        return self.dialect.pushes_pending_requests and not self.socket.drops_events

    def delivery_stage(self, chat: ChatId, index: int, time: int) -> DeliveryStage | None:
        dialect, session = self.dialect, self.session
        if self._out.is_closed:
            return DeliveryStage.CLOSING
        if stage := self._out.delivery_stage(chat, index):
            return stage
        if session.catch_up.awaits(chat):
            return DeliveryStage.BACKLOG
        if not dialect.receives_pushes or (not dialect.pushes_missed and time < session.pushes_since):
            return DeliveryStage.PULLED
        return None if dialect.confirms_pushes else DeliveryStage.UNMARKED

    def revoked(self, revocation: Revocation) -> None:
        if self.session.revoked(revocation):
            self.close(1008, LOGGED_OUT)

    async def confirm_all(self) -> None:
        await self.confirmation.confirm_all()

    async def has_arrived(self) -> bool:
        self._out.write_deferred()
        return not self.session.catch_up.awaits_answer and await self.confirmation.has_arrived()

    # Timer and end

    def on_timer(self, now: float, *, may_confirm: bool) -> bool:
        """Sends pings, and closes the connection after its time limits. The endpoint calls this about every second.
        `may_confirm`: see DeliveryConfirmation.on_timer. Returns whether a ping was sent. Most connections are at rest.
        For them, this reads only a few objects, because none is in the processor's cache."""
        if now < self._rests_until and not self.confirmation.unconfirmed:
            return False
        edge, connection, socket = self._context.settings.edge, self.connection, self.socket
        self.inbox.on_timer(now)
        if self.inbox.paced:
            self.wake()
        excused = self.inbox.paused or (self.confirmation.waiting_since is not None and socket.delays_pongs())
        if reason := connection.timed_out(now, edge.first_frame_seconds, edge.unauthenticated_seconds):
            self.close(1008, reason)
        elif self.confirmation.on_timer(now, self._last_heard, edge, excused=excused, may_confirm=may_confirm):
            socket.abort()
        self._posts.expire(now)
        if not (self._requests.is_performing or self._posts.in_flight is not None or self.inbox.paused):
            self._requests.drop_abandoned_uploads(now)
        if connection.pending_verification is not None and now >= connection.pending_verification.expires:
            self.notify(VerificationEnded("expired"))
            self.session.reject_unverified("the mailed link was not opened in time")
        self._rests_until = self._last_heard + edge.ping_interval_seconds if self._is_at_rest() else 0.0
        return self.confirmation.last_ping == now

    def _is_at_rest(self) -> bool:
        """Whether a ping because of silence is the next work of the timer, unless a frame or a push comes."""
        connection, inbox = self.connection, self.inbox
        return (
            connection.phase is Phase.AUTHENTICATED
            and connection.pending_verification is None
            and self.confirmation.waiting_since is None
            and self._posts.in_flight is None
            and not (inbox.queued or inbox.paused or self._requests.is_performing or self.session.has_uploads)
        )

    def close_gracefully(self, code: int, reason: str) -> None:
        """Read no new frames, answer the frames that were received, then close."""
        self._close_when_idle = code, reason
        self.inbox.stop_reading()
        self.wake()

    def _close_in_order(self, code: int, reason: str) -> None:
        """Close once every request is answered, except requests in frames over the rate. If only the client has ended
        its input, answer these requests, too."""
        if self.inbox.paced and self.inbox.stopped:
            self._reject_waiting(WAITED)
        if not self.inbox.paced:
            self.close(code, reason)

    def close(self, code: int, reason: str) -> None:
        """Close from this side. The account stays until the socket ends. Only then does the edge know which messages
        were delivered."""
        if self._out.is_closed:
            return
        if reason == TOO_MANY_REQUESTS:
            self.socket.count_as_flood()
        self.session.mark_delivered(self.confirmation.closing())
        if (dialect := self.connection.dialect) is not None:
            self._out.write_deferred()
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
        self._posts.flush()
        self._out.stop_sending()
        self.session.catch_up.cancel()
        self._requests.cancel_reads()
        self.inbox.close()
