"""The ports of the use cases. Adapters implement the ports. `app` gives the adapters to the use cases."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from services.session.store.subscriptions import PushDevice
from shared.contract.edge import SessionEvent
from shared.contract.events import OutgoingWebhooksDue
from shared.contract.ids import AccountId, ChatId


class Notification(NamedTuple):
    """An event and its recipients. If the recipients are None, each edge notifies the members that it knows of the
    chat."""

    event: SessionEvent
    recipients: Sequence[AccountId] | None


class ChangeNotifier(Protocol):
    """Publishes committed changes: the new versions of chats, and events to the edges."""

    async def publish(self, versions: Mapping[ChatId, int], notifications: Iterable[Notification] = ()) -> bool:
        """Publish the versions, then the notifications. Returns whether the versions are published now. If not, further
        attempts follow in the background."""

    async def publish_or_raise(self, versions: Mapping[ChatId, int]) -> None:
        """Publish the versions. Raises RequestError when they are not published now; the caller must retry."""

    def republish(self, versions: Mapping[ChatId, int]) -> None:
        """Soon publish versions that a reader has found missing. If this fails, there is no further attempt, because
        the next reader reports the versions again."""


class OnlineAccounts(Protocol):
    async def select_online(self, accounts: Sequence[AccountId]) -> Collection[AccountId] | None:
        """The accounts among `accounts` that have a connection; None if presence is unknown."""


class PostFailed(Exception):
    """An outgoing webhook could not post. The text is shown to the admins of the group."""

    def __init__(self, text: str, *, is_gone: bool = False) -> None:
        super().__init__(text)
        self.is_gone = is_gone
        """The receiver wants no further attempts."""


class WebhookPoster(Protocol):
    async def post(self, endpoint: str, headers: dict[str, str], body: bytes) -> None:
        """Post to an address on the Internet. Raises PostFailed, also if the address is not permitted."""


GiveUpWebhook = Callable[[OutgoingWebhooksDue, str, int], Awaitable[None]]
"""Stores the event of a stopped webhook as a dead letter, with the error and the number of attempts. Raises
RequestError if the dead letter is not stored."""


PUSHES_AT_ONCE = 64
"""The most notifications that one process sends at once."""


class PushMessage(NamedTuple):
    """A notification for a device. `text`: the text that the device decrypts. `tag`: the notification replaces an
    earlier one with the same tag. `closed`: the chats whose notifications this one withdraws."""

    text: bytes
    tag: str
    urgent: bool
    closed: Sequence[ChatId] = ()


class PushResult(StrEnum):
    GONE = "gone"
    """The subscription is over."""
    THROTTLED = "throttled"
    REJECTED = "rejected"
    """The service rejects the requests of this installation because its key, clock or contact is wrong."""
    FAILED = "failed"
    """The service cannot be reached, or has a fault."""


class PushFailed(Exception):
    """A notification could not be sent. The text is shown to the user. `retry_seconds`: the pause that the service
    demands, or 0."""

    def __init__(self, result: PushResult, text: str, retry_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.result = result
        self.retry_seconds = retry_seconds


class PushSender(Protocol):
    async def send(self, device: PushDevice, message: PushMessage) -> None:
        """Raises PushFailed."""
