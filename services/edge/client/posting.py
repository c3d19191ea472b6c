"""One client's own messages: said in runs, one under way at a time, each answered when its turn in the chat comes. What
comes together is answered together, at the end of the event loop's turn, or before anything else is written."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.replies import MessageAccepted, Reply
from services.edge.catchup.catch_up import CatchUp
from services.edge.client.connection import Connection
from services.edge.client.inbound import InboundQueue
from services.edge.context import EdgeContext
from services.edge.dialects.base import Dialect, Request
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.upstream.in_flight import InFlight, Result
from services.edge.upstream.publisher import UNCONFIRMED
from shared.contract.errors import Failure
from shared.contract.message import Draft, Posted
from shared.contract.model import Message, ProfileSummary, pack_segments
from shared.telemetry import log

_log = log(__name__)
_RUN_BYTES = 192 * 1024
"""Messages of one connection in one request, about."""
_TURN_SECONDS = 2.0
"""How much longer than for any answer a committed message waits for its turn in the chat."""


class Sender(Protocol):
    """The client."""

    @property
    def connection(self) -> Connection: ...

    @property
    def inbound(self) -> InboundQueue: ...

    @property
    def dialect(self) -> Dialect: ...

    @property
    def catch_up_state(self) -> CatchUp: ...

    def reply(self, answers: Sequence[tuple[Request, Reply]]) -> None: ...

    def reply_error(self, request: Request, failure: Failure) -> None: ...

    def process_queue(self) -> None:
        """At the turn's end: give the answers that are due, and go on."""

    def resume(self) -> None:
        """All that was said is answered."""

    def fail(self) -> None: ...


class Posting:
    """See services.edge.upstream.publisher.Author."""

    __slots__ = ("_client", "_node", "_parked", "in_flight")

    def __init__(self, node: EdgeContext, client: Sender) -> None:
        self._node = node
        self._client = client
        self.in_flight: InFlight | None = None
        """What is under way."""
        self._parked: list[EncodedMessage] = []
        """Those of it that will be shown in their place, or are answered when that takes too long."""

    def submit(self, requests: list[Request]) -> None:
        """As many of these messages as fit one request; the others are put back."""
        bodies = self._bodies(requests)
        said = requests[: len(bodies)]
        for request in reversed(requests[len(bodies) :]):
            self._client.inbound.requeue(request)
        node, account = self._node, self._client.connection.account
        resident = node.accounts.get(account)
        node.accounts.stale_profiles.add(account)
        chat = _message_of(said[0]).chat
        drafts = node.publisher.make_drafts(account, chat, bodies, resident.summary if resident else None)
        self._parked.clear()
        self.in_flight = InFlight(
            chat, [(request, draft.nonce) for request, draft in zip(said, drafts, strict=True)], node.now()
        )
        node.publisher.post(self, drafts, self.in_flight.since)

    def _bodies(self, requests: list[Request]) -> list[bytes]:
        """Of the first ones, at least one."""
        dialect = self._client.dialect
        mark = dialect.name if dialect.tags_dialect else ""
        bodies: list[bytes] = []
        size = 0
        for request in requests:
            if size >= _RUN_BYTES:
                break
            bodies.append(body := pack_segments(_message_of(request).segments, mark))
            size += len(body)
        return bodies

    def failed(self, draft: Draft, failure: Failure) -> None:
        if self.in_flight is not None:
            self.in_flight.set_result(draft.nonce, failure)
            self.reply_due()

    def confirmed(self, draft: Draft, posted: Posted) -> None:
        """Committed, but not delivered here yet: it is answered when its turn in the chat has come."""
        message = Message(draft.chat, posted.index, posted.id, draft.sender, posted.time, draft.body, draft.nonce)
        self._node.chats.expect(
            draft.sender, draft.chat, posted.index, partial(self._not_delivered, message, draft.face)
        )

    def crashed(self) -> None:
        self._client.fail()

    def _not_delivered(self, message: Message, face: ProfileSummary | None) -> None:
        """Its turn has come, and it was not delivered: the sender is not in the chat any more, or reads what it has
        missed there."""
        stream = self._node.chats.sequencer(message.chat)
        encoded = EncodedMessage(message, stream.pair if stream else None, face)
        if self._client.catch_up_state.contains(message):
            self._parked.append(encoded)
        elif self.match_own(encoded):
            self.reply_due()

    def consume_own(self, encoded: EncodedMessage) -> bool:
        """Whether a message is one of the run: then it is its answer, given at the turn's end. Any other comes after
        the answers that are due."""
        taken = self.match_own(encoded)
        if taken:
            self._node.tick_batcher.add(self._client)
        else:
            self.reply_due()
        return taken

    def match_own(self, encoded: EncodedMessage) -> bool:
        """Whether a message is one of the run, which is its answer: to be given by `answer`."""
        message, run = encoded.message, self.in_flight
        if run is None or not run.awaits(message.nonce):
            return False
        self._node.publisher.done(message.nonce)
        run.set_result(message.nonce, MessageAccepted(message, encoded.frames(self._client.dialect)))
        return True

    def reply_due(self) -> None:
        """All that has come of the run, and whose turn it is."""
        if self.in_flight is not None and (due := self.in_flight.ready()):
            self._reply(self.in_flight, due)

    def expire(self, now: float) -> None:
        """A committed message is not called failed lightly, but the connection cannot wait forever either."""
        run, longest = self.in_flight, self._node.publisher.longest_seconds
        if run is None or now - run.since <= longest:
            return
        for encoded in self._parked:
            self.match_own(encoded)
        self.reply_due()
        if run and now - run.since > longest + _TURN_SECONDS:
            _log.warning("committed messages did not get their turn", connection=self._client.connection.number)
            self._reply(run, run.fail_rest(UNCONFIRMED))

    def _reply(self, run: InFlight, due: list[tuple[Request, Result]]) -> None:
        if not run:
            self.in_flight = None
        said: list[tuple[Request, MessageAccepted]] = []
        for request, result in due:
            if isinstance(result, Failure):
                self._acknowledge(run, said)
                self._client.reply_error(request, result)
            else:
                said.append((request, result))
        self._acknowledge(run, said)
        if not run:
            self._client.resume()

    def _acknowledge(self, run: InFlight, said: list[tuple[Request, MessageAccepted]]) -> None:
        """Takes them out of the list."""
        if not said:
            return
        node, indexes = self._node, [own.message.index for _, own in said]
        node.read_state.mark_read(said[0][1].message.sender, {run.chat: [(index, index) for index in indexes]})
        node.metrics.post_seconds.count(node.now() - run.since, len(said))
        for index in indexes:
            self._client.catch_up_state.mark_sent(run.chat, index)
        self._client.reply(said)
        said.clear()


def _message_of(request: Request) -> PostMessage:
    assert isinstance(request.command, PostMessage)
    return request.command
