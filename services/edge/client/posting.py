"""The messages that one client posts: one batch in flight at a time. A message is accepted when its place in the chat
comes; its reply is due when those before it have a result, too."""

from collections.abc import Sequence

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.replies import MessageAccepted
from services.edge.client.connection import Connection
from services.edge.dialects.base import Dialect, Request
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.upstream.in_flight import InFlight, Result
from services.edge.upstream.publisher import UNCONFIRMED, MessagePublisher, Submitter
from shared.contract.model import ProfileSummary, pack_segments
from shared.telemetry import log

_log = log(__name__)
_BATCH_BYTES = 192 * 1024
"""Messages of one connection in one request, about."""
_PLACE_SECONDS = 2.0
"""How much longer than for any reply a committed message waits for its place in the chat."""

DueReplies = Sequence[tuple[Request, Result]]


class Posting:
    """Returns the replies that are due; the client writes them."""

    __slots__ = ("_connection", "_parked", "_publisher", "_waited", "in_flight")

    def __init__(self, publisher: MessagePublisher, connection: Connection) -> None:
        self._publisher = publisher
        self._connection = connection
        self.in_flight: InFlight | None = None
        self._waited = 0.0
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
        chat = _message_of(batch[0]).chat
        drafts = publisher.make_drafts(connection.account, chat, bodies, summary, waited)
        self._parked, self._waited = (), waited
        self.in_flight = InFlight(
            chat, [(request, draft.nonce) for request, draft in zip(batch, drafts, strict=True)], now
        )
        publisher.post(submitter, drafts, now)
        return rest

    def accept(self, encoded: EncodedMessage) -> bool:
        """Whether the message is one of the batch without a result. Then it is its result, and its reply may be due."""
        message, batch = encoded.message, self.in_flight
        if batch is None or not batch.awaits(message.nonce):
            return False
        dialect = self._connection.dialect
        assert dialect is not None
        self._publisher.done(message.nonce)
        batch.set_result(message.nonce, MessageAccepted(message, encoded.frames(dialect)))
        return True

    def park(self, encoded: EncodedMessage) -> None:
        """The message is committed, and the backlog is to show it."""
        self._parked += (encoded,)

    def due(self) -> DueReplies:
        """The replies that can be written now, each once."""
        batch = self.in_flight
        if batch is None:
            return ()
        replies = batch.ready()
        if not batch:
            self.in_flight = None
        return replies

    def expired(self, now: float) -> DueReplies:
        """The replies that are due because the batch waited too long: a committed message is not reported as failed
        lightly, but the connection cannot wait for its place forever either."""
        batch, longest = self.in_flight, self._publisher.longest_seconds - self._waited
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
    """The bodies of the first messages that fit one request, at least of one."""
    tag = dialect.name if dialect.tags_dialect else ""
    bodies: list[bytes] = []
    size = 0
    for request in requests:
        if size >= _BATCH_BYTES:
            break
        bodies.append(body := pack_segments(_message_of(request).segments, tag))
        size += len(body)
    return bodies


def _message_of(request: Request) -> PostMessage:
    assert isinstance(request.command, PostMessage)
    return request.command
