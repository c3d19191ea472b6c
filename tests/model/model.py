"""What a chat system is, in a page: people, chats, who has read what, who is asked what. It knows no dialect and no
connection, and says of everything that is done what it is news of, and to whom."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.clients.client import Segment

LOBBY = 1

Policy = Literal["open", "approval", "closed"]


class Named:
    """Hypothesis tells its choices by what they are called, not by all they hold."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(repr=False, eq=False)
class Person(Named):
    number: int
    name: str
    uuid: str
    friends: set[int] = field(default_factory=set)
    asked: dict[int, str] = field(default_factory=dict)
    """Who wants to be a friend, with what words."""
    unread: list["Said"] = field(default_factory=list)
    kept: list["Event"] = field(default_factory=list)
    """What waits for a dialect that shows it."""

    def __repr__(self) -> str:
        return f"person {self.number}"


@dataclass(eq=False)
class Said:
    """`chat` and `index` are its place; `facts` what one reader was told of it, and all others must be told."""

    chat: int
    index: int
    sender: int
    dialect: str
    segments: tuple[Segment, ...]
    facts: dict[str, int] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class Chat(Named):
    """`first`: the members in order of joining, the owner first, and the first index each may see. `before`: how many
    messages there were before anybody of the model came."""

    number: int
    name: str
    owner: int
    policy: Policy
    pair: tuple[int, int] | None = None
    before: int = 0
    first: dict[int, int] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    applied: dict[int, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"chat {self.number}"

    @property
    def head(self) -> int:
        return self.before + len(self.said)

    def other(self, number: int) -> int:
        """Of a private chat."""
        assert self.pair is not None
        return self.pair[number == self.pair[0]]

    def visible(self, number: int) -> list[Said]:
        return [said for said in self.said if said.index >= self.first[number]]


# News


@dataclass(frozen=True)
class Spoken:
    said: Said


@dataclass(frozen=True)
class Appeared:
    """The reader is in this chat now."""

    chat: int


@dataclass(frozen=True)
class FriendAsked:
    applicant: int
    account: int
    text: str


@dataclass(frozen=True)
class FriendAnswered:
    applicant: int
    account: int
    accepted: bool


@dataclass(frozen=True)
class Applied:
    chat: int
    applicant: int
    text: str


@dataclass(frozen=True)
class Answered:
    """`account` is in the group now, or is not let in."""

    chat: int
    name: str
    account: int
    accepted: bool


@dataclass(frozen=True)
class GroupRenamed:
    chat: int
    name: str
    by: int


@dataclass(frozen=True)
class PersonRenamed:
    account: int
    name: str


Event = Spoken | Appeared | FriendAsked | FriendAnswered | Applied | Answered | GroupRenamed | PersonRenamed
News = list[tuple[int, Event]]
"""Each for one account."""


class Forbidden(Exception):
    """The system must refuse it."""


class Model:
    def __init__(self, lobby_head: int) -> None:
        self.people: dict[int, Person] = {}
        self.chats = {LOBBY: Chat(LOBBY, "Lobby", 0, "open", before=lobby_head)}

    # Chats

    def create(self, number: int, name: str, by: int, others: Iterable[int], policy: Policy) -> News:
        chat = self.chats[number] = Chat(number, name, by, policy)
        chat.first = dict.fromkeys([by, *others], 1)
        news: News = [(member, Appeared(number)) for member in chat.first]
        return news + [(one, Answered(number, name, one, accepted=True)) for one in chat.first if one != by]

    def private(self, one: int, other: int) -> Chat | None:
        return next((chat for chat in self.chats.values() if chat.pair and set(chat.pair) == {one, other}), None)

    def open_private(self, number: int, one: int, other: int) -> News:
        chat = Chat(number, "", 0, "closed", pair=(min(one, other), max(one, other)))
        self.chats[number] = chat
        chat.first = {one: 1, other: 1}
        return [(member, Appeared(number)) for member in chat.first]

    def say(self, chat: Chat, sender: int, dialect: str, segments: tuple[Segment, ...]) -> News:
        """Unread by all others, until somebody sees it."""
        if sender not in chat.first:
            raise Forbidden
        said = Said(chat.number, chat.head + 1, sender, dialect, segments)
        chat.said.append(said)
        for member in chat.first:
            if member != sender:
                self.people[member].unread.append(said)
        return [(member, Spoken(said)) for member in chat.first]

    def rename_group(self, chat: Chat, by: int, name: str) -> News:
        if chat.owner != by:
            raise Forbidden
        chat.name = name
        return [(member, GroupRenamed(chat.number, name, by)) for member in chat.first]

    # Coming into groups

    def apply(self, chat: Chat, account: int, text: str) -> News:
        if account in chat.first or chat.policy == "closed":
            raise Forbidden
        if chat.policy == "open":
            return self._admit(chat, account)
        chat.applied[account] = text
        return [(chat.owner, Applied(chat.number, account, text))]

    def answer_applicant(self, chat: Chat, by: int, applicant: int, *, accept: bool, pull: bool) -> News:
        """`pull`: friends may be let in who have not applied."""
        friend = accept and pull and applicant in self.people[by].friends
        if chat.owner != by or applicant in chat.first or not (applicant in chat.applied or friend):
            raise Forbidden
        if accept:
            return self._admit(chat, applicant)
        del chat.applied[applicant]
        return [(applicant, Answered(chat.number, chat.name, applicant, accepted=False))]

    def _admit(self, chat: Chat, account: int) -> News:
        chat.applied.pop(account, None)
        chat.first[account] = 1 if chat.policy == "open" else chat.head + 1
        told = [account] if chat.number == LOBBY else list(chat.first)
        news: News = [(account, Appeared(chat.number))]
        return news + [(one, Answered(chat.number, chat.name, account, accepted=True)) for one in told]

    # Between people

    def rename(self, person: Person, name: str) -> News:
        person.name = name
        return [(one, PersonRenamed(person.number, name)) for one in (person.number, *person.friends)]

    def befriend(self, person: Person, other: Person, text: str) -> News:
        """Two who ask each other are friends."""
        if other.number in person.friends:
            raise Forbidden
        if other.number in person.asked:
            return self.answer_friend(person, other, accept=True)
        other.asked[person.number] = text
        return [(other.number, FriendAsked(person.number, other.number, text))]

    def answer_friend(self, person: Person, applicant: Person, *, accept: bool) -> News:
        if applicant.number not in person.asked:
            raise Forbidden
        del person.asked[applicant.number]
        answered = FriendAnswered(applicant.number, person.number, accept)
        if not accept:
            return [(applicant.number, answered)]
        person.friends.add(applicant.number)
        applicant.friends.add(person.number)
        return [(applicant.number, answered), (person.number, answered)]

    def unfriend(self, person: Person, other: Person) -> News:
        """Nobody is told."""
        if other.number not in person.friends:
            raise Forbidden
        person.friends.remove(other.number)
        other.friends.remove(person.number)
        return []

    # What waits for somebody

    def requests(self, account: int) -> list[Event]:
        """That the account has not answered."""
        person = self.people[account]
        own = [chat for chat in self.chats.values() if chat.owner == account]
        asked: list[Event] = [FriendAsked(one, account, text) for one, text in person.asked.items()]
        return asked + [Applied(chat.number, one, text) for chat in own for one, text in chat.applied.items()]

    def chats_of(self, account: int) -> dict[int, Chat]:
        return {number: chat for number, chat in self.chats.items() if account in chat.first}
