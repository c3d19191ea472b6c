"""The ports of the use cases. Adapters implement them; `app` connects both."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from services.session.store.subscriptions import PushDevice
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
from shared.contract.events import OutgoingWebhooksDue
from shared.contract.ids import AccountId, ChatId

SessionEvent = (
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
    """An event and its recipients. None: the members of the chat, as each edge knows them."""

    event: SessionEvent
    recipients: Sequence[AccountId] | None


class ChangeNotifier(Protocol):
    """Publishes committed changes: the new versions of chats, and events to the edges."""

    async def publish(self, versions: Mapping[ChatId, int], notifications: Iterable[Notification] = ()) -> bool:
        """Publish the versions, then the notifications. Returns whether the versions are published now; otherwise
        they are retried in the background."""

    async def publish_or_raise(self, versions: Mapping[ChatId, int]) -> None:
        """Publish the versions. Raises RequestError when they are not published now; the caller must retry."""

    def republish(self, versions: Mapping[ChatId, int]) -> None:
        """Publish versions that a reader found missing, soon and without further attempts. The next reader reports them
        again."""


class OnlineAccounts(Protocol):
    async def select_online(self, accounts: Sequence[AccountId]) -> Collection[AccountId] | None:
        """The accounts among these that have a connection; None when presence is unknown."""


class PostFailed(Exception):
    """An outgoing webhook could not post. The text is shown to the admins of the group."""

    def __init__(self, text: str, *, is_gone: bool = False) -> None:
        super().__init__(text)
        self.is_gone = is_gone
        """The receiver wants no further attempts."""


class WebhookPoster(Protocol):
    async def post(self, endpoint: str, headers: dict[str, str], body: bytes) -> None:
        """Post to an address outside. Raises PostFailed, also for an address that is not permitted."""


GiveUpWebhook = Callable[[OutgoingWebhooksDue, str, int], Awaitable[None]]
"""Stores the event of a webhook that stops as a dead letter, with the error and the number of attempts. Raises
RequestError when it is not stored."""


PUSHES_AT_ONCE = 64
"""Of one process."""


class PushMessage(NamedTuple):
    """`text`: the text that the device decrypts. `tag`: the notification replaces an earlier one with the same tag, and
    withdraws the notifications of the chats `closed`."""

    text: bytes
    tag: str
    urgent: bool
    closed: Sequence[ChatId] = ()


class PushResult(StrEnum):
    GONE = "gone"
    """The subscription is over."""
    THROTTLED = "throttled"
    REJECTED = "rejected"
    """The service does not take our requests: for a wrong key, clock or contact."""
    FAILED = "failed"
    """The service is not reached, or has a fault."""


class PushFailed(Exception):
    """The text is shown to the user. `retry_seconds`: the pause that the service demands; 0: none."""

    def __init__(self, result: PushResult, text: str, retry_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.result = result
        self.retry_seconds = retry_seconds


class PushSender(Protocol):
    async def send(self, device: PushDevice, message: PushMessage) -> None:
        """Raises PushFailed."""
