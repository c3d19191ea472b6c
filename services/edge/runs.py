"""Messages of one connection that are under way, all to one chat: answered in the order they were said. Pure."""

from dataclasses import dataclass

from services.edge.dialects.base import Request
from services.edge.requests import OwnMessage
from shared.contract.errors import Failure
from shared.contract.ids import ChatId, Nonce

Result = OwnMessage | Failure


@dataclass(slots=True)
class _Said:
    request: Request
    nonce: Nonce
    result: Result | None = None


class Run:
    """`since` is when it was said, on the caller's clock."""

    __slots__ = ("_said", "chat", "since")

    def __init__(self, chat: ChatId, requests: list[tuple[Request, Nonce]], now: float) -> None:
        self.chat = chat
        self._said = [_Said(request, nonce) for request, nonce in requests]
        self.since = now

    def __bool__(self) -> bool:
        """Whether any of it is unanswered."""
        return bool(self._said)

    def lacks(self, nonce: Nonce) -> bool:
        """Whether this message is one of the run, and has no result yet."""
        return any(said.nonce == nonce and said.result is None for said in self._said)

    def settle(self, nonce: Nonce, result: Result) -> list[tuple[Request, Result]]:
        """The result of one message; returns the answers that are due now."""
        for said in self._said:
            if said.nonce == nonce:
                said.result = said.result or result
        due: list[tuple[Request, Result]] = []
        while self._said and (first := self._said[0].result) is not None:
            due.append((self._said.pop(0).request, first))
        return due

    def give_up(self, failure: Failure) -> list[tuple[Request, Result]]:
        """Everything that has no result has failed."""
        due = [(said.request, said.result or failure) for said in self._said]
        self._said.clear()
        return due
