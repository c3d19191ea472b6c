"""One client's own messages: said in runs, one under way at a time, each answered when its turn in the chat comes."""

from functools import partial
from typing import Protocol

from services.edge.connection import Connection
from services.edge.dialects.base import Dialect, Request
from services.edge.encoding import Encoded
from services.edge.node import Node
from services.edge.requests import Answer, OwnMessage, PostMessage
from services.edge.runs import Result, Run
from services.edge.upstream import UNCONFIRMED
from shared.contract.errors import Failure
from shared.contract.ids import ChatId
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

    def reply(self, request: Request, answer: Answer) -> None: ...

    def refuse(self, request: Request, failure: Failure) -> None: ...

    def answered(self, chat: ChatId, index: int) -> None:
        """It has got this message, and must not get it again."""

    def will_show(self, message: Message) -> bool:
        """Whether it comes with what the client missed, in its place."""

    def go_on(self) -> None:
        """All that was said is answered."""

    def fail(self) -> None: ...


class Posting:
    """See services.edge.upstream.Author."""

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
        node.upstream.post(self, drafts)

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
            self._answer(self.run, self.run.settle(draft.nonce, failure))

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
        if self._client.will_show(message):
            self._passed_by.append(encoded)
        else:
            self.takes(encoded)

    def takes(self, encoded: Encoded) -> bool:
        """Whether a message is one of the run, which is its answer."""
        message, run = encoded.message, self.run
        if run is None or not run.lacks(message.nonce):
            return False
        node, client, chat, index = self._node, self._client, message.chat, message.index
        node.upstream.done(message.nonce)
        node.read_flush.read(message.sender, {chat: [(index, index)]})
        node.metrics.post_seconds.count(node.now() - run.since, 1)
        client.answered(chat, index)
        self._answer(run, run.settle(message.nonce, OwnMessage(message, encoded.frames(client.dialect))))
        return True

    def give_up(self, now: float) -> None:
        """A committed message is not called failed lightly, but the connection cannot wait forever either."""
        run, longest = self.run, self._node.upstream.longest_seconds
        if run is None or now - run.since <= longest:
            return
        for encoded in self._passed_by:
            self.takes(encoded)
        if run and now - run.since > longest + _TURN_SECONDS:
            _log.warning("committed messages did not get their turn", connection=self._client.connection.number)
            self._answer(run, run.give_up(UNCONFIRMED))

    def _answer(self, run: Run, due: list[tuple[Request, Result]]) -> None:
        for request, result in due:
            if isinstance(result, Failure):
                self._client.refuse(request, result)
            else:
                self._client.reply(request, result)
        if not run:
            self.run = None
            self._client.go_on()


def _message_of(request: Request) -> PostMessage:
    assert isinstance(request.command, PostMessage)
    return request.command
