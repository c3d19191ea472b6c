"""The messages of one client in both directions, in the order of each chat: those that it posts, missed ones, live
ones, and events between them. Carries out what posting and catching up return."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial

from services.edge.canonical.events import ChatJoined, Event
from services.edge.canonical.replies import MessageAccepted
from services.edge.catchup.backlog import ChatsLoaded, ShowMessages, Steps
from services.edge.client.outbound import OutboundQueue
from services.edge.client.posting import DueReplies, Posting
from services.edge.client.session import LoginSession
from services.edge.context import EdgeContext
from services.edge.dialects.base import Request
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.rpc.failures import INTERNAL
from services.edge.upstream.in_flight import InFlight
from services.edge.upstream.publisher import UNCONFIRMED
from services.edge.upstream.tick_batcher import Processable
from shared.contract.errors import Failure
from shared.contract.ids import ChatId
from shared.contract.message import Draft, Posted
from shared.contract.model import Message, ProfileSummary
from shared.telemetry import log

_log = log(__name__)
_INTERNAL_ERROR = 1011, "internal error"


class MessageFlow:
    """Replies to messages that arrive in one tick are written together, at its end or before anything else is written.
    See also services.edge.upstream.publisher.Submitter."""

    __slots__ = ("_catch_up", "_close", "_context", "_out", "_requester", "_session", "posting")

    def __init__(
        self,
        context: EdgeContext,
        session: LoginSession,
        out: OutboundQueue,
        posting: Posting,
        close: Callable[[int, str], None],
    ) -> None:
        self._context = context
        self._session = session
        self._catch_up = session.catch_up
        self._out = out
        self.posting = posting
        self._close = close
        self._requester: Processable | None = None
        """Goes on when the batch in flight is answered."""

    # Messages that the client posts

    def post(self, requests: list[Request], requester: Processable, waited: float) -> list[Request]:
        """Posts as many of these messages as fit one request; returns the others. The requester is processed at the end
        of the tick in which replies become due. `waited`: see RequestReader."""
        self._requester = requester
        return self.posting.submit(requests, self._session.summary(), self, self._context.clock(), waited)

    def failed(self, draft: Draft, failure: Failure) -> None:
        batch = self.posting.in_flight
        if batch is not None:
            batch.set_result(draft.nonce, failure)
            self.flush()

    def confirmed(self, draft: Draft, posted: Posted, *, again: bool = False) -> None:
        """Committed, but not delivered here yet: it is answered when its place in the chat has come."""
        message = Message(draft.chat, posted.index, posted.id, draft.sender, posted.time, draft.body, draft.nonce)
        self._session.expect(message, partial(self._not_delivered, message, draft.face, again=again))

    def crashed(self) -> None:
        self._close(*_INTERNAL_ERROR)

    def _not_delivered(self, message: Message, summary: ProfileSummary | None, *, again: bool) -> None:
        """The message's place has come, and it was not delivered: the sender has left the chat, or its backlog of the
        chat is being read; or a message that the client named was posted long ago."""
        encoded = EncodedMessage(message, self._session.pair(message.chat), summary)
        repeated = again and self._session.dialect.names_messages
        if not repeated and self._catch_up.contains(message):
            self.posting.park(encoded)
        elif self.posting.accept(encoded, again=repeated):
            self.flush()

    def expire(self, now: float) -> None:
        """Called about every second: reports messages as failed that have waited too long."""
        batch = self.posting.in_flight
        if batch is not None and (due := self.posting.expired(now)):
            self._reply(batch, due)
            self._wake_if_answered()

    def flush(self) -> None:
        """Writes the replies that are due, before anything else is written."""
        if self.posting.in_flight is not None:
            self.reply_due()
            self._wake_if_answered()

    def reply_due(self) -> None:
        """Writes the replies that are due. The caller goes on with the requester itself."""
        batch = self.posting.in_flight
        if batch is not None and (due := self.posting.due()):
            self._reply(batch, due)

    def _wake_if_answered(self) -> None:
        if self.posting.in_flight is None and self._requester is not None:
            self._context.ticks.add(self._requester)

    def _reply(self, batch: InFlight, due: DueReplies) -> None:
        """Replies to accepted messages are written together, errors in their place."""
        accepted: list[tuple[Request, MessageAccepted]] = []
        for request, result in due:
            if isinstance(result, Failure):
                self._acknowledge(batch, accepted)
                accepted = []
                self._out.reply_error(request, result)
                if result not in (UNCONFIRMED, INTERNAL):
                    self._session.discard_files([request])
            else:
                accepted.append((request, result))
        self._acknowledge(batch, accepted)

    def _acknowledge(self, batch: InFlight, accepted: list[tuple[Request, MessageAccepted]]) -> None:
        if not accepted:
            return
        context, sender = self._context, accepted[0][1].message.sender
        seconds = context.clock() - batch.since
        indexes = [own.message.index for _, own in accepted]
        self._session.mark_posted(sender, batch.chat, indexes, seconds + self.posting.waited)
        context.metrics.post_seconds.count(seconds, len(accepted))
        self._out.release(batch.chat)
        self._out.reply(accepted)

    # Messages that the client receives

    def deliver(self, messages: Sequence[EncodedMessage]) -> None:
        """Live messages of one chat. The client's own ones, too, come after the missed ones before them."""
        catch_up = self._catch_up
        if catch_up.backlog is None and self.posting.in_flight is None:
            self._out.push(messages)
            return
        for encoded in messages:
            if not catch_up.contains(encoded.message):
                self._deliver_one(encoded)

    def _deliver_one(self, encoded: EncodedMessage) -> None:
        """A live or a missed message. One of the batch in flight is its own reply."""
        posting = self.posting
        if posting.in_flight is not None:
            if posting.accept(encoded):
                assert self._requester is not None
                self._context.ticks.add(self._requester)
                return
            self.flush()
        self._out.push((encoded,))

    def notify(self, event: Event) -> None:
        deferred = self._session.deferred
        if deferred is not None and isinstance(event, ChatJoined):
            deferred.append(event)
        else:
            self.flush()
            self._out.notify(event)

    # Messages that the client missed

    def catch_up(self, chat: ChatId, fresh: int) -> None:
        """See services.edge.presence.local_accounts.Recipient.catch_up."""
        self._read(self._session.discover(chat, fresh))

    def start_reading(self) -> None:
        """A login may have been answered: reads the missed messages."""
        self._read(self._catch_up.start_reading())

    def _read(self, steps: Steps | None) -> None:
        if steps is not None:
            self._catch_up.reading = self._context.tasks.start(self._carry_out(steps), "catch-up")

    async def _carry_out(self, steps: Steps) -> None:
        try:
            async with aclosing(steps):
                async for step in steps:
                    if isinstance(step, ShowMessages):
                        for encoded in step.messages:
                            self._deliver_one(encoded)
                    elif isinstance(step, ChatsLoaded):
                        self._out.chats_loaded(step.chats)
                    else:
                        await self._out.until_room()
        except Exception:
            _log.exception("backlog not read")
            self._close(*_INTERNAL_ERROR)
