"""The messages that one client posts: one batch in flight at a time. A message is accepted when its place in the chat
comes; its reply is due when those before it have a result, too."""

import hashlib
import re
import zlib
from collections.abc import Sequence
from typing import Final

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.replies import MessageAccepted
from services.edge.client.connection import Connection
from services.edge.dialects.base import Dialect, Request
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.upstream.in_flight import InFlight, Result
from services.edge.upstream.publisher import NONCE_BITS, UNCONFIRMED, MessagePublisher, Submitter
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft
from shared.contract.model import ProfileSummary
from shared.telemetry import log

_log = log(__name__)
CONCURRENT = Failure(ErrorCode.UNAVAILABLE, "another connection sends this message just now, please try again")
_BATCH_BYTES: Final = 192 * 1024
"""Messages of one connection in one request, about."""
_PLACE_SECONDS = 2.0
"""How much longer than for any reply a committed message waits for its place in the chat."""

_UUID_7 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch
_TIME_BITS, _CHECKSUM_BITS = 2**31 - 1, 32

DueReplies = Sequence[tuple[Request, Result]]


class Posting:
    """Returns the replies that are due; the client writes them."""

    __slots__ = ("_connection", "_parked", "_publisher", "in_flight", "waited")

    def __init__(self, publisher: MessagePublisher, connection: Connection) -> None:
        self._publisher = publisher
        self._connection = connection
        self.in_flight: InFlight | None = None
        self.waited = 0.0
        """Seconds from the arrival of the batch until it was posted."""
        self._parked: tuple[EncodedMessage, ...] = ()
        """Messages of the batch that the backlog will show in their place, or that are accepted when that takes too
        long."""

    def submit(
        self, requests: list[Request], summary: ProfileSummary | None, submitter: Submitter, now: float, waited: float
    ) -> list[Request]:
        """Queue as many of these messages as fit one request; returns the others. `summary`: the sender's. `waited`:
        seconds since the first of them arrived, which count for their deadline. Results are passed to the
        submitter."""
        publisher, connection = self._publisher, self._connection
        assert connection.dialect is not None
        bodies = _pack_bodies(requests, connection.dialect)
        batch, rest = requests[: len(bodies)], requests[len(bodies) :]
        drafts = self._make_drafts(batch, bodies, summary, publisher.deadline(waited))
        self._parked, self.waited = (), waited
        answerable = _without_content(batch)
        answered = [(request, draft.nonce) for request, draft in zip(answerable, drafts, strict=True)]
        if connection.dialect.names_messages:
            self.in_flight = InFlight(drafts[0].chat, answered, now, {draft.nonce: draft.body for draft in drafts})
            drafts = self._without_concurrent(drafts, submitter)
        else:
            self.in_flight = InFlight(drafts[0].chat, answered, now)
        if drafts:
            publisher.post(submitter, drafts, now)
        return rest

    def _make_drafts(
        self, requests: list[Request], bodies: list[bytes], face: ProfileSummary | None, deadline: int
    ) -> list[Draft]:
        sender, new_nonce = self._connection.account, self._publisher.new_nonce
        drafts: list[Draft] = []
        for request, body in zip(requests, bodies, strict=True):
            message = _message_of(request)
            name, chat = message.nonce, message.chat
            nonce = nonce_of(sender, chat, name) if name else new_nonce()
            drafts.append(Draft(sender, chat, nonce, deadline, body, face, message.quote))
        return drafts

    def _without_concurrent(self, drafts: list[Draft], submitter: Submitter) -> list[Draft]:
        """Rejects messages that another connection of the account is posting under the same name."""
        concurrent = [draft for draft in drafts if self._publisher.is_posting(draft.nonce)]
        for draft in concurrent:
            submitter.failed(draft, CONCURRENT)
        return [draft for draft in drafts if draft not in concurrent] if concurrent else drafts

    def accept(self, encoded: EncodedMessage, *, again: bool = False) -> bool:
        """Whether the message is one of the batch without a result. Then it is its result, and its reply may be due.
        `again`: see MessageAccepted."""
        message, batch = encoded.message, self.in_flight
        if batch is None or not batch.awaits(message):
            return False
        dialect = self._connection.dialect
        assert dialect is not None
        self._publisher.done(message.nonce)
        frames = encoded.frames(dialect) if dialect.echoes_messages else ()
        batch.set_result(message.nonce, MessageAccepted(message, frames, again))
        return True

    def park(self, encoded: EncodedMessage) -> None:
        """The message is committed, and the backlog is to show it."""
        self._parked += (encoded,)

    def due(self) -> DueReplies:
        """The replies that can be written now, each once."""
        batch = self.in_flight
        if batch is None or not batch.is_due:
            return ()
        replies = batch.ready()
        if not batch:
            self.in_flight = None
        return replies

    def expired(self, now: float) -> DueReplies:
        """The replies that are due because the batch waited too long: a committed message is not reported as failed
        lightly, but the connection cannot wait for its place forever either."""
        batch, longest = self.in_flight, self._publisher.longest_seconds - self.waited
        if batch is None or now - batch.since <= longest:
            return ()
        for encoded in self._parked:
            self.accept(encoded)
        replies = batch.ready()
        if batch and now - batch.since > longest + _PLACE_SECONDS:
            _log.warning("committed messages did not get their place", connection=self._connection.number)
            replies += batch.fail_rest(UNCONFIRMED)
        if not batch:
            self.in_flight = None
        return replies


def _pack_bodies(requests: list[Request], dialect: Dialect) -> list[bytes]:
    """The bodies of the first messages that fit one request, at least of one; of two with one nonce, only the
    first."""
    tag = dialect.name if dialect.tags_dialect else ""
    bodies: list[bytes] = []
    size = 0
    nonces: set[str] = set()
    for request in requests:
        message = _message_of(request)
        if size >= _BATCH_BYTES or message.nonce in nonces:
            break
        bodies.append(body := pack_segments(message.segments, tag, message.reply_to))
        size += len(body)
        if message.nonce:
            nonces.add(message.nonce)
    return bodies


def _without_content(requests: list[Request]) -> list[Request]:
    """What their replies need. The content is freed at once, while the processor's cache has it: the next message uses
    its memory."""
    first = _message_of(requests[0])
    command = PostMessage(first.chat, (), first.to)
    plain = Request(command)
    answerable: list[Request] = []
    for request in requests:
        if _message_of(request).stored:
            answerable.append(request)
        elif request.context is None:
            answerable.append(plain)
        else:
            answerable.append(Request(command, request.context))
    return answerable


def nonce_of(sender: AccountId, chat: ChatId, name: str) -> Nonce:
    """The nonce of the client's own name of a message, or of an edit. That of a UUID of version 7 begins with its time,
    in milliseconds of 25 days: nonces of one time are neighbours in the database. Its random bits make a checksum of 32
    bits as good as a hash."""
    whole = f"{sender}/{chat}/{name}".encode()
    if _UUID_7(name) is not None:
        return Nonce((int(name[:8] + name[9:13], 16) & _TIME_BITS) << _CHECKSUM_BITS | zlib.crc32(whole))
    return Nonce(int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest()) & NONCE_BITS)


def _message_of(request: Request) -> PostMessage:
    assert isinstance(request.command, PostMessage)
    return request.command
