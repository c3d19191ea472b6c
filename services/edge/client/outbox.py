"""The output to one client. Replies are written at once, and pushes when the dialect permits it. Pushes of large groups
may be deferred for some milliseconds, but stay before all later output. All output is bounded."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TypeGuard

from msgspec.structs import replace

from services.edge.canonical.events import Event, MessageChanged
from services.edge.canonical.frames import Frame, MediaPayload, Outgoing
from services.edge.canonical.replies import Reply
from services.edge.canonical.transport import Socket
from services.edge.client.connection import Connection
from services.edge.client.media_sender import MediaSender, MediaTransfers
from services.edge.confirmations.confirmation import DeliveryConfirmation
from services.edge.confirmations.read_state import Ranges
from services.edge.context import EdgeContext
from services.edge.dialects.base import Action, Dialect, LoadedChat, Push, Request
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.journal import DeliveryRecord
from services.edge.metrics import Traffic
from services.edge.recording import Tap
from shared.contract.audit import DeliveryStage
from shared.contract.errors import Failure
from shared.contract.ids import ChatId
from shared.contract.message import ChangeKind
from shared.contract.model import Message
from shared.telemetry import log, new_trace

_log = log(__name__)
_PACE_BYTES = 256 * 1024
_PACE_SECONDS = 0.05
_TICK_BYTES = 4 * 1024
"""All output of one event-loop iteration stays unsent until the iteration ends. A client with more unsent output than
this does not keep up."""
_MOST_DEFERRED = 16
_CHECKS = 16
"""The number of checks of the socket's buffer in the time that it takes to send as many bytes as the buffer may
hold."""


class ClientOutbox:
    """`close` is called when the client does not keep up, or when its dialect or a transfer fails. `on_requests` is
    called with the dialect's own requests, and with an empty list at the end of transfers. Times are on the event
    loop's clock. Implements services.edge.client.media_sender.FrameWriter and services.edge.context.DeferredOutput."""

    __slots__ = (
        "_check_at", "_close", "_connection", "_context", "_deferred", "_on_requests", "_sender", "_socket", "_timer",
        "_transfers", "_wake_at", "confirmation", "is_closed", "record", "tap", "traffic",
    )  # fmt: skip

    def __init__(
        self,
        context: EdgeContext,
        socket: Socket,
        connection: Connection,
        confirmation: DeliveryConfirmation,
        transfers: MediaTransfers,
        close: Callable[[int, str], None],
        on_requests: Callable[[Sequence[Action]], None],
    ) -> None:
        self._context = context
        self._socket = socket
        self._connection = connection
        self._transfers = transfers
        self._close = close
        self._on_requests = on_requests
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at: float | None = None
        """The time at which the timer is due. Some event loops' timers cannot report their time."""
        self._check_at = 0
        """When this number of bytes has been sent, the socket's buffer is checked next."""
        self._deferred: list[list[EncodedMessage] | Event] | None = None
        """Messages and events that are not encoded and written yet. They are, before the dialect handles anything
        else."""
        self._sender: MediaSender | None = None
        """The sender of files, while any file is transferred. All other output waits behind these transfers."""
        self.confirmation = confirmation
        self.traffic: Traffic | None = None
        self.tap: Tap | None = None
        """The recorder of this connection's frames, if they are recorded."""
        self.record: DeliveryRecord | None = None
        """The record of delivered messages, while the account is audited."""
        self.is_closed = False
        """Whether nothing more is written. The socket itself may not have ended yet."""

    @property
    def dialect(self) -> Dialect:
        assert self._connection.dialect is not None
        return self._connection.dialect

    def may_defer(self) -> bool:
        """Whether output may be deferred. If much is deferred, the edge is too busy to defer more."""
        return not self.is_closed and (self._deferred is None or len(self._deferred) < _MOST_DEFERRED)

    def defer(self, output: list[EncodedMessage] | Event) -> None:
        """Write these messages or this event later, in order with all other output."""
        if self._deferred is None:
            self._deferred = []
            self._context.turns.add(self)
        self._deferred.append(output)

    def write_deferred(self) -> None:
        """Write what is deferred. This comes before every other call of the dialect."""
        if self._deferred is None:
            return
        deferred, self._deferred = self._deferred, None
        for one in deferred:
            if isinstance(one, list):
                self.push(one)
            else:
                self.notify(one)

    def take_turn(self) -> None:
        """Write what is deferred, and flush the socket. So the turn's time includes the system call, which takes
        longer than all else."""
        self.write_deferred()
        self._socket.flush()

    def fail(self) -> None:
        self._close(1011, "internal error")

    def reply(self, replies: Sequence[tuple[Request, Reply]]) -> None:
        """Write the replies to these requests together."""
        self.write_deferred()
        if not self.is_closed:
            dialect, now = self.dialect, self._context.clock()
            encoded = [dialect.encode_reply(request, reply, now) for request, reply in replies]
            self.write(encoded[0] if len(encoded) == 1 else tuple(chain.from_iterable(encoded)))
            self._follow_up(dialect)
            self.reschedule_wake()

    def replied(self, messages: Iterable[Message]) -> None:
        """Note that the reply that was just written has these messages. They are delivered when it has arrived."""
        for message in messages:
            self.write((), message)

    def reply_error(self, request: Request | None, failure: Failure, context: object = None) -> None:
        """Write an error reply. `context`: the dialect's own context of a frame that could not be decoded."""
        self.write_deferred()
        if not self.is_closed:
            if self.dialect.names_errors:
                failure = replace(failure, request=failure.request or new_trace())
                _log.debug("command rejected", code=failure.code.value, field=failure.field, request=failure.request)
            self._context.metrics.rejected.labels(self.dialect.name, failure.code.value).inc()
            self.write(self.dialect.encode_error(request, failure, context))
            self._follow_up(self.dialect)
            self.reschedule_wake()

    def _follow_up(self, dialect: Dialect) -> None:
        if dialect.follow_ups:
            actions = [*dialect.follow_ups]
            dialect.follow_ups.clear()
            self._on_requests(actions)

    def write(self, frames: tuple[Outgoing, ...], message: Message | None = None) -> None:
        """Write frames, or queue them behind a running transfer. `message`: the message that these frames push, or
        None."""
        if self.is_closed:
            return
        if self._sender is None and _has_no_media(frames):
            sent = self._socket.sent_bytes
            if sent > self._check_at:
                self._check_buffer()
            self.write_now(frames, message)
            if self._socket.sent_bytes > sent + _PACE_BYTES:
                # one reply may be larger than the limit, so its client is not slow yet
                self._check_at = self._socket.sent_bytes + _PACE_BYTES
            return
        if self._sender is None:
            self._sender = MediaSender(self._transfers, self)
        self._sender.enqueue(frames, message)
        self._enforce_limit(self._sender.waiting_bytes)

    def write_now(self, frames: tuple[Frame, ...], message: Message | None = None) -> None:
        if frames and not self.is_closed:
            self._socket.send(frames)
            if self.traffic is not None:
                self.traffic.frames_out += len(frames)
            if self.tap is not None:
                self.tap.sent(frames)
        if message is not None:
            self.confirmation.pushed(message)

    def reply_locally(self, frames: tuple[Outgoing, ...]) -> None:
        """Write a reply that needed no service."""
        self.write_deferred()
        self.write(frames)
        self.reschedule_wake()

    def push(self, messages: Sequence[EncodedMessage]) -> None:
        """Write messages of one chat now, or let the dialect hold these messages. A client that requests its messages
        itself gets no pushes."""
        self.write_deferred()
        dialect = self._connection.dialect
        if self.is_closed or dialect is None or not dialect.receives_pushes:
            return
        record, gate = self.record, dialect.gate
        for encoded in messages:
            message, frames = encoded.message, encoded.frames(dialect)
            if record is not None:
                record.add(message.chat, message.index)
            admitted = frames if gate is None else gate.admit(message, frames)
            if admitted is not None:
                self.write(admitted, message if dialect.confirms_pushes else None)
            elif gate is not None:
                self._push_all(gate.hold(message, frames, _now()))
                self._enforce_limit(gate.held_bytes)

    def release(self, chat: ChatId) -> None:
        """Write the held messages of this chat, because a reply to a message of the chat follows."""
        self.write_deferred()
        if (gate := self.dialect.gate) is not None and gate.held_bytes:
            self._push_all(gate.release(chat, _now()))

    def notify(self, event: Event) -> None:
        self.write_deferred()
        if not self.is_closed and self._connection.dialect is not None:
            if self._sender is not None and isinstance(event, MessageChanged):
                change = event.shown.change
                if change.kind is ChangeKind.RECALL:
                    self._sender.recalled(change.chat, change.index)
            self._push_all(self.dialect.encode_event(event, _now()))

    @property
    def takes_ephemeral(self) -> bool:
        """Whether an ephemeral event can be written now."""
        dialect = self._connection.dialect
        if self.is_closed or dialect is None or not dialect.shows_ephemeral or self._sender is not None:
            return False
        return self._socket.unsent() <= _TICK_BYTES

    def chats_loaded(self, chats: Sequence[LoadedChat]) -> None:
        self.write_deferred()
        self._push_all(self.dialect.chats_loaded(chats, _now()))

    def _push_all(self, pushes: tuple[Push, ...]) -> None:
        for push in pushes:
            if self.is_closed:
                break
            self.write(push.frames, push.message)
            if push.requests:
                self._on_requests(push.requests)
        self.reschedule_wake()

    def waiting_bytes(self) -> int:
        """The bytes of everything that is unsent or held."""
        behind = 0 if self._sender is None else self._sender.waiting_bytes
        gate = self.dialect.gate
        return self._socket.unsent() + behind + (0 if gate is None else gate.held_bytes)

    async def until_room(self) -> None:
        """Wait while more than 256 KiB of the output is unsent or held."""
        while self.waiting_bytes() > _PACE_BYTES:  # noqa: ASYNC110 (the kernel sets no event)
            await asyncio.sleep(_PACE_SECONDS)

    def _check_buffer(self) -> None:
        self._check_at = self._socket.sent_bytes + self._context.settings.edge.outgoing_bytes // _CHECKS
        self._enforce_limit(self._socket.unsent())

    def _enforce_limit(self, waiting_bytes: int) -> None:
        if waiting_bytes > self._context.settings.edge.outgoing_bytes:
            self._context.metrics.slow_closes.inc()
            self._close(1013, "the connection is too slow: reconnect to catch up")

    def delivery_stage(self, chat: ChatId, index: int) -> DeliveryStage | None:
        """The stage of this message on its way to the client. None if this connection does not have the message."""
        self.write_deferred()
        if self.confirmation.unconfirmed.contains(chat, index):
            return DeliveryStage.PUSHED
        if self._sender is not None and self._sender.holds(chat, index):
            return DeliveryStage.QUEUED
        gate = self.dialect.gate
        return DeliveryStage.HELD if gate is not None and gate.holds(chat, index) else None

    # Images and files

    @property
    def transfers(self) -> bool:
        """Whether files are being transferred."""
        return self._sender is not None

    def unsent(self) -> int:
        return self._socket.unsent()

    def progressed(self) -> None:
        self.confirmation.excuse(_now())

    def transfers_ended(self) -> None:
        self._sender = None
        self._on_requests(())

    def transfer_failed(self) -> None:
        self._close(1011, "the transfer of a file failed: reconnect to get the file")

    def end_pushes(self) -> Ranges:
        """Note that the account leaves the connection: pushes that are still queued stay undelivered. Returns the
        pushes that were delivered."""
        self.write_deferred()
        if self._sender is not None:
            self._sender.forget_pushes()
        return self.confirmation.ended()

    # The following methods handle messages that the dialect holds back.

    def reschedule_wake(self) -> None:
        """Set the timer to the time at which the dialect must be called again. The outbox calls this after every call
        of the dialect."""
        gate = None if self.is_closed else self.dialect.gate
        wake_at = None if gate is None else gate.wake_at
        if wake_at == self._wake_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wake_at = wake_at
        self._timer = None if wake_at is None else asyncio.get_running_loop().call_at(wake_at, self._wake)

    def _wake(self) -> None:
        self._timer = self._wake_at = None
        gate = self.dialect.gate
        assert gate is not None
        try:
            self.write_deferred()
            self._push_all(gate.wake(_now()))
        except Exception:
            _log.exception("dialect failed", connection=self._connection.number)
            self._close(1011, "internal error")

    def stop_sending(self) -> None:
        self.is_closed, self._deferred = True, None
        if self._sender is not None:
            self._sender.stop()
            self._sender = None
        self.reschedule_wake()


def _has_no_media(frames: tuple[Outgoing, ...]) -> TypeGuard[tuple[Frame, ...]]:
    return type(frames[0]) is not MediaPayload if len(frames) == 1 else MediaPayload not in map(type, frames)


def _now() -> float:
    return asyncio.get_running_loop().time()
