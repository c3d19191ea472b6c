"""The ports of the use cases. Adapters implement them; `app` connects both."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from shared.contract.edge import (
    ChatCreated,
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    MembershipAnswered,
    MembershipApplied,
    MembershipChanged,
    ProfileChanged,
)
from shared.contract.ids import AccountId, ChatId

SessionNotice = (
    ChatCreated
    | MembershipChanged
    | MembershipApplied
    | MembershipAnswered
    | ChatRenamed
    | ProfileChanged
    | FriendshipRequested
    | FriendshipAnswered
)


class Notification(NamedTuple):
    """A notice and its recipients; None: the chat's members, as each edge knows them."""

    notice: SessionNotice
    recipients: Sequence[AccountId] | None


class ChangeNotifier(Protocol):
    """Publishes committed changes: the new versions of chats, and notices to the edges."""

    async def publish(self, versions: Mapping[ChatId, int], notifications: Iterable[Notification] = ()) -> bool:
        """Publish the versions, then the notifications. Returns whether the versions are published now; otherwise
        they are retried in the background."""
        ...

    async def publish_or_raise(self, versions: Mapping[ChatId, int]) -> None:
        """Publish the versions. Raises RequestError when they are not published now; the caller must retry."""
        ...

    def republish(self, versions: Mapping[ChatId, int]) -> None:
        """Publish versions that a reader found missing, soon and without retries: the next reader reports them
        again."""
        ...


class ChatHeads(Protocol):
    async def last_index(self, chat: ChatId) -> int:
        """The last index of a chat, from the message service; 0 for an empty chat. Raises RequestError."""
        ...


class OnlineAccounts(Protocol):
    async def select_online(self, accounts: Sequence[AccountId]) -> Collection[AccountId] | None:
        """Those of the accounts that have a connection; None when presence is unknown."""
        ...
