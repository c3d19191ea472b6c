"""A client somebody is logged in with, and what it is still to see."""

import time
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from tests.clients.client import Client, Sight
from tests.clients.line import SECONDS
from tests.clients.ourchat_v2 import V2
from tests.model.expected_frames import WORDS
from tests.model.model import LOBBY, Appeared, Event, Model, Named, Person, Said, Spoken

_HOLD_SECONDS = 1.5
"""So long after a login, and after a session was announced, v2 may hold messages back, but never one's own echo."""
_AGAIN_SECONDS = 3.0
"""What happens between people may be told twice to who has just come: with what waited, and as news."""


class Differs(AssertionError):
    """Somebody sees something else than the model says."""


@dataclass(repr=False, eq=False)
class Device(Named):
    client: Client
    person: Person
    model: Model
    pushes: bool
    """It is told of messages."""
    since: float = field(default_factory=time.monotonic)
    held_until: float = field(default_factory=lambda: time.monotonic() + _HOLD_SECONDS)
    known: set[int] = field(default_factory=set)
    """Chats that it has heard of, in a dialect that announces them."""
    due: dict[Hashable, deque[tuple[Sight, Said | None]]] = field(default_factory=dict)
    """What must come: of each chat in this order, all else in any."""
    _seen: list[Sight] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"{type(self.client).__name__} of {self.person.number}"

    def expect(self, event: Event, *, own: bool = False, anywhere: bool = False) -> None:
        """`own`: said by this very client; `anywhere`: not in its place among the messages of its chat."""
        said = event.said if isinstance(event, Spoken) else None
        stream: Hashable = object() if said is None or anywhere else (said.chat, own and self.holds)
        if sights := WORDS[self.client.dialect](event, self.model):
            self.due.setdefault(stream, deque()).extend((sight, said) for sight in sights)

    @property
    def holds(self) -> bool:
        return isinstance(self.client, V2) and time.monotonic() < self.held_until

    def await_its_turn(self) -> None:
        """Until it sees one's own words in their place."""
        if self.holds:
            time.sleep(self.held_until - time.monotonic())

    def settle(self) -> None:
        """See all that is due, and nothing else."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                sight = self.client.see(deadline - time.monotonic() if self.due else 0)
            except TimeoutError:
                if not self.due:
                    return
                raise Differs(f"{self} does not see {self._wanted()}") from None
            self.match(sight)

    def awaits(self, sight: Sight) -> bool:
        return any(waiting[0][0] == sight for waiting in self.due.values())

    def early_sights(self) -> list[Sight]:
        """What it sees, and need not, until it has seen all that is due."""
        early: list[Sight] = []
        while self.due:
            sight = self.client.see()
            if self.awaits(sight):
                self.match(sight)
            else:
                early.append(sight)
        return early

    def match(self, sight: Sight) -> None:
        """This is what it has seen next."""
        for stream, waiting in self.due.items():
            expected, said = waiting[0]
            if expected == sight:
                waiting.popleft()
                if not waiting:
                    del self.due[stream]
                return self._understand(sight, said)
        if time.monotonic() < self.since + _AGAIN_SECONDS and sight.kind != "message" and sight in self._seen:
            return
        raise Differs(f"{self} sees {sight}, and should see {self._wanted() or 'nothing'}")

    def _wanted(self) -> str:
        return ", or ".join(str(waiting[0][0]) for waiting in self.due.values())

    def _understand(self, sight: Sight, said: Said | None) -> None:
        if said is not None:
            learn(said, sight, str(self))
            if isinstance(self.client, V2) and said.chat not in self.known:
                raise Differs(f"{self} has not heard of {said.chat} before {sight}")
        elif isinstance(self.client, V2):
            self.held_until = time.monotonic() + _HOLD_SECONDS
            self.list_session(sight.values["session_id"])
        else:
            self._seen.append(sight)

    # OurChat v2

    def list_session(self, number: int) -> None:
        """What such a client does with a session that it hears of, and what it must be told."""
        assert isinstance(self.client, V2)
        self.known.add(number)
        chat = self.model.chats[number]
        if number == LOBBY:
            self.client.session(number, "session_id")
            return
        told = self.client.session(number, "session_id", "name", "owner", "members")
        members = [int(one) for one in told["members"]]
        same(self, sorted(members), sorted(chat.first))
        if chat.pair is None:
            same(self, (told["name"], told["owner"], members[0]), (chat.name, f"{chat.owner:010d}", chat.owner))

    def answered(self, event: Event) -> None:
        """A chat that was made by this very client's request needs no word."""
        if isinstance(event, Appeared) and isinstance(self.client, V2):
            self.known.add(event.chat)


def learn(said: Said, sight: Sight, whose: str) -> None:
    """What one was told of a message, all are."""
    facts = sight.facts | ({"seconds": sight.facts["ms"] // 1000} if "ms" in sight.facts else {})
    for name, fact in facts.items():
        wanted = said.index if name == "index" else said.facts.setdefault(name, fact)
        if fact != wanted:
            raise Differs(f"{whose} is told {name} {fact} of a message that has {wanted}: {sight}")


def same(whose: object, seen: object, wanted: object) -> None:
    if seen != wanted:
        raise Differs(f"{whose} sees {seen}, and should see {wanted}")
