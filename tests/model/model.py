"""A model of a chat system: users, chats, undelivered and unread messages, and pending requests.

The model contains no dialects and no connections. Each action returns the notifications that it causes, by account.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from tests.clients.client import Segment

LOBBY = 1

Policy = Literal["open", "approval", "closed"]
Role = Literal["member", "admin", "owner"]


class Named:
    """A choice that Hypothesis prints by its name, and not by all its fields."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(repr=False, eq=False)
class ModelUser(Named):
    number: int
    name: str
    uuid: str
    friends: set[int] = field(default_factory=set)
    blocked: set[int] = field(default_factory=set)
    friend_requests: dict[int, str] = field(default_factory=dict)
    """The text of each pending friend request, by applicant."""
    undelivered: list["SentMessage"] = field(default_factory=list)
    undelivered_on_irc: list["SentMessage"] | None = None
    """The messages that the user's device with IRC has missed. None before its first login."""
    read: dict[int, int] = field(default_factory=dict)
    """For each chat, the index up to which the user has read everything."""
    stored_events: list["Event"] = field(default_factory=list)
    """Events that the server stores until the user logs in, in a dialect that shows them."""

    def __repr__(self) -> str:
        return f"user {self.number}"


@dataclass(eq=False)
class SentMessage:
    """A message.

    `facts` are the values (time, id) that the first reader saw. All other readers must see the same values.
    """

    chat: int
    index: int
    sender: int
    dialect: str
    segments: tuple[Segment, ...]
    audience: set[int] = field(default_factory=set)
    """The members, except the sender, at the time of the message."""
    facts: dict[str, int] = field(default_factory=dict)
    reply_to: int = 0
    """The index of the message to which this one replies, or 0."""
    is_edited: bool = False
    is_recalled: bool = False
    reactions: dict[str, set[int]] = field(default_factory=dict)
    """The accounts that reacted, by emoji."""
    quoted: "SentMessage | None" = None
    """A version of the message to which this one replies.

    If it is None, the quote shows the message's present version.
    """

    def mine(self, account: int) -> set[str]:
        """Returns the emoji with which an account has reacted."""
        return {emoji for emoji, accounts in self.reactions.items() if account in accounts}


@dataclass(frozen=True)
class Change:
    """A change of a message, with the text and the reactions that the message has after it.

    `emoji` and `is_on` describe the reaction that is added or removed. For a pin, `is_on` says whether the message is
    now pinned.
    """

    chat: int
    rev: int
    index: int
    kind: str
    by: int
    segments: tuple[Segment, ...]
    reactions: dict[str, int]
    emoji: str = ""
    is_on: bool = True


class Rules(NamedTuple):
    """The rules of a group.

    `edits` and `recalls` say whether senders may edit and recall their messages. If `history` is true, new members see
    earlier messages; if it is None, they do so only in an open group.
    """

    edits: bool = True
    recalls: bool = True
    history: bool | None = None


@dataclass(repr=False, eq=False)
class Chat(Named):
    """A chat. `first` is the first index that each member can see; it is in order of joining, with the owner first.

    `before` is the number of messages that are older than the model. `rev` is the number of changes, including changes
    of those messages.
    """

    number: int
    name: str
    owner: int
    policy: Policy
    admins: set[int] = field(default_factory=set)
    pair: tuple[int, int] | None = None
    before: int = 0
    first: dict[int, int] = field(default_factory=dict)
    messages: list[SentMessage] = field(default_factory=list)
    applied: dict[int, str] = field(default_factory=dict)
    rev: int = 0
    changes: list[Change] = field(default_factory=list)
    pinned: set[int] = field(default_factory=set)
    muted: set[int] = field(default_factory=set)
    """Members that may not send or change anything.

    In a private chat, these are the members that the other member blocks. In a group, these are the silenced members,
    even after they have left, but they may recall. The number 0 means all members except the owner and admins.
    """
    banned: set[int] = field(default_factory=set)
    unalerted: set[int] = field(default_factory=set)
    """Members that do not want to be alerted of messages."""
    rules: Rules = field(default_factory=Rules)

    def __repr__(self) -> str:
        return f"chat {self.number}"

    @property
    def head(self) -> int:
        return self.before + len(self.messages)

    @property
    def leaders(self) -> set[int]:
        """Returns the owner and the admins of a group."""
        return {self.owner, *self.admins} & self.first.keys()

    def role(self, number: int) -> Role:
        """The role of a member."""
        return "owner" if number == self.owner else "admin" if number in self.admins else "member"

    def is_muted(self, number: int) -> bool:
        return number in self.muted or (0 in self.muted and number not in self.leaders)

    def outranks(self, number: int, other: int) -> bool:
        ranks = ("member", "admin", "owner")
        return ranks.index(self.role(number)) > ranks.index(self.role(other))

    def other(self, number: int) -> int:
        """Returns the other member of a private chat."""
        assert self.pair is not None
        return self.pair[number == self.pair[0]]

    def visible(self, number: int) -> list[SentMessage]:
        return [message for message in self.messages if message.index >= self.first[number]]

    def message(self, index: int) -> SentMessage:
        return self.messages[index - self.before - 1]

    def visible_to(self, number: int) -> list[SentMessage]:
        """Returns the messages that an account can see. An account that is not a member sees none."""
        return self.visible(number) if number in self.first else []


