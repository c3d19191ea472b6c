"""The messages that one client posts. They are posted in batches, and one batch is in flight at a time. A message is
accepted when all earlier messages of its chat have been delivered here. Its reply is due when all messages before it in
the batch have a result, too."""

import asyncio
import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, Protocol

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.replies import MessageAccepted
from services.edge.client.inbox import PostBatch
from services.edge.client.outbox import ClientOutbox
from services.edge.client.session import LoginSession
from services.edge.context import EdgeContext
from services.edge.dialects.base import Dialect, Request
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.upstream.attempt import UNCONFIRMED
from services.edge.upstream.publisher import NONCE_BITS, MessagePublisher
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft, Posted
from shared.contract.model import Message, ProfileSummary
from shared.telemetry import log

_log = log(__name__)
_BATCH_BYTES: Final = 192 * 1024
"""The approximate maximum size of one connection's messages in one request."""
_PLACE_SECONDS = 2.0
"""After it is committed, a message waits this much longer for its place in the chat than other requests wait for their
reply."""

_UUID_7 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch
_TIME_BITS, _CHECKSUM_BITS = 2**31 - 1, 32

Result = MessageAccepted | Failure
DueReplies = Sequence[tuple[Request, Result]]


class Processable(Protocol):
    def process(self) -> None: ...

    def fail(self) -> None:
        """Handle an exception that `process` raised. The exception has been logged."""


