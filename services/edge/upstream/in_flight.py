"""Messages of one connection that are under way, all to one chat: answered in the order they were said. Pure."""

from services.edge.canonical.replies import MessageAccepted
from services.edge.dialects.base import Request
from shared.contract.errors import Failure
from shared.contract.ids import ChatId, Nonce

Result = MessageAccepted | Failure


class InFlight:
    """`since` is when it was said, on the caller's clock."""

    __slots__ = ("_results", "_said", "chat", "since")

    def __init__(self, chat: ChatId, requests: list[tuple[Request, Nonce]], now: float) -> None:
        self.chat = chat
        self._said = requests
        """Those that are not answered."""
        self._results: dict[Nonce, Result | None] = dict.fromkeys([nonce for _, nonce in requests])
        self.since = now

    def __bool__(self) -> bool:
        """Whether any of it is unanswered."""
        return bool(self._said)

    def awaits(self, nonce: Nonce) -> bool:
        """Whether this message is one of the run, and has no result yet."""
        return self._results.get(nonce, self) is None

    def set_result(self, nonce: Nonce, result: Result) -> None:
        """The result of one message."""
        if self.awaits(nonce):
            self._results[nonce] = result

    def ready(self) -> list[tuple[Request, Result]]:
        """The answers that can be given now, each once."""
        said = self._said
        due: list[tuple[Request, Result]] = []
        while said and (first := self._results[said[0][1]]) is not None:
            due.append((said.pop(0)[0], first))
        return due

    def fail_rest(self, failure: Failure) -> list[tuple[Request, Result]]:
        """Everything that has no result has failed."""
        due = [(request, self._results[nonce] or failure) for request, nonce in self._said]
        self._said.clear()
        return due