# Events


@dataclass(frozen=True)
class MessagePosted:
    message: SentMessage


@dataclass(frozen=True)
class MessageChanged:
    change: Change


@dataclass(frozen=True)
class ChatAppeared:
    """The reader is now a member of this chat."""

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
    """`account` is now a member of the group, or its application was rejected."""

    chat: int
    name: str
    account: int
    accepted: bool


@dataclass(frozen=True)
class ChatLeft:
    """The reader is no longer a member of this chat."""

    chat: int
    why: Literal["left", "kicked"]


@dataclass(frozen=True)
class RoleChanged:
    chat: int
    account: int
    role: Role | Literal["left"]
    by: int


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
    | MessageChanged
    | ChatAppeared
    | FriendRequested
    | FriendRequestAnswered
    | JoinRequested
    | JoinRequestAnswered
    | ChatLeft
    | RoleChanged
    | GroupRenamed
    | UserRenamed
)
Notifications = list[tuple[int, Event]]
"""Events, each with the account that the system notifies."""


class Forbidden(Exception):
    """The system must reject the request."""


class Model:
    def __init__(self, lobby_head: int, lobby_rev: int) -> None:
        self.users: dict[int, ModelUser] = {}
        self.chats = {LOBBY: Chat(LOBBY, "Lobby", 0, "open", before=lobby_head, rev=lobby_rev)}
        self.versions: dict[tuple[int, int], list[SentMessage]] = {}
        """For each message that is being changed, all its versions, by chat and index.

        The first version comes first. A push that was sent meanwhile may show any of them.
        """

    def possible(self, message: SentMessage) -> list[SentMessage]:
        """Returns the versions of the message that a push may show.

        For a reply, combines them with each version of the quoted message.
        """
        possible: list[SentMessage] = []
        for version in self.versions.get((message.chat, message.index), [message]):
            if version.reply_to:
                quoted = self.versions.get((version.chat, version.reply_to), [None])
                possible += [replace(version, quoted=one) for one in quoted]
            else:
                possible.append(version)
        return possible

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
        chat.muted = {member for member in chat.first if self.is_blocked(member, [chat.other(member)])}
        return [(member, ChatAppeared(number)) for member in chat.first]

    def send(
        self, chat: Chat, sender: int, dialect: str, segments: tuple[Segment, ...], reply_to: int = 0
    ) -> Notifications:
        """Sends a message. For each other member, it is undelivered until a client of this member sees it, and unread
        until a client marks it as read.

        The sender has then read everything before it.
        """
        if sender not in chat.first or chat.is_muted(sender) or 0 < reply_to < chat.first[sender]:
            raise Forbidden
        message = SentMessage(chat.number, chat.head + 1, sender, dialect, segments, reply_to=reply_to)
        chat.messages.append(message)
        self.users[sender].read[chat.number] = message.index
        message.audience = chat.first.keys() - {sender}
        for member in message.audience:
            for undelivered in (self.users[member].undelivered, self.users[member].undelivered_on_irc):
                if undelivered is not None:
                    undelivered.append(message)
        return [(member, MessagePosted(message)) for member in chat.first]

    def mark_read(self, chat: Chat, account: int, index: int) -> Notifications:
        """Marks all messages up to an index as read.

        The model predicts no receipts; the tests request them and check them.
        """
        if account not in chat.first:
            raise Forbidden
        user = self.users[account]
        user.undelivered = [one for one in user.undelivered if one.chat != chat.number or one.index > index]
        user.read[chat.number] = max(index, user.read.get(chat.number, 0))
        return []

    def unread(self, account: int, chat: Chat) -> list[SentMessage]:
        """Returns the messages of others since the account joined.

        Returns none if the account is not a member any more.
        """
        read = self.users[account].read.get(chat.number, 0)
        return [one for one in chat.messages if account in one.audience and one.index > read]

    def readers(self, message: SentMessage) -> set[int]:
        """Returns the accounts that have read the message, among the members at the time of the message."""
        read = {account: self.users[account].read.get(message.chat, 0) for account in message.audience}
        return {account for account, index in read.items() if index >= message.index}

    def rename_group(self, chat: Chat, by: int, name: str) -> Notifications:
        if by not in chat.leaders:
            raise Forbidden
        chat.name = name
        return [(member, GroupRenamed(chat.number, name, by)) for member in chat.first]

    def set_rules(self, chat: Chat, by: int, rules: Rules) -> Notifications:
        """Changes the rules of a group. Only native clients are notified."""
        if by not in chat.leaders:
            raise Forbidden
        chat.rules = rules
        return []

    # Roles

    def set_role(self, chat: Chat, by: int, account: int, role: Role) -> Notifications:
        """Gives a member another role.

        Only the owner may do this. An owner who makes a member the owner is then an admin.
        """
        if chat.owner != by or account == by or account not in chat.first:
            raise Forbidden
        changed: dict[int, Role] = {account: role}
        chat.admins.discard(account)
        if role == "admin":
            chat.admins.add(account)
        elif role == "owner":
            chat.owner = account
            chat.admins.add(by)
            changed[by] = "admin"
        return [
            (member, RoleChanged(chat.number, one, new, by)) for one, new in changed.items() for member in chat.first
        ]

    # Leaving and joining groups

    def end_membership(self, chat: Chat, by: int, account: int) -> Notifications:
        """Ends a membership: the member leaves, or a member with a higher role removes it."""
        if not {by, account} <= chat.first.keys() or (by != account and not chat.outranks(by, account)):
            raise Forbidden
        return self._end_membership(chat, by, account)

    def ban(self, chat: Chat, by: int, account: int, *, on: bool) -> Notifications:
        """Bans an account, which need not be a member. No user is notified of the ban itself."""
        if by not in chat.leaders or (on and account in chat.first and not chat.outranks(by, account)):
            raise Forbidden
        if not on:
            chat.banned.discard(account)
            return []
        chat.banned.add(account)
        chat.applied.pop(account, None)
        return self._end_membership(chat, by, account) if account in chat.first else []

    def silence(self, chat: Chat, by: int, account: int, *, on: bool) -> Notifications:
        """Silences a member, or with `account` 0 all members except the owner and admins. No user is notified."""
        lower = account == 0 or (account in chat.first and chat.outranks(by, account))
        if by not in chat.leaders or not lower:
            raise Forbidden
        chat.muted = chat.muted | {account} if on else chat.muted - {account}
        return []

    def mute(self, chat: Chat, account: int, *, on: bool) -> Notifications:
        """Mutes a chat until the membership ends. Only other clients of the same account get an ephemeral event."""
        if account not in chat.first:
            raise Forbidden
        chat.unalerted = chat.unalerted | {account} if on else chat.unalerted - {account}
        return []

    def _end_membership(self, chat: Chat, by: int, account: int) -> Notifications:
        del chat.first[account]
        chat.unalerted.discard(account)
        chat.admins.discard(account)
        rejected: Notifications = []
        if not chat.first:
            rejected = [(one, JoinRequestAnswered(chat.number, "", one, accepted=False)) for one in chat.applied]
            chat.applied.clear()
        user = self.users[account]
        user.undelivered = [message for message in user.undelivered if message.chat != chat.number]
        if user.undelivered_on_irc is not None:
            on_irc = [message for message in user.undelivered_on_irc if message.chat != chat.number]
            user.undelivered_on_irc = on_irc
        for message in chat.messages:
            message.audience.discard(account)
        changed: dict[int, Role | Literal["left"]] = {account: "left"}
        if account == chat.owner:
            chat.owner = next((one for one in chat.first if one in chat.admins), next(iter(chat.first), 0))
            chat.admins.discard(chat.owner)
            changed |= {chat.owner: "owner"} if chat.owner else {}
        notifications: Notifications = [(account, ChatLeft(chat.number, "left" if by == account else "kicked"))]
        return [*notifications, *rejected] + [
            (member, RoleChanged(chat.number, one, new, by)) for one, new in changed.items() for member in chat.first
        ]

    def apply(self, chat: Chat, account: int, text: str) -> Notifications:
        if account in chat.first or chat.policy == "closed" or account in chat.banned:
            raise Forbidden
        if chat.policy == "open":
            return self._admit(chat, account)
        if not chat.first:
            raise Forbidden
        chat.applied[account] = text
        return [(leader, JoinRequested(chat.number, account, text)) for leader in chat.leaders]

    def answer_applicant(self, chat: Chat, by: int, applicant: int, *, accept: bool, pull: bool) -> Notifications:
        """Accepts or rejects an applicant. With `pull`, a friend may be accepted without an application."""
        if accept and (applicant in chat.banned or (pull and self.is_blocked(by, [applicant]))):
            raise Forbidden
        friend = accept and pull and applicant in self.users[by].friends
        if by not in chat.leaders or applicant in chat.first or not (applicant in chat.applied or friend):
            raise Forbidden
        if accept:
            return self._admit(chat, applicant)
        del chat.applied[applicant]
        return [(applicant, JoinRequestAnswered(chat.number, "", applicant, accepted=False))]

    def invite(self, chat: Chat, by: int, accounts: list[int]) -> Notifications:
        """Adds the accounts that may be added.

        Nothing changes for the other accounts, and for those that are members already.
        """
        if by not in chat.leaders:
            raise Forbidden
        added = [one for one in dict.fromkeys(accounts) if one not in chat.first and self._may_add(chat, by, one)]
        chat.first |= dict.fromkeys(added, 0)
        return [one for account in added for one in self._admit(chat, account)]

    def _may_add(self, chat: Chat, by: int, account: int) -> bool:
        known = account in chat.applied or account in self.users[by].friends
        return known and account not in chat.banned and not self.is_blocked(by, [account])

    def _admit(self, chat: Chat, account: int) -> Notifications:
        chat.applied.pop(account, None)
        sees_all = chat.policy == "open" if chat.rules.history is None else chat.rules.history
        chat.first[account] = 1 if sees_all else chat.head + 1
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
        """Requests a friendship. Two users who request each other become friends."""
        if other.number in user.friends or self.is_blocked(user.number, [other.number]):
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
        """Ends a friendship. No user is notified."""
        if other.number not in user.friends:
            raise Forbidden
        user.friends.remove(other.number)
        other.friends.remove(user.number)
        return []

    # Blocks

    def is_blocked(self, account: int, others: Iterable[int]) -> bool:
        """Returns whether another member of the chat blocks the account."""
        return any(account in self.users[other].blocked for other in others)

    def block(self, user: ModelUser, other: ModelUser, *, on: bool) -> Notifications:
        """Blocks a user, and deletes this user's friend request. No user is notified."""
        chat = self.private(user.number, other.number)
        if on:
            user.blocked.add(other.number)
            user.friend_requests.pop(other.number, None)
        else:
            user.blocked.discard(other.number)
        if chat is not None:
            chat.muted = chat.muted | {other.number} if on else chat.muted - {other.number}
        return []

    # Pending requests

    def requests(self, account: int) -> list[Event]:
        """Returns the requests that the account has not answered."""
        user = self.users[account]
        own = [chat for chat in self.chats.values() if account in chat.leaders]
        pending: list[Event] = [FriendRequested(one, account, text) for one, text in user.friend_requests.items()]
        return pending + [JoinRequested(chat.number, one, text) for chat in own for one, text in chat.applied.items()]

    def chats_of(self, account: int) -> dict[int, Chat]:
        return {number: chat for number, chat in self.chats.items() if account in chat.first}
