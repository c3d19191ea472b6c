"""The batch in flight of one connection: messages to one chat, answered in the order of their requests. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

from services.edge.canonical.replies import MessageAccepted
from services.edge.dialects.base import Request
from shared.contract.errors import Failure
from shared.contract.ids import ChatId, Nonce
from shared.contract.model import Message

Result = MessageAccepted | Failure


class InFlight:
    """`since` is when it was posted, on the caller's clock. `bodies`: of messages that their client names, by which
    each is told from another one with its nonce."""

    __slots__ = ("_bodies", "_requests", "_results", "chat", "since")

    def __init__(
        self,
        chat: ChatId,
        requests: list[tuple[Request, Nonce]],
        now: float,
        bodies: Mapping[Nonce, bytes] = MappingProxyType({}),
    ) -> None:
        self.chat = chat
        self._requests = requests
        """Those without a reply."""
        self._results: dict[Nonce, Result | None] = dict.fromkeys([nonce for _, nonce in requests])
        self._bodies = bodies
        self.since = now

    def __bool__(self) -> bool:
        """Whether any request has no reply."""
        return bool(self._requests)

    def awaits(self, message: Message) -> bool:
        """Whether this message is one of the batch, and has no result yet. Another connection of the account may have
        posted another message with its nonce; and the message may have changed since: then the reply of the message
        service tells its result."""
        nonce = message.nonce
        return self._results.get(nonce, self) is None and self._bodies.get(nonce, message.body) == message.body

    def set_result(self, nonce: Nonce, result: Result) -> None:
        """The result of one message."""
        if self._results.get(nonce, self) is None:
            self._results[nonce] = result

    @property
    def is_due(self) -> bool:
        """Whether a reply can be written now."""
        return self._next_result() is not None

    def ready(self) -> list[tuple[Request, Result]]:
        """The replies that can be written now, each once."""
        requests = self._requests
        due: list[tuple[Request, Result]] = []
        while (first := self._next_result()) is not None:
            due.append((requests.pop(0)[0], first))
        return due

    def _next_result(self) -> Result | None:
        """Of the first request without a reply."""
        return self._results[self._requests[0][1]] if self._requests else None

    def fail_rest(self, failure: Failure) -> list[tuple[Request, Result]]:
        """All replies; requests without a result fail."""
        due = [(request, self._results[nonce] or failure) for request, nonce in self._requests]
        self._requests.clear()
        return due
