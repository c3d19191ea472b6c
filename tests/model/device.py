"""A client that is logged in, and the frames that it must still see."""

import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.clients.client import Client, Sight
from tests.clients.line import SECONDS
from tests.clients.native import Native
from tests.clients.ourchat_v2 import V2
from tests.model.expected_frames import possible_frames
from tests.model.model import (
    LOBBY,
    ChatAppeared,
    Event,
    MessageChanged,
    MessagePosted,
    Model,
    ModelUser,
    Named,
    SentMessage,
)

T = TypeVar("T")

_HOLD_SECONDS = 1.5
"""For this time, a v2 connection may hold messages back, but not the echoes of its own messages.

The time begins with a login, and again when a session is announced.
"""
_REPEAT_SECONDS = 3.0
"""For this time after a login, an event may come twice: once as a stored event, and once live."""


class ModelMismatch(AssertionError):
    """A client sees something that the model does not predict."""


@dataclass(frozen=True, repr=False, eq=False)
class SleepingClient(Named):
    """A client of native that is offline. `heads` are the summaries of its chats when it disconnected."""

    user: ModelUser
    heads: dict[int, dict[str, Any]]

    def __repr__(self) -> str:
        return f"sleeping client of {self.user.number}"


@dataclass(eq=False)
class ExpectedEvent:
    """An event that the client must still see.

    `ways` are alternative sequences of frames that show it. Each begins with a different frame.
    """

    event: Event
    ways: list[list[Sight]]

    def begins_with(self, sight: Sight) -> bool:
        return any(way[0] == sight for way in self.ways)

    def advance(self, sight: Sight) -> bool:
        """Removes the frame from the ways. Returns whether the device has now seen the whole event."""
        self.ways = [way[1:] for way in self.ways if way[0] == sight]
        return not self.ways[0]


