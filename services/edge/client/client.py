"""One client's socket, connection and dialect at work: frames in their turn, answers in request order, pushes.

Everything here runs on the event loop without waiting, save for `_perform`: the one request that may be under way.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import Protocol

from services.edge.canonical.commands import OfUpload, PostMessage, Saying
from services.edge.canonical.events import ChatAppeared, Event, VerificationEnded
from services.edge.canonical.frames import Frame
from services.edge.canonical.replies import Answer
from services.edge.canonical.transport import Socket
from services.edge.catchup.catch_up import CatchingUp
from services.edge.client.connection import Connection, Hangup, Refusal
from services.edge.client.outbound import Outlet
from services.edge.client.posting import Posting
from services.edge.client.uploads import ABANDONED, Uploads
from services.edge.context import Node
from services.edge.dialects.base import Dialect, Request
from services.edge.dialects.encoded_message import Encoded
from services.edge.presence.local_accounts import Resident
from services.edge.receipts.confirmation import Arrival
from services.edge.receipts.read_state import Ranges
from services.edge.rpc.failures import failure_of
from services.edge.upstream.in_flight import Run
from shared.clock import now_ms
from shared.contract.auth import Authenticated, Revocation
from shared.contract.errors import Failure
from shared.contract.ids import NOBODY, ChatId, NodeId
from shared.contract.model import Face
from shared.telemetry import log, new_trace, trace

_log = log(__name__)
_ANSWERED = 1000, "all is answered"


class Performs(Protocol):
    async def perform(self, client: "Client", request: Request) -> Answer:
        """Carry out any request but a message. Raises Refused."""

    async def resolve(self, client: "Client", run: list[Request]) -> list[Request]:
        """Messages, or the last part of a file, as messages that only have to be posted. Raises Refused."""

    def welcome(self, client: "Client") -> None:
        """A login is answered: what else is due now."""


Ended = Callable[["Client"], None]


class Client:
    """See services.edge.canonical.transport.Client and services.edge.presence.local_accounts.Recipient."""

    __slots__ = (
        "_busy", "_deferred", "_ended", "_goodbye", "_out", "_performs", "_posting", "_resident",
        "address", "answers_first", "arrival", "catching_up", "connection", "heard", "is_void", "node", "paused",
        "socket", "uploads",
    )  # fmt: skip

    def __init__(
        self, node: Node, connection: Connection, socket: Socket, address: str, performs: Performs, ended: Ended
    ) -> None:
        self.node = node
        self.connection = connection
        self.socket = socket
        self.address = address
        self._performs = performs
        self._ended = ended
        self.heard = node.now()
        self.arrival = Arrival(socket, self._arrived, self.heard)
        self._out = Outlet(node, socket, connection, self.arrival, self.hang_up, self._emptied)
        self.paused = False
        """More has arrived than is read on."""
        self.answers_first = False
        """What is under way may void the login, and has to be answered before that ends it."""
        self.is_void = False
        """The login was voided meanwhile."""
        self._resident: Resident | None = None
        self.catching_up = CatchingUp(node, self)
        self.uploads = Uploads(node.media)
        self._posting = Posting(node, self)
        self._busy = False
        self._deferred: list[ChatAppeared] | None = None
        self._goodbye: tuple[int, str] | None = None

    # What the gateway reports

    def frame_received(self, frame: Frame) -> None:
        node, out = self.node, self._out
        if out.silent:
            return
        self.heard = now = node.now()
        try:
            self.connection.receive(frame, now)
        except Hangup as hangup:
            self.hang_up(hangup.code, hangup.reason)
            return
        if out.traffic is None:
            out.traffic = node.metrics.traffic(out.dialect.name)
        out.traffic.frames_in += 1
        if not self._busy:
            node.turn.add(self)
        if not self.paused and self._has_waiting(1.0):
            self.paused = True
            self.socket.pause_reading()

    def pong_received(self) -> None:
        self.heard = self.node.now()
        self.arrival.ponged()

    def input_ended(self) -> None:
        self._goodbye = self._goodbye or _ANSWERED
        self.node.turn.add(self)

    def peer_closing(self) -> None:
        self._part()

    def closed(self) -> None:
        self._part()
        self._ended(self)

    # Turns

    def advance(self) -> None:
        """Do what waits, as far as it can be done now."""
        if self._posting.run is not None:
            self._posting.answer()
        while not self._busy and (work := self._next_work()) is not None:
            if isinstance(work, Refusal):
                self.refuse(work.request, work.failure, work.context)
            elif isinstance(command := work[0].command, Saying):
                self._busy = True
                if self._may_say(work[0]):
                    self._posting.say(work)
                else:
                    self.node.tasks.start(self._resolve(work), type(command).__name__)
            else:
                self._busy = True
                self.node.tasks.start(self._perform(work[0]), type(work[0].command).__name__)
        if self._goodbye is not None and not self._busy and not self._out.transfers:
            self.hang_up(*self._goodbye)
        if self.paused and not self._has_waiting(0.5):
            self.paused = False
            self.arrival.excuse(self.node.now())
            self.socket.resume_reading()

    def _next_work(self) -> list[Request] | Refusal | None:
        try:
            return self.connection.next_work(self.node.now(), self.node.settings.edge.request_seconds)
        except Hangup as hangup:
            self.hang_up(hangup.code, hangup.reason)
            return None

    def _has_waiting(self, share: float) -> bool:
        """More than this share of what may wait."""
        connection, edge = self.connection, self.node.settings.edge
        return (
            connection.waiting_bytes > edge.incoming_bytes * share or connection.waiting > edge.incoming_frames * share
        )

    def repeat(self, request: Request) -> None:
        """A request that was withheld, before all that waits."""
        if not self.leaving:
            self.connection.repeat(request)
            self.node.turn.add(self)

    @property
    def dialect(self) -> Dialect:
        return self._out.dialect

    @property
    def names_senders(self) -> bool:
        return self.dialect.names_senders

    @property
    def is_told_requests(self) -> bool:
        return self.dialect.is_told_requests_at_login

    @property
    def leaving(self) -> bool:
        """Nothing more is said or listened to; only the socket is still to end."""
        return self._out.silent

    def go_on(self) -> None:
        self._busy = False
        if self.connection.waiting or self.paused or self._goodbye is not None:
            self.node.turn.add(self)

    def _emptied(self) -> None:
        self.node.turn.add(self)

    async def _perform(self, request: Request) -> None:
        """Any request but a message: one at a time."""
        trace.set(new_trace())
        name, started = type(request.command).__name__, self.node.now()
        self._deferred = []
        outcome = await self._outcome(request)
        self.node.metrics.request_seconds.labels(name).observe(self.node.now() - started)
        deferred, self._deferred = self._deferred, None
        try:
            if isinstance(outcome, Failure):
                self.refuse(request, outcome)
            else:
                self.reply([(request, outcome)])
            self.catching_up.go_on()
            if isinstance(outcome, Authenticated):
                self._performs.welcome(self)
            for event in deferred:
                self.tell(event)
        except Exception:
            _log.exception("dialect failed", command=name)
            self.fail()
        self.go_on()

    def _may_say(self, request: Request) -> bool:
        """Whether it is known who says it, where, and all of what."""
        command = request.command
        if not isinstance(command, PostMessage) or command.to or command.cites:
            return False
        return not request.token or self.connection.has_shown(request, now_ms() // 1000)

    async def _resolve(self, run: list[Request]) -> None:
        """Messages that bear a token, are for a private chat, or hold what has to be looked up."""
        trace.set(new_trace())
        try:
            resolved = await self._performs.resolve(self, run)
        except Exception as error:
            failure = failure_of(error, type(run[0].command).__name__)
            for request in run:
                self.refuse(request, failure)
            resolved = []
        self.catching_up.go_on()
        if resolved and not self.leaving:
            self._posting.say(resolved)
            self.node.turn.add(self)  # whose end sends what was said
        else:
            self.go_on()

    async def _outcome(self, request: Request) -> Answer | Failure:
        try:
            return await self._performs.perform(self, request)
        except Exception as error:
            return failure_of(error, type(request.command).__name__)

    def reply(self, answers: Sequence[tuple[Request, Answer]]) -> None:
        if not self.leaving:
            dialect, now = self._out.told_time(), self.node.now()
            replies = [dialect.answer(asked, told, now) for asked, told in answers]
            self._out.write(replies[0] if len(replies) == 1 else tuple(chain.from_iterable(replies)))
            self._out.plan()

    def refuse(self, request: Request | None, failure: Failure, context: object = None) -> None:
        if not self.leaving:
            if request is not None and isinstance(request.command, OfUpload):
                self.uploads.drop(request.command.number)
            self.node.metrics.refused.labels(self.dialect.name, failure.code.value).inc()
            self._out.write(self._out.told_time().refuse(request, failure, context))
            self._out.plan()

    # Pushes

    def deliver(self, said: Sequence[Encoded]) -> None:
        """News. One's own messages, too, come after what was missed before them."""
        if self.catching_up.backlog is None and self._posting.run is None:
            self._out.push(said)
            return
        for encoded in said:
            if not self.catching_up.covers(encoded.message):
                self.show(encoded)

    def show(self, encoded: Encoded) -> None:
        """Also what was missed, and the connection's own messages, if they are found that way first."""
        if self._posting.run is None or not self._posting.answered_by(encoded):
            self._out.push((encoded,))

    @property
    def unanswered(self) -> Run | None:
        return self._posting.run

    def tell(self, event: Event) -> None:
        """Chats that appear during a request are told of after its answer, which may be about them."""
        if self._deferred is not None and isinstance(event, ChatAppeared):
            self._deferred.append(event)
        else:
            self._posting.answer()
            self._out.tell(event)

    # The account

    async def enter(
        self, answer: Authenticated, others: Collection[NodeId], face: Face | None, issued: int | None = None
    ) -> None:
        """Logged in (`issued`: by a token of this age): what comes for the account comes here, and what it missed is
        read once that is answered. The former account is left first. `others` are the other nodes that the account is
        on."""
        self.log_out()
        now = self.node.now()
        self._resident = self.node.residents.attach(answer.account, self, now)
        self._resident.face = face or self._resident.face
        self.connection.enter(answer, self._resident.requests, issued)
        self.node.revisions_heard(answer.revision)
        self.dialect.entered(answer.account, now)
        self._out.plan()
        if self.dialect.is_told_messages:
            await self.catching_up.begin(self._resident, others)

    def catch_up(self, chat: ChatId, fresh: int) -> None:
        if self._resident is not None and not self.leaving and self.dialect.is_told_messages:
            self.catching_up.turned_up(self._resident, chat, fresh)

    def knows(self, chats: list[ChatId]) -> None:
        self.dialect.knows(chats, self.node.now())
        self._out.plan()

    def unsent(self) -> int:
        return self._out.waiting_bytes()

    def log_out(self) -> None:
        """The account is left; the connection stays."""
        if self._resident is not None:
            self._detach()
            if self._deferred is not None:
                self._deferred.clear()
            self.connection.leave()
            self.dialect.entered(NOBODY, self.node.now())
            self._out.plan()

    def _detach(self) -> None:
        resident = self._resident
        if resident is None:
            return
        self.catching_up.stop()
        self.uploads.drop_all()
        self._out.account_left()
        self._resident = None
        if self.node.residents.detach(resident, self):
            self.node.chats.gone(resident)

    def _arrived(self, ranges: Ranges) -> None:
        if self._resident is not None:
            self.node.read_flush.read(self._resident.account, ranges)

    async def settle(self) -> None:
        await self.arrival.settle(self.node.now)

    # The end

    def look_after(self, now: float) -> None:
        """Called about every second: pings, and what is due by the clock."""
        edge, connection = self.node.settings.edge, self.connection
        if reason := connection.overdue(now, edge.first_frame_seconds, edge.unauthenticated_seconds):
            self.hang_up(1008, reason)
        elif self.arrival.look_after(now, self.heard, edge, excused=self.paused or self.socket.holds_back()):
            self.socket.abort()
        self._posting.give_up(now)
        if not (self._busy or self.paused):
            for begun_by in self.uploads.abandoned(now, edge.upload_idle_seconds):
                self.refuse(begun_by, ABANDONED)
        if connection.withheld is not None and now >= connection.withheld.expires:
            connection.withheld = None
            self.tell(VerificationEnded("expired"))

    def fail(self) -> None:
        """Something that concerns this connection went wrong; it has been logged."""
        self.hang_up(1011, "internal error")

    def revoked(self, revocation: Revocation) -> None:
        self.connection.token = ""  # to be checked again
        if not self.connection.is_ended_by(revocation):
            return
        self.is_void = self.answers_first
        if not self.answers_first:
            self.hang_up(1008, "logged out")

    def retire(self, code: int, reason: str) -> None:
        """Take nothing new, answer what has come, then hang up."""
        self._goodbye = code, reason
        self.socket.pause_reading()
        self.node.turn.add(self)

    def hang_up(self, code: int, reason: str) -> None:
        """Close from our side. The account stays until the socket ends: only then is known what has arrived."""
        if self.leaving:
            return
        self.node.metrics.closed.labels(code).inc()
        self._fall_silent()
        self.socket.close(code, reason)

    def _part(self) -> None:
        self._fall_silent()
        self._detach()

    def _fall_silent(self) -> None:
        self._posting.answer()
        self._out.fall_silent()
        self.catching_up.stop()
        self.connection.close()
