"""One client's socket, connection and dialect at work: frames in their turn, answers in request order, pushes.

Everything here runs on the event loop without waiting, save for `_perform`: the one request that may be under way.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.edge.backlog import Positions, sync, sync_chat
from services.edge.connection import Connection, Hangup, Phase, Refusal
from services.edge.dialects.base import Dialect, Push, Request
from services.edge.encoding import Encoded
from services.edge.node import Node
from services.edge.rates import Bucket
from services.edge.reading import Unconfirmed
from services.edge.requests import Answer, Event, Frame, OwnMessage, PostMessage
from services.edge.residents import Resident
from services.edge.socket import Socket
from shared.contract.errors import ErrorCode, Failure, Refused
from shared.contract.ids import NOBODY, AccountId, ChatId, Nonce
from shared.contract.message import ChatSync, Draft, Posted
from shared.contract.model import Message, pack_segments
from shared.telemetry import log, new_trace, trace

_log = log(__name__)
_INTERNAL = Failure(ErrorCode.INTERNAL, "internal error")
_SETTLE_SECONDS = 0.8
_TURN_SECONDS = 2.0
"""After it a committed message is answered though the chat's order is held up."""

Perform = Callable[["Client", Request], Awaitable[Answer]]
"""Carries out any request but a message. Raises Refused."""
Ended = Callable[["Client"], None]


@dataclass(slots=True)
class _Said:
    """A message of the run that is under way, and its answer once there is one."""

    request: Request
    nonce: Nonce
    result: OwnMessage | Failure | None = None