@dataclass(repr=False, eq=False)
class ModelDevice(Named):
    client: Client
    user: ModelUser
    model: Model
    pushes: bool
    """Whether the server pushes messages to the device."""
    since: float = field(default_factory=time.monotonic)
    held_until: float = field(default_factory=lambda: time.monotonic() + _HOLD_SECONDS)
    known: set[int] = field(default_factory=set)
    """Chats that were announced to the device, if its dialect announces chats."""
    due: dict[Hashable, deque[ExpectedEvent]] = field(default_factory=dict)
    """Expected events in separate queues: the messages of a chat in order, the changes of a chat in order, and each
    other event alone.
    """
    _seen: list[Sight] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"{type(self.client).__name__} of {self.user.number}"

    def expect(self, event: Event, *, own: bool = False, anywhere: bool = False) -> None:
        """Expects an event.

        `own`: this client has sent the message. `anywhere`: the message may come in any order with the other messages
        of its chat.
        """
        stream: Hashable = object()
        if isinstance(event, MessagePosted) and not anywhere:
            stream = event.message.chat, own and self.holds
        elif isinstance(event, MessageChanged):
            stream = "changes", event.change.chat
        if any(ways := possible_frames(self.client.dialect, event, self.model)):
            self.due.setdefault(stream, deque()).append(ExpectedEvent(event, ways))

    @property
    def holds(self) -> bool:
        return isinstance(self.client, V2) and time.monotonic() < self.held_until

    def wait_until_not_holding(self) -> None:
        """Waits until the connection no longer holds messages back.

        Then the client's own messages arrive in order with the others.
        """
        if self.holds:
            time.sleep(self.held_until - time.monotonic())

    def settle(self) -> None:
        """Reads frames until all expected ones have come. Raises ModelMismatch for a missing or an unexpected frame."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                sight = self.client.see(deadline - time.monotonic() if self.due else 0)
            except TimeoutError:
                if not self.due:
                    return
                raise ModelMismatch(f"{self} does not see {self._wanted()}") from None
            self.match(sight)

    def expects(self, sight: Sight) -> bool:
        return any(waiting[0].begins_with(sight) for waiting in self.due.values())

    def early_sights(self) -> list[Sight]:
        """Returns frames that the device sees before it has seen all expected ones.

        The device need not see such frames.
        """
        early: list[Sight] = []
        while self.due:
            sight = self.client.see()
            if self.expects(sight):
                self.match(sight)
            else:
                early.append(sight)
        return early

    def match(self, sight: Sight) -> None:
        """Matches the next frame with one of the expected frames."""
        for stream, waiting in self.due.items():
            if waiting[0].begins_with(sight):
                event = waiting[0].event
                if waiting[0].advance(sight):
                    waiting.popleft()
                if not waiting:
                    del self.due[stream]
                return self._understand(sight, event)
        if time.monotonic() < self.since + _REPEAT_SECONDS and sight in self._seen:
            return
        raise ModelMismatch(f"{self} sees {sight}, and should see {self._wanted() or 'nothing'}")

    def _wanted(self) -> str:
        return ", or ".join(str(way[0]) for waiting in self.due.values() for way in waiting[0].ways)

    def _understand(self, sight: Sight, event: Event) -> None:
        if isinstance(event, MessagePosted):
            learn_facts(event.message, sight, str(self))
            if isinstance(self.client, V2) and event.message.chat not in self.known:
                raise ModelMismatch(f"{self} has not heard of {event.message.chat} before {sight}")
        elif isinstance(self.client, V2):
            self.held_until = time.monotonic() + _HOLD_SECONDS
            self.list_session(sight.values["session_id"])
        elif not isinstance(event, MessageChanged):
            self._seen.append(sight)

    # Native

    @property
    def unread(self) -> dict[int, int]:
        """Returns the number of unread messages in each chat."""
        number = self.user.number
        return {chat: len(self.model.unread(number, one)) for chat, one in self.model.chats_of(number).items()}

    def settle_on(self, request: Callable[[], T], wanted: T) -> None:
        """Repeats the request until it has the wanted result.

        A member that writes in a chat has read it, but that is stored only some seconds later.
        """
        deadline = time.monotonic() + SECONDS
        while (seen := request()) != wanted:
            if time.monotonic() > deadline:
                expect_same(self, seen, wanted)

    # OurChat v2

    def list_session(self, number: int) -> None:
        """Requests a session that was announced, as a client of this dialect does, and checks the reply."""
        assert isinstance(self.client, V2)
        self.known.add(number)
        chat = self.model.chats[number]
        if number == LOBBY:
            self.client.session(number, "session_id")
            return
        answer = self.client.session(number, "session_id", "name", "owner", "members")
        members = [int(one) for one in answer["members"]]
        expect_same(self, sorted(members), sorted(chat.first))
        if chat.pair is None:
            expect_same(
                self, (answer["name"], answer["owner"], members[0]), (chat.name, f"{chat.owner:010d}", chat.owner)
            )

    def answered(self, event: Event) -> None:
        """Notes that this client has created a chat. Only native announces the chat to the client that created it."""
        if isinstance(event, ChatAppeared) and isinstance(self.client, V2):
            self.known.add(event.chat)
        elif isinstance(event, ChatAppeared) and isinstance(self.client, Native):
            self.expect(event)


def learn_facts(message: SentMessage, sight: Sight, observer: str) -> None:
    """Checks that all clients see the same facts of a message. Notes the facts that the first client sees."""
    facts = sight.facts | ({"seconds": sight.facts["ms"] // 1000} if "ms" in sight.facts else {})
    for name, fact in facts.items():
        wanted = message.index if name == "index" else message.facts.setdefault(name, fact)
        if fact != wanted:
            raise ModelMismatch(f"{observer} is answer {name} {fact} of a message that has {wanted}: {sight}")


def expect_same(observer: object, seen: object, wanted: object) -> None:
    if seen != wanted:
        raise ModelMismatch(f"{observer} sees {seen}, and should see {wanted}")
