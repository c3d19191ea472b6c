"""One client's own messages: said in runs, one under way at a time, each answered when its turn in the chat comes. What
comes together is answered together, at the end of the event loop's turn, or before anything else is written."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.replies import Answer, OwnMessage
from services.edge.catchup.catch_up import CatchingUp
from services.edge.client.connection import Connection
from services.edge.context import Node
from services.edge.dialects.base import Dialect, Request
from services.edge.dialects.encoded_message import Encoded
from services.edge.upstream.in_flight import Result, Run
from services.edge.upstream.publisher import UNCONFIRMED
from shared.contract.errors import Failure
from shared.contract.message import Draft, Posted
from shared.contract.model import Face, Message, pack_segments
from shared.telemetry import log

_log = log(__name__)
_RUN_BYTES = 192 * 1024
"""Messages of one connection in one request, about."""
_TURN_SECONDS = 2.0
"""How much longer than for any answer a committed message waits for its turn in the chat."""


class Speaker(Protocol):
    """The client."""

    @property
    def connection(self) -> Connection: ...

    @property
    def dialect(self) -> Dialect: ...

    @property
    def catching_up(self) -> CatchingUp: ...

    def reply(self, answers: Sequence[tuple[Request, Answer]]) -> None: ...

    def refuse(self, request: Request, failure: Failure) -> None: ...

    def advance(self) -> None:
        """At the turn's end: give the answers that are due, and go on."""

    def go_on(self) -> None:
        """All that was said is answered."""

    def fail(self) -> None: ...


class Posting:
    """See services.edge.upstream.publisher.Author."""

    __slots__ = ("_client", "_node", "_passed_by", "run")

    def __init__(self, node: Node, client: Speaker) -> None:
        self._node = node
        self._client = client
        self.run: Run | None = None
        """What is under way."""
        self._passed_by: list[Encoded] = []
        """Those of it that will be shown in their place, or are answered when that takes too long."""

    def say(self, requests: list[Request]) -> None:
        """As many of these messages as fit one request; the others are put back."""
        bodies = self._bodies(requests)
        said = requests[: len(bodies)]
        for request in reversed(requests[len(bodies) :]):
            self._client.connection.repeat(request)
        node, account = self._node, self._client.connection.account
        resident = node.residents.get(account)
        node.residents.faces_due.add(account)
        chat = _message_of(said[0]).chat
        drafts = node.upstream.drafts(account, chat, bodies, resident.face if resident else None)
        self._passed_by.clear()
        self.run = Run(chat, [(request, draft.nonce) for request, draft in zip(said, drafts, strict=True)], node.now())
        node.upstream.post(self, drafts, self.run.since)

    def _bodies(self, requests: list[Request]) -> list[bytes]:
        """Of the first ones, at least one."""
        dialect = self._client.dialect
        mark = dialect.name if dialect.marks_messages else ""
        bodies: list[bytes] = []
        size = 0
        for request in requests:
            if size >= _RUN_BYTES:
                break
            bodies.append(body := pack_segments(_message_of(request).segments, mark))
            size += len(body)
        return bodies

    def failed(self, draft: Draft, failure: Failure) -> None:
        if self.run is not None:
            self.run.settle(draft.nonce, failure)
            self.answer()

    def confirmed(self, draft: Draft, posted: Posted) -> None:
        """Committed, but not delivered here yet: it is answered when its turn in the chat has come."""
        message = Message(draft.chat, posted.index, posted.id, draft.sender, posted.time, draft.body, draft.nonce)
        self._node.chats.expect(draft.sender, draft.chat, posted.index, partial(self._passed, message, draft.face))

    def crashed(self) -> None:
        self._client.fail()

    def _passed(self, message: Message, face: Face | None) -> None:
        """Its turn has come, and it was not delivered: the sender is not in the chat any more, or reads what it has
        missed there."""
        stream = self._node.chats.stream(message.chat)
        encoded = Encoded(message, stream.pair if stream else None, face)
        if self._client.catching_up.covers(message):
            self._passed_by.append(encoded)
        elif self.takes(encoded):
            self.answer()

    def answered_by(self, encoded: Encoded) -> bool:
        """Whether a message is one of the run: then it is its answer, given at the turn's end. Any other comes after
        the answers that are due."""
        taken = self.takes(encoded)
        if taken:
            self._node.turn.add(self._client)
        else:
            self.answer()
        return taken

    def takes(self, encoded: Encoded) -> bool:
        """Whether a message is one of the run, which is its answer: to be given by `answer`."""
        message, run = encoded.message, self.run
        if run is None or not run.lacks(message.nonce):
            return False
        self._node.upstream.done(message.nonce)
        run.settle(message.nonce, OwnMessage(message, encoded.frames(self._client.dialect)))
        return True

    def answer(self) -> None:
        """All that has come of the run, and whose turn it is."""
        if self.run is not None and (due := self.run.due()):
            self._give(self.run, due)

    def give_up(self, now: float) -> None:
        """A committed message is not called failed lightly, but the connection cannot wait forever either."""
        run, longest = self.run, self._node.upstream.longest_seconds
        if run is None or now - run.since <= longest:
            return
        for encoded in self._passed_by:
            self.takes(encoded)
        self.answer()
        if run and now - run.since > longest + _TURN_SECONDS:
            _log.warning("committed messages did not get their turn", connection=self._client.connection.number)
            self._give(run, run.give_up(UNCONFIRMED))

    def _give(self, run: Run, due: list[tuple[Request, Result]]) -> None:
        if not run:
            self.run = None
        said: list[tuple[Request, OwnMessage]] = []
        for request, result in due:
            if isinstance(result, Failure):
                self._acknowledge(run, said)
                self._client.refuse(request, result)
            else:
                said.append((request, result))
        self._acknowledge(run, said)
        if not run:
            self._client.go_on()

    def _acknowledge(self, run: Run, said: list[tuple[Request, OwnMessage]]) -> None:
        """Takes them out of the list."""
        if not said:
            return
        node, indexes = self._node, [own.message.index for _, own in said]
        node.read_flush.read(said[0][1].message.sender, {run.chat: [(index, index) for index in indexes]})
        node.metrics.post_seconds.count(node.now() - run.since, len(said))
        for index in indexes:
            self._client.catching_up.answered(run.chat, index)
        self._client.reply(said)
        said.clear()


def _message_of(request: Request) -> PostMessage:
    assert isinstance(request.command, PostMessage)
    return request.command
