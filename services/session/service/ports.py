"""The ports of the use cases. Adapters implement them; `app` connects both."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from services.session.store import Connection
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

T = TypeVar("T")

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


class SessionDatabase(Protocol):
    """Runs functions of the store, each as one transaction. Raises RequestError when the database does not answer;
    rolls back and raises what the function raises."""

    async def read(self, work: Callable[[Connection], T], *, brief: bool = False) -> T:
        """All that `work` reads is one snapshot. A `brief` transaction may run on the event loop."""

    async def write(self, work: Callable[[Connection], T], *, brief: bool = False) -> T:
        """The transaction is durably committed on return."""


class ChangeNotifier(Protocol):
    """Publishes committed changes: the new versions of chats, and notices to the edges."""

    async def publish(self, versions: Mapping[ChatId, int], notifications: Iterable[Notification] = ()) -> bool:
        """Publish the versions, then the notifications. Returns whether the versions are published now; otherwise
        they are retried in the background."""

    async def publish_or_raise(self, versions: Mapping[ChatId, int]) -> None:
        """Publish the versions. Raises RequestError when they are not published now; the caller must retry."""

    def republish(self, versions: Mapping[ChatId, int]) -> None:
        """Publish versions that a reader found missing, soon and without retries: the next reader reports them
        again."""


class ChatHeads(Protocol):
    async def last_index(self, chat: ChatId) -> int:
        """The last index of a chat, from the message service; 0 for an empty chat. Raises RequestError."""


class OnlineAccounts(Protocol):
    async def select_online(self, accounts: Sequence[AccountId]) -> Collection[AccountId] | None:
        """Those of the accounts that have a connection; None when presence is unknown."""
