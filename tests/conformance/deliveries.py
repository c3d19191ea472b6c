"""Compares the messages that a client has given to its user with the server's messages. This module does no I/O."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import assert_never

from tests.conformance.driver_lines import (
    CacheDropped,
    CallDone,
    ClientEnded,
    DriverLine,
    GivenChange,
    GivenMessage,
    NamedGap,
    SendDone,
    StepFailed,
)
from tests.conformance.served_chats import ServedChats


@dataclass
class ChatDeliveries:
    """The messages of one chat that were given.

    `covered` are the indexes that were given, named by a gap, or acknowledged to their sender. `last` is the greatest
    index that was given or named.
    """

    covered: set[int] = field(default_factory=set)
    last: int = 0
    revs: list[int] = field(default_factory=list)

    @property
    def holes(self) -> list[int]:
        """Returns the indexes that are missing between the first and the last given message."""
        return [index for index in range(min(self.covered, default=0), self.last) if index not in self.covered]


class Deliveries:
    """The messages and changes that one driver reports as given to its user."""

    def __init__(self, served: ServedChats) -> None:
        self._served = served
        self._chats: dict[int, ChatDeliveries] = {}

    def of(self, chat: int) -> ChatDeliveries:
        return self._chats.setdefault(chat, ChatDeliveries())

    def faults_of(self, line: DriverLine) -> Iterator[str]:
        """Records a line of the driver, and yields the faults that the line shows."""
        match line:
            case GivenMessage(chat, index, text):
                yield from self._message(chat, index, text)
            case GivenChange(chat, rev, index):
                yield from self._change(chat, rev, index)
            case NamedGap(chat, low, high):
                yield from self._gap(chat, low, high)
            case CacheDropped():
                self._chats.clear()
            case SendDone(_, chat, index):
                self.of(chat).covered.add(index)
            case CallDone() | StepFailed() | ClientEnded():
                pass
            case _:
                assert_never(line)

    def final_faults(self) -> Iterator[str]:
        for chat, given in self._chats.items():
            if holes := given.holes:
                yield f"message {holes[0]} of chat {chat} was neither given nor named by a gap"

    def _message(self, chat: int, index: int, text: str) -> Iterator[str]:
        given, served = self.of(chat), self._served.text(chat, index)
        if index <= given.last:
            again = "was given twice, or after it was named by a gap" if index in given.covered else "came too late"
            yield f"message {index} of chat {chat} {again}: the last one was {given.last}"
        if served is None:
            yield f"message {index} of chat {chat} was given, which the server does not have"
        elif served != text:
            yield f"message {index} of chat {chat} was given as {text!r}, and is {served!r}"
        given.covered.add(index)
        given.last = max(given.last, index)

    def _change(self, chat: int, rev: int, index: int) -> Iterator[str]:
        given = self.of(chat)
        if given.revs and rev <= given.revs[-1]:
            yield f"change {rev} of chat {chat} was given after change {given.revs[-1]}"
        if index not in given.covered:
            yield f"change {rev} of chat {chat} was given before its message, {index}"
        given.revs.append(rev)

    def _gap(self, chat: int, low: int, high: int) -> Iterator[str]:
        given = self.of(chat)
        if low > high:
            yield f"a gap of chat {chat} goes from {low} to {high}"
        if high > self._served.head(chat):
            yield f"a gap of chat {chat} goes to message {high}, which the server does not have"
        if low <= given.last:
            yield f"a gap of chat {chat} begins at {low}: the last message was {given.last}"
        given.covered.update(range(low, high + 1))
        given.last = max(given.last, high)
