"""The ports of the use cases. Adapters implement them; `app` connects both."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
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
from shared.contract.events import OutgoingHooksDue
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

    async def publish_or_raise(self, versions: Mapping[ChatId, int]) -> None:
        """Publish the versions. Raises RequestError when they are not published now; the caller must retry."""

    def republish(self, versions: Mapping[ChatId, int]) -> None:
        """Publish versions that a reader found missing, soon and without retries: the next reader reports them
        again."""


class OnlineAccounts(Protocol):
    async def select_online(self, accounts: Sequence[AccountId]) -> Collection[AccountId] | None:
        """Those of the accounts that have a connection; None when presence is unknown."""


class PostFailed(Exception):
    """An outgoing hook could not post. The text is shown to the admins of the group."""

    def __init__(self, text: str, *, is_gone: bool = False) -> None:
        super().__init__(text)
        self.is_gone = is_gone
        """The receiver wants no further attempts."""


class HookPoster(Protocol):
    async def post(self, endpoint: str, headers: dict[str, str], body: bytes) -> None:
        """Post to an address outside. Raises PostFailed, also for an address that is not permitted."""


GiveUpHook = Callable[[OutgoingHooksDue, str, int], Awaitable[None]]
"""Stores the event of a hook that stops as a dead letter, with the error and the number of attempts. Raises
RequestError when it is not stored."""