class Iteration:
    """The clients with work in this iteration of the event loop. At the end of the iteration, these clients are
    processed together, so that their messages share a request."""

    def __init__(self, publisher: MessagePublisher) -> None:
        self.publisher = publisher
        self._waiting: dict[Processable, None] = {}

    def add(self, client: Processable) -> None:
        """Process the client at the end of this iteration, in the order of the first calls."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._end)
        self._waiting[client] = None

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for client in waiting:
            try:
                client.process()
            except Exception:
                _log.exception("connection failed")
                client.fail()
        self.publisher.flush()


class InFlight:
    """One batch of messages, answered in the order of the client's requests. `since`: when the batch was posted.
    `waited`: the seconds from its arrival until then. `bodies`: the bodies of messages whose nonce the client chose. By
    its body, another message with the same nonce is recognised."""

    __slots__ = ("_bodies", "_requests", "_results", "chat", "parked", "since", "waited")

    def __init__(
        self,
        chat: ChatId,
        requests: list[tuple[Request, Nonce]],
        since: float,
        waited: float = 0.0,
        bodies: Mapping[Nonce, bytes] = MappingProxyType({}),
    ) -> None:
        self.chat = chat
        self._requests = requests
        """The requests without a reply."""
        self._results: dict[Nonce, Result | None] = dict.fromkeys([nonce for _, nonce in requests])
        self._bodies = bodies
        self.since = since
        self.waited = waited
        self.parked: tuple[EncodedMessage, ...] = ()
        """Committed messages that will be shown in their place among the missed messages. If reading the missed
        messages takes too long, they are accepted at once."""

    def __bool__(self) -> bool:
        """Whether a request of the batch has no reply yet."""
        return bool(self._requests)

    def awaits(self, message: Message) -> bool:
        """Whether this message belongs to the batch and has no result yet. Its body is compared, because another
        connection of the account may have posted another message with the same nonce. If the message was edited
        meanwhile, the bodies differ, too. Then the reply of the message service gives its result."""
        nonce = message.nonce
        return self._results.get(nonce, self) is None and self._bodies.get(nonce, message.body) == message.body

    def set_result(self, nonce: Nonce, result: Result) -> None:
        """Stores the result of one message of the batch."""
        if self._results.get(nonce, self) is None:
            self._results[nonce] = result

    def take_due(self) -> list[tuple[Request, Result]]:
        """The replies that can be written now, each one once."""
        requests = self._requests
        due: list[tuple[Request, Result]] = []
        while requests and (first := self._results[requests[0][1]]) is not None:
            due.append((requests.pop(0)[0], first))
        return due

    def fail_rest(self, failure: Failure) -> list[tuple[Request, Result]]:
        """Return all replies. Requests without a result get the failure."""
        due = [(request, self._results[nonce] or failure) for request, nonce in self._requests]
        self._requests.clear()
        return due


class Posts:
    """Replies to messages that arrive in one iteration of the event loop are written together, at its end or before any
    other output. Implements services.edge.upstream.attempt.Submitter."""

    __slots__ = ("_client", "_context", "_iteration", "_out", "_publisher", "_session", "in_flight")

    def __init__(
        self, context: EdgeContext, iteration: Iteration, session: LoginSession, out: ClientOutbox, client: Processable
    ) -> None:
        self._context = context
        self._publisher = iteration.publisher
        self._iteration = iteration
        self._session = session
        self._out = out
        self._client = client
        self.in_flight: InFlight | None = None

    # Messages of the client

    def submit(self, batch: PostBatch, now: float, waited: float) -> list[Request]:
        """Queue as many of these messages as fit into one request. Returns the requests of the remaining messages.
        `waited`: the seconds since the first of the messages arrived. The deadline counts from this arrival."""
        publisher, dialect = self._publisher, self._session.connection.dialect
        assert dialect is not None
        bodies = _pack_bodies(batch.messages, dialect)
        drafts = self._make_drafts(batch.messages, bodies, publisher.deadline(now - waited))
        answerable = _without_content(batch, len(bodies))
        answered = [(request, draft.nonce) for request, draft in zip(answerable, drafts, strict=True)]
        named = {draft.nonce: draft.body for draft in drafts} if dialect.names_messages else {}
        self.in_flight = InFlight(drafts[0].chat, answered, now, waited, named)
        publisher.post(self, drafts, now)
        return batch.requests[len(bodies) :]

    def _make_drafts(self, messages: list[PostMessage], bodies: list[bytes], deadline: int) -> list[Draft]:
        sender, face = self._session.connection.account, self._session.summary()
        new_nonce = self._publisher.new_nonce
        drafts: list[Draft] = []
        for message, body in zip(messages, bodies, strict=False):
            name, chat = message.nonce, message.chat
            nonce = nonce_of(sender, chat, name) if name else new_nonce()
            drafts.append(Draft(sender, chat, nonce, deadline, body, face, message.quote, saved=message.draft))
        return drafts

    # Results

    def accept(self, encoded: EncodedMessage, *, again: bool = False) -> bool:
        """Answer the sender with its own message as it was delivered. Returns whether the message belongs to the batch
        and had no result. The reply is written at the end of the iteration in which it is due. `again`: see
        MessageAccepted.

        The sender is answered by the delivery of its message, not by the reply of the message service. So the reply
        keeps its place among the chat's other messages. The reply of the message service arrives after the delivery and
        contains nothing new, so `done` makes the publisher drop it. `confirmed` handles this reply only if the delivery
        was lost, or went to another node.
        """
        message, batch = encoded.message, self.in_flight
        if batch is None or not batch.awaits(message):
            return False
        dialect, nonce = self._session.connection.dialect, message.nonce
        assert dialect is not None
        self._publisher.pending.done(nonce)
        batch.set_result(nonce, MessageAccepted(message, partial(encoded.frames, dialect), again))
        self._iteration.add(self._client)
        return True

    def failed(self, draft: Draft, failure: Failure) -> None:
        if self.in_flight is not None:
            self.in_flight.set_result(draft.nonce, failure)
            self.flush()

    def confirmed(self, draft: Draft, posted: Posted, *, again: bool = False) -> None:
        """The message is committed, but not delivered here yet. Answer it when its place in the chat comes."""
        message = Message(draft.chat, posted.index, posted.id, draft.sender, posted.time, draft.body, draft.nonce)
        self._session.expect(message, partial(self._not_delivered, message, draft.face, again=again))

    def crashed(self) -> None:
        self._client.fail()

    def _not_delivered(self, message: Message, summary: ProfileSummary | None, *, again: bool) -> None:
        """All earlier messages of the chat have been delivered, but this message was not delivered to this client.
        There are three possible reasons. The sender has left the chat. Or the client's missed messages of this chat are
        being read. Or an earlier request with the same nonce has posted the message long ago."""
        encoded = EncodedMessage(message, self._session.pair(message.chat), summary)
        repeated = again and self._out.dialect.names_messages
        if not repeated and self._session.catch_up.contains(message):
            if self.in_flight is not None:
                self.in_flight.parked += (encoded,)
        elif self.accept(encoded, again=repeated):
            self.flush()

    # Replies

    def flush(self) -> None:
        """Write the replies that are due, before anything else is written."""
        if self.in_flight is not None:
            self.reply_due()
            self._wake_if_answered()

    def reply_due(self) -> None:
        """Write the replies that are due. The caller itself wakes the client."""
        batch = self.in_flight
        if batch is not None and (due := batch.take_due()):
            self._reply(batch, due)

    def expire(self, now: float) -> None:
        """Answer a batch that has waited too long. The timer calls this about every second. A committed message should
        not be reported as failed, but the connection cannot wait forever for the earlier messages."""
        batch = self.in_flight
        if batch is None:
            return
        longest = self._publisher.longest_seconds - batch.waited
        if now - batch.since <= longest:
            return
        for encoded in batch.parked:
            self.accept(encoded)
        due = batch.take_due()
        if batch and now - batch.since > longest + _PLACE_SECONDS:
            _log.warning(
                "some committed messages have not got their indexes yet", connection=self._session.connection.number
            )
            due += batch.fail_rest(UNCONFIRMED)
        if due:
            self._reply(batch, due)
            self._wake_if_answered()

    def _wake_if_answered(self) -> None:
        if self.in_flight is None:
            self._iteration.add(self._client)

    def _reply(self, batch: InFlight, due: DueReplies) -> None:
        """Write the replies to accepted messages together, and the error replies between them in order."""
        if not batch:
            self.in_flight = None
        accepted: list[tuple[Request, MessageAccepted]] = []
        for request, result in due:
            if isinstance(result, Failure):
                self._acknowledge(batch, accepted)
                accepted = []
                self._out.reply_error(request, result)
                if result.code is not ErrorCode.INTERNAL and result != UNCONFIRMED:
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
        self._session.mark_posted(sender, batch.chat, indexes, seconds + batch.waited)
        for request, _ in accepted:
            if isinstance(request.command, PostMessage) and request.command.draft:
                self._session.draft_sent(sender, batch.chat, request.command.draft)
        context.metrics.post_seconds.observe(seconds, len(accepted))
        self._out.release(batch.chat)
        self._out.reply(accepted)


def _pack_bodies(messages: list[PostMessage], dialect: Dialect) -> list[bytes]:
    """The bodies of the messages that fit into one request, at least one. If two messages have the same nonce, only the
    first is included."""
    tag = dialect.name if dialect.tags_dialect else ""
    bodies: list[bytes] = []
    size = 0
    nonces: set[str] = set()
    for message in messages:
        if size >= _BATCH_BYTES or message.nonce in nonces:
            break
        bodies.append(body := pack_segments(message.segments, message.mark or tag, message.reply_to))
        size += len(body)
        if message.nonce:
            nonces.add(message.nonce)
    return bodies


def _without_content(batch: PostBatch, count: int) -> list[Request]:
    """Return the first `count` requests with only the parts that their replies need. The content is freed now, while
    the CPU's cache holds it, so that the next message uses the same memory."""
    first = batch.messages[0]
    command = PostMessage(first.chat, (), first.to)
    plain = Request(command)
    answerable: list[Request] = []
    for request, message in zip(batch.requests[:count], batch.messages, strict=False):
        if message.stored or message.draft:
            answerable.append(request)
        elif request.context is None:
            answerable.append(plain)
        else:
            answerable.append(Request(command, request.context))
    return answerable


def nonce_of(sender: AccountId, chat: ChatId, name: str) -> Nonce:
    """The nonce for the client's own name of a message or an edit. The nonce for a UUID of version 7 begins with the
    UUID's time, in milliseconds of 25 days. So nonces of one time are neighbours in the database. The random bits of a
    UUID make a checksum of 32 bits as good as a hash."""
    whole = f"{sender}/{chat}/{name}".encode()
    if _UUID_7(name) is not None:
        return Nonce((int(name[:8] + name[9:13], 16) & _TIME_BITS) << _CHECKSUM_BITS | zlib.crc32(whole))
    return Nonce(int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest()) & NONCE_BITS)