class Client:
    """See services.edge.socket.Client and services.edge.residents.Recipient."""

    __slots__ = (
        "_busy",
        "_deferred",
        "_ended",
        "_paused",
        "_perform_request",
        "_run",
        "_settled",
        "_sync",
        "_task",
        "_timer",
        "address",
        "connection",
        "deleting",
        "heard",
        "last_ping",
        "leaving",
        "node",
        "pinged_at",
        "positions",
        "socket",
        "unconfirmed",
    )  # fmt: skip

    def __init__(
        self, node: Node, connection: Connection, socket: Socket, address: str, perform: Perform, ended: Ended
    ) -> None:
        self.node = node
        self.address = address
        self._perform_request = perform
        self._ended = ended
        self.connection = connection
        self.socket = socket
        self.heard = node.now()
        self.pinged_at: float | None = None
        self.last_ping = self.heard
        self.unconfirmed = Unconfirmed()
        self.positions: Positions | None = None
        """While a sync is under way, and until the chats' heads have passed it; None: all that is delivered is news."""
        self.deleting = False
        self.leaving = False
        self._run: deque[_Said] = deque()
        self._busy = False
        self._paused = False
        self._deferred: list[Event] | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sync: asyncio.Task[None] | None = None
        self._settled: asyncio.Event | None = None

    # What the gateway reports

    def frame_received(self, frame: Frame) -> None:
        self.heard = now = self.node.now()
        try:
            self.connection.receive(frame, now)
        except Hangup as hangup:
            self.hang_up(hangup.code, hangup.reason)
            return
        self.node.turn.add(self)
        if self.connection.waiting > self.node.settings.edge.incoming_frames and not self._paused:
            self._paused = True
            self.socket.pause_reading()

    def pong_received(self) -> None:
        self.heard = self.node.now()
        self.pinged_at = None
        self._confirm(self.unconfirmed.ponged())

    def peer_closing(self) -> None:
        """Nothing that is sent from now on arrives; what the peer's kernel has acknowledged, has."""
        self._confirm(self.unconfirmed.ended(self.socket.unacknowledged() == 0))
        self._leave()

    def closed(self) -> None:
        self._confirm(self.unconfirmed.ended(False))
        self._leave()
        self._ended(self)

    # Turns

    def advance(self) -> None:
        """Do what waits, as far as it can be done now."""
        while not self._busy and (work := self.connection.next_work(self.node.now())) is not None:
            if isinstance(work, Refusal):
                self._refuse(work.request, work.failure, work.context)
            elif isinstance(work[0].command, PostMessage):
                self._say(work)
            else:
                self._busy = True
                self._task = self.node.tasks.start(self._perform(work[0]), type(work[0].command).__name__)
        if self._paused and self.connection.waiting <= self.node.settings.edge.incoming_frames // 2:
            self._paused = False
            self.socket.resume_reading()

    def repeat(self, request: Request) -> None:
        """A request that was withheld, before all that waits."""
        if not self.leaving:
            self.connection.repeat(request)
            self.node.turn.add(self)

    @property
    def idle(self) -> bool:
        return not self._busy and not self.connection.waiting

    def _say(self, run: list[Request]) -> None:
        self._busy = True
        upstream = self.node.upstream
        said = [_Said(request, upstream.nonce()) for request in run]
        self._run.extend(said)
        for one in said:
            command = one.request.command
            assert isinstance(command, PostMessage)
            body = pack_segments(command.segments)
            upstream.post(self, self.connection.account, command.chat, one.nonce, body)

    def failed(self, draft: Draft, failure: Failure) -> None:
        self._answer_message(draft.nonce, failure)

    def confirmed(self, draft: Draft, posted: Posted) -> None:
        """Committed, but not delivered here yet: it is answered when its turn in the chat has come."""
        message = Message(draft.chat, posted.index, posted.id, draft.sender, posted.time, draft.body, draft.nonce)
        if self.node.delivery.expect(draft.chat, posted.index):
            asyncio.get_running_loop().call_later(_TURN_SECONDS, self._own, Encoded(message))
        else:
            self._own(Encoded(message))

    def _answer_message(self, nonce: Nonce, result: OwnMessage | Failure) -> bool:
        """Write the answers that are due, in request order; whether the message was one of this connection's."""
        said = next((one for one in self._run if one.nonce == nonce), None)
        if said is None:
            return False
        said.result = result
        while self._run and (result_of_first := self._run[0].result) is not None:
            request = self._run.popleft().request
            if isinstance(result_of_first, Failure):
                self._refuse(request, result_of_first)
            else:
                self._reply(request, result_of_first)
        if not self._run:
            self._free()
        return True

    async def _perform(self, request: Request) -> None:
        """Any other request: one at a time."""
        trace.set(new_trace())
        self._deferred = []
        started = self.node.now()
        try:
            answer = await self._perform_request(self, request)
            self._reply(request, answer)
        except Refused as refusal:
            self._refuse(request, refusal.failure)
        except Exception:
            _log.exception("request failed", command=type(request.command).__name__)
            self._refuse(request, _INTERNAL)
        self.node.metrics.request_seconds.labels(type(request.command).__name__).observe(self.node.now() - started)
        deferred, self._deferred = self._deferred or [], None
        for event in deferred:
            self.tell(event)
        self._free()

    def _free(self) -> None:
        self._busy = False
        self.node.turn.add(self)

    def _reply(self, request: Request, answer: Answer) -> None:
        self._write(self.dialect.answer(request, answer, self.node.now()))
        self._schedule_wake()

    def _refuse(self, request: Request | None, failure: Failure, context: object = None) -> None:
        self.node.metrics.refused.labels(self.dialect.name, failure.code.value).inc()
        self._write(self.dialect.refuse(request, failure, context))

    # Pushes

    def deliver(self, encoded: Encoded) -> None:
        message = encoded.message
        if self._run and self._own(encoded):
            return
        if self.positions is not None and self.positions.covers(message.chat, message.index):
            return
        self.push(encoded)

    def push(self, encoded: Encoded) -> None:
        """Write a message now, or let the dialect hold it."""
        message, dialect = encoded.message, self.dialect
        frames = encoded.frames(dialect)
        if dialect.holds(message.chat):
            self._push_all(dialect.hold(message, frames, self.node.now()))
            self._bound(dialect.held_bytes)
        elif not self.leaving:
            self._write(frames)
            self.unconfirmed.pushed(message.chat, message.index)

    def _own(self, encoded: Encoded) -> bool:
        """A message of this connection's own run: its answer."""
        message = encoded.message
        if message.sender != self.connection.account:
            return False
        if not self._answer_message(message.nonce, OwnMessage(message, encoded.frames(self.dialect))):
            return False
        self.node.upstream.done(message.nonce)
        self.node.read_state.add(message.sender, {message.chat: [(message.index, message.index)]})
        return True

    def tell(self, event: Event) -> None:
        if self._deferred is not None:
            self._deferred.append(event)
        elif self.connection.dialect is not None:
            self._push_all(self.dialect.tell(event, self.node.now()))

    def knows(self, chats: list[ChatId]) -> None:
        self.dialect.knows(chats, self.node.now())
        self._schedule_wake()

    def unsent(self) -> int:
        return self.socket.unsent()

    # Login

    def enter(self, account: AccountId, sid: str, revision: int) -> Resident:
        """Logged in: what comes for the account comes here. Its former account is left first."""
        self.log_out()
        requests = self._account_requests(account)
        self.connection.enter(account, sid, revision, requests)
        self.positions = Positions()
        resident = self.node.residents.attach(account, self, requests)
        self.dialect.entered(account, self.node.now())
        self._schedule_wake()
        return resident

    def _account_requests(self, account: AccountId) -> Bucket:
        if (resident := self.node.residents.get(account)) and resident.requests:
            return resident.requests
        limits = self.node.settings.limits
        return Bucket(limits.requests_per_second, limits.requests_burst, self.node.now())

    def read_backlog(self, resident: Resident) -> None:
        """Read what was missed, beside everything else."""
        if self.positions is not None:
            self._sync = self.node.tasks.start(sync(self.node, self, resident, self.positions), "sync")

    def catch_up(self, entry: ChatSync) -> None:
        """A chat turned up in a re-sync: read it, after whatever is being read."""
        resident = self.node.residents.get(self.connection.account)
        if resident is not None and self.positions is None:
            self._sync = self.node.tasks.start(sync_chat(self.node, self, resident, entry), "sync chat")

    def is_at(self, positions: Positions) -> bool:
        return self.positions is positions and not self.leaving

    def _push_all(self, pushes: tuple[Push, ...]) -> None:
        for push in pushes:
            self._write(push.frames)
            if push.message is not None and not self.leaving:
                self.unconfirmed.pushed(push.message.chat, push.message.index)
        self._schedule_wake()

    def _schedule_wake(self) -> None:
        wake_at = None if self.leaving else self.dialect.wake_at
        if self._timer is not None:
            if self._timer.when() == wake_at:
                return
            self._timer.cancel()
            self._timer = None
        if wake_at is not None:
            self._timer = asyncio.get_running_loop().call_at(wake_at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._push_all(self.dialect.wake(self.node.now()))

    def _write(self, frames: tuple[Frame, ...]) -> None:
        if not frames or self.leaving:
            return
        self.socket.send(frames)
        self._bound(self.socket.unsent())

    def _bound(self, waiting_bytes: int) -> None:
        if waiting_bytes > self.node.settings.edge.outgoing_bytes:
            self.hang_up(1013, "too slow, reconnect to catch up")

    @property
    def dialect(self) -> Dialect:
        assert self.connection.dialect is not None
        return self.connection.dialect

    # Arrival

    def ping(self) -> None:
        if self.pinged_at is None:
            self.pinged_at = self.last_ping = self.node.now()
            self.unconfirmed.pinged()
            self.socket.ping()

    async def settle(self) -> None:
        """Wait, a moment at most, until it is known whether what was pushed has arrived."""
        if not self.unconfirmed:
            return
        self._settled = self._settled or asyncio.Event()
        self.ping()
        try:
            await asyncio.wait_for(self._settled.wait(), _SETTLE_SECONDS)
        except TimeoutError:
            _log.debug("pushes not confirmed in time", connection=self.connection.number)

    def _confirm(self, ranges: dict[ChatId, list[tuple[int, int]]]) -> None:
        self.node.read_state.add(self.connection.account, ranges)
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    # End

    def revoked(self, sid: str, number: int) -> None:
        mine = not sid or sid == self.connection.sid
        if mine and number > self.connection.revision and not self.deleting:
            self.hang_up(1008, "logged out")

    def hang_up(self, code: int, reason: str) -> None:
        """Close from our side."""
        if self.leaving:
            return
        self.node.metrics.closed.labels(code).inc()
        self._confirm(self.unconfirmed.ended(self.socket.unacknowledged() == 0))
        self._leave()
        self.socket.close(code, reason)

    def log_out(self) -> None:
        """The account is left; the connection stays."""
        if self.connection.phase is Phase.AUTHENTICATED:
            self._confirm(self.unconfirmed.ended(self.socket.unacknowledged() == 0))
            self._detach()
            self.connection.leave()
            self.dialect.entered(NOBODY, self.node.now())

    def _leave(self) -> None:
        if self.leaving:
            return
        self.leaving = True
        if self._timer is not None:
            self._timer.cancel()
        if self.connection.phase is Phase.AUTHENTICATED:
            self._detach()
        self.connection.close()

    def _detach(self) -> None:
        self.positions = None
        if self._sync is not None:
            self._sync.cancel()
            self._sync = None
        if (last := self.node.residents.detach(self.connection.account, self)) is not None:
            self.node.delivery.gone(last)
