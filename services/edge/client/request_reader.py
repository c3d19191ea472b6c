"""Decodes the frames of one client into requests, and rejects some of them under overload. Sans-IO.

Frames are decoded just before they are processed: their meaning depends on the account that is logged in by then.
"""

import math
from collections.abc import Sequence
from typing import Final, TypeGuard

from services.edge.canonical.commands import BEFORE_LOGIN, PostMessage, UploadCommand
from services.edge.canonical.frames import Binary, Frame
from services.edge.client.connection import CloseConnection, Connection, Phase
from services.edge.client.inbound import InboundQueue, QueueItem, RejectedFrame
from services.edge.dialects.base import TOO_MANY_REQUESTS, DecodeError, Disconnect, LocalReply, Request
from shared.contract.errors import ErrorCode, Failure

_BATCH_MESSAGES: Final = 64
"""Messages of one connection in one request, at most."""
_QUEUE_DELAY_LIMIT_SECONDS: Final = 0.7
"""A queue whose frames wait longer each time does not get shorter; after a stall they wait so long once."""

NOT_LOGGED_IN = Failure(ErrorCode.UNAUTHENTICATED, "log in first")
WAITED = Failure(ErrorCode.UNAVAILABLE, "too much is waiting, please try again")

Work = list[Request] | LocalReply | Disconnect | RejectedFrame


class RequestReader:
    """Takes work from the queue, one piece after the other."""

    __slots__ = (
        "_arrived", "_batch_started", "_connection", "_held", "_overload_rounds", "_patience", "_queue", "waited",
    )  # fmt: skip

    def __init__(self, connection: Connection, queue: InboundQueue) -> None:
        self._connection = connection
        self._queue = queue
        self._batch_started: float | None = None
        """When the last piece of work was taken, if it was a batch of messages."""
        self._overload_rounds = 0
        """Batches in succession during which frames waited too long."""
        self._patience = math.inf
        self._arrived = 0.0
        """When the last decoded frame arrived."""
        self._held: tuple[QueueItem, float] | None = None
        """The first item that did not belong to the last batch, and its arrival."""
        self.waited = 0.0
        """Seconds that the first frame of the last piece of work was in the queue."""

    def next_work(self, now: float, patience: float = math.inf) -> Work | None:
        """The next piece of work: a batch of messages to one chat, one other request, a reply to write, or None. Frames
        that waited for more than `patience` seconds are rejected: their replies would come too late, and delay those
        after them. Raises CloseConnection when the connection cannot go on."""
        queue, connection = self._queue, self._connection
        if not (queue.frames or queue.decoded):
            return None
        if self._batch_started is not None:
            self._update_admission(now, self._batch_started)
            self._batch_started = None
        patience = min(patience, self._patience)
        self.waited = self._waiting(now)
        item = self._next_item(now, patience)
        if not isinstance(item, Request):
            return item
        if self._is_held(item) and self.waited > patience and not isinstance(item.command, UploadCommand):
            return RejectedFrame(WAITED, item)
        if (
            connection.phase is not Phase.AUTHENTICATED
            and not item.token
            and not isinstance(item.command, BEFORE_LOGIN)
        ):
            return RejectedFrame(NOT_LOGGED_IN, item)
        batch, command = [item], item.command
        if isinstance(command, PostMessage) and connection.phase is Phase.AUTHENTICATED:
            is_alone = command.references_media or command.reply_to != 0
            while (
                (queue.frames or queue.decoded)
                and len(batch) < _BATCH_MESSAGES
                and (following := self._next_item(now, patience)) is not None
            ):
                if is_alone or not _continues(following, item, command):
                    queue.decoded.insert(0, following)
                    self._held = following, self._arrived
                    break
                batch.append(following)
            self._batch_started = now
        return batch

    def reject_all(self, failure: Failure) -> Sequence[RejectedFrame]:
        """Empties the queue."""
        queue, dialect = self._queue, self._connection.dialect
        assert dialect is not None
        rejected = [RejectedFrame(failure, item) for item in queue.decoded if isinstance(item, Request)]
        for frame, _ in queue.frames:
            if isinstance(frame, RejectedFrame):
                rejected.append(frame)
            elif not isinstance(frame, Binary):
                rejected.append(RejectedFrame(failure, context=dialect.identify(frame)))
        queue.clear()
        return rejected

    def _waiting(self, now: float) -> float:
        """How long the next item has waited; 0 for one that was requeued, or is the dialect's own."""
        decoded, held = self._queue.decoded, self._held
        if not decoded:
            return 0.0 if self._queue.paced == len(self._queue.frames) else now - self._queue.frames[0][1]
        return now - held[1] if held is not None and self._is_held(decoded[0]) else 0.0

    def _is_held(self, item: QueueItem) -> bool:
        return self._held is not None and item is self._held[0]

    def _update_admission(self, now: float, batch_started: float) -> None:
        """Overload control after a batch of messages. If queued frames waited more than 0.7 s twice in a row, frames
        older than 0.7²/waited seconds are rejected. One slow batch (a stall) rejects nothing."""
        frames, paced = self._queue.frames, self._queue.paced
        waited = now - max(frames[0][1], batch_started) if paced < len(frames) else 0.0
        self._overload_rounds = self._overload_rounds + 1 if waited > _QUEUE_DELAY_LIMIT_SECONDS else 0
        self._patience = _QUEUE_DELAY_LIMIT_SECONDS**2 / waited if self._overload_rounds > 1 else math.inf

    def _next_item(self, now: float, patience: float) -> QueueItem | None:
        queue = self._queue
        if self._connection.phase is Phase.CLOSING:
            return None
        while not queue.decoded and queue.frames:
            if queue.paced == len(queue.frames) and not queue.admit(now):
                return None
            frame, arrived = queue.frames.pop(0)
            if isinstance(frame, RejectedFrame):
                return frame
            self._arrived = arrived
            queue.queued_bytes -= len(frame)
            if now - arrived > patience and not isinstance(frame, Binary):
                assert self._connection.dialect is not None
                return RejectedFrame(WAITED, context=self._connection.dialect.identify(frame))
            items = self._decode(frame, now)
            if len(items) == 1:
                return items[0]
            queue.decoded += items
        return queue.decoded.pop(0) if queue.decoded else None

    def _decode(self, frame: Frame, now: float) -> Sequence[QueueItem]:
        connection = self._connection
        assert connection.dialect is not None
        try:
            items = connection.dialect.decode(frame, now)
        except DecodeError as error:
            rates = connection.info.limits.rates
            if isinstance(frame, Binary) and rates and not self._queue.rejections.take(now):
                raise CloseConnection(1008, TOO_MANY_REQUESTS) from error
            rejected = RejectedFrame(error.failure, context=error.context)
            return [rejected] if error.disconnect is None else [rejected, error.disconnect]
        if connection.first_valid is None:
            connection.first_valid = now
        return items


def _continues(item: QueueItem, first: Request, posted: PostMessage) -> TypeGuard[Request]:
    """Whether the item is a message to the same chat that needs no look-up. (Messages of a batch to one chat cannot be
    answered out of order.) `posted`: the first one's command."""
    if not isinstance(item, Request) or not isinstance(command := item.command, PostMessage):
        return False
    return (
        command.chat == posted.chat
        and command.to == posted.to
        and not command.references_media
        and not command.reply_to
        and item.token == first.token
        and item.account == first.account
    )
