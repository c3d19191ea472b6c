"""A model of a chat system: users, chats, unread messages, pending requests. It knows no dialect and no connection.
Each action returns the notifications that it causes, by account."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.clients.client import Segment

LOBBY = 1

Policy = Literal["open", "approval", "closed"]


class Named:
    """Hypothesis prints such a choice by its name, not by all its fields."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(repr=False, eq=False)
class ModelUser(Named):
    number: int
    name: str
    uuid: str
    friends: set[int] = field(default_factory=set)
    friend_requests: dict[int, str] = field(default_factory=dict)
    """Text of each pending friend request, by applicant."""
    unread: list["SentMessage"] = field(default_factory=list)
    stored_events: list["Event"] = field(default_factory=list)
    """Events that wait for a login in a dialect that shows them."""

    def __repr__(self) -> str:
        return f"user {self.number}"


@dataclass(eq=False)
class SentMessage:
    """`facts` are the values (time, id) that the first reader saw; all other readers must see the same."""

    chat: int
    index: int
    sender: int
    dialect: str
    segments: tuple[Segment, ...]
    facts: dict[str, int] = field(default_factory=dict)


@dataclass(repr=False, eq=False)
class Chat(Named):
    """`first`: the first visible index by member, in order of joining, the owner first. `before`: number of messages
    that are older than the model."""

    number: int
    name: str
    owner: int
    policy: Policy
    pair: tuple[int, int] | None = None
    before: int = 0
    first: dict[int, int] = field(default_factory=dict)
    messages: list[SentMessage] = field(default_factory=list)
    applied: dict[int, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"chat {self.number}"

    @property
    def head(self) -> int:
        return self.before + len(self.messages)

    def other(self, number: int) -> int:
        """The other member of a private chat."""
        assert self.pair is not None
        return self.pair[number == self.pair[0]]

    def visible(self, number: int) -> list[SentMessage]:
        return [message for message in self.messages if message.index >= self.first[number]]


# Events


@dataclass(frozen=True)
class MessagePosted:
    message: SentMessage


@dataclass(frozen=True)
class ChatAppeared:
    """The reader is a member of this chat now."""

    chat: int


@dataclass(frozen=True)
class FriendRequested:
    applicant: int
    account: int
    text: str


@dataclass(frozen=True)
class FriendRequestAnswered:
    applicant: int
    account: int
    accepted: bool


@dataclass(frozen=True)
class JoinRequested:
    chat: int
    applicant: int
    text: str


@dataclass(frozen=True)
class JoinRequestAnswered:
    """`account` is a member of the group now, or was rejected."""

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
class UserRenamed:
    account: int
    name: str


Event = (
    MessagePosted
    | ChatAppeared
    | FriendRequested
    | FriendRequestAnswered
    | JoinRequested
    | JoinRequestAnswered
    | GroupRenamed
    | UserRenamed
)
Notifications = list[tuple[int, Event]]
"""Events, each with the account that is notified."""


class Forbidden(Exception):
    """The system must reject the request."""


class Model:
    def __init__(self, lobby_head: int) -> None:
        self.users: dict[int, ModelUser] = {}
        self.chats = {LOBBY: Chat(LOBBY, "Lobby", 0, "open", before=lobby_head)}

    # Chats

    def create(self, number: int, name: str, by: int, others: Iterable[int], policy: Policy) -> Notifications:
        chat = self.chats[number] = Chat(number, name, by, policy)
        chat.first = dict.fromkeys([by, *others], 1)
        notifications: Notifications = [(member, ChatAppeared(number)) for member in chat.first]
        return notifications + [
            (one, JoinRequestAnswered(number, name, one, accepted=True)) for one in chat.first if one != by
        ]

    def private(self, one: int, other: int) -> Chat | None:
        return next((chat for chat in self.chats.values() if chat.pair and set(chat.pair) == {one, other}), None)

    def open_private(self, number: int, one: int, other: int) -> Notifications:
        chat = Chat(number, "", 0, "closed", pair=(min(one, other), max(one, other)))
        self.chats[number] = chat
        chat.first = {one: 1, other: 1}
        return [(member, ChatAppeared(number)) for member in chat.first]

    def send(self, chat: Chat, sender: int, dialect: str, segments: tuple[Segment, ...]) -> Notifications:
        """The message is unread for all other members until one of their clients sees it."""
        if sender not in chat.first:
            raise Forbidden
        message = SentMessage(chat.number, chat.head + 1, sender, dialect, segments)
        chat.messages.append(message)
        for member in chat.first:
            if member != sender:
                self.users[member].unread.append(message)
        return [(member, MessagePosted(message)) for member in chat.first]

    def rename_group(self, chat: Chat, by: int, name: str) -> Notifications:
        if chat.owner != by:
            raise Forbidden
        chat.name = name
        return [(member, GroupRenamed(chat.number, name, by)) for member in chat.first]

    # Joining groups

    def apply(self, chat: Chat, account: int, text: str) -> Notifications:
        if account in chat.first or chat.policy == "closed":
            raise Forbidden
        if chat.policy == "open":
            return self._admit(chat, account)
        chat.applied[account] = text
        return [(chat.owner, JoinRequested(chat.number, account, text))]

    def answer_applicant(self, chat: Chat, by: int, applicant: int, *, accept: bool, pull: bool) -> Notifications:
        """`pull`: friends may be admitted without an application."""
        friend = accept and pull and applicant in self.users[by].friends
        if chat.owner != by or applicant in chat.first or not (applicant in chat.applied or friend):
            raise Forbidden
        if accept:
            return self._admit(chat, applicant)
        del chat.applied[applicant]
        return [(applicant, JoinRequestAnswered(chat.number, chat.name, applicant, accepted=False))]

    def _admit(self, chat: Chat, account: int) -> Notifications:
        chat.applied.pop(account, None)
        chat.first[account] = 1 if chat.policy == "open" else chat.head + 1
        recipients = [account] if chat.number == LOBBY else list(chat.first)
        notifications: Notifications = [(account, ChatAppeared(chat.number))]
        return notifications + [
            (one, JoinRequestAnswered(chat.number, chat.name, account, accepted=True)) for one in recipients
        ]

    # Friends and profiles

    def rename(self, user: ModelUser, name: str) -> Notifications:
        user.name = name
        return [(one, UserRenamed(user.number, name)) for one in (user.number, *user.friends)]

    def request_friend(self, user: ModelUser, other: ModelUser, text: str) -> Notifications:
        """Two users who request each other become friends."""
        if other.number in user.friends:
            raise Forbidden
        if other.number in user.friend_requests:
            return self.answer_friend(user, other, accept=True)
        other.friend_requests[user.number] = text
        return [(other.number, FriendRequested(user.number, other.number, text))]

    def answer_friend(self, user: ModelUser, applicant: ModelUser, *, accept: bool) -> Notifications:
        if applicant.number not in user.friend_requests:
            raise Forbidden
        del user.friend_requests[applicant.number]
        answered = FriendRequestAnswered(applicant.number, user.number, accept)
        if not accept:
            return [(applicant.number, answered)]
        user.friends.add(applicant.number)
        applicant.friends.add(user.number)
        return [(applicant.number, answered), (user.number, answered)]

    def remove_friend(self, user: ModelUser, other: ModelUser) -> Notifications:
        """Nobody is notified."""
        if other.number not in user.friends:
            raise Forbidden
        user.friends.remove(other.number)
        other.friends.remove(user.number)
        return []

    # Pending requests

    def requests(self, account: int) -> list[Event]:
        """Requests that the account has not answered."""
        user = self.users[account]
        own = [chat for chat in self.chats.values() if chat.owner == account]
        pending: list[Event] = [FriendRequested(one, account, text) for one, text in user.friend_requests.items()]
        return pending + [JoinRequested(chat.number, one, text) for chat in own for one, text in chat.applied.items()]

    def chats_of(self, account: int) -> dict[int, Chat]:
        return {number: chat for number, chat in self.chats.items() if account in chat.first}
