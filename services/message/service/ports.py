"""The ports of the use cases: adapters implement them, app.py connects them."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import NamedTuple, Protocol

from services.message.domain import CommittedMessage
from services.message.service.roster import Roster
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.session import ChatList, ListChats

RequestChatList = Callable[[ListChats], Awaitable[ChatList]]
"""Requests a page of an account's chats from session. Raises RequestError."""

LookUpVersions = Callable[[Iterable[ChatId]], Awaitable[Mapping[ChatId, int]]]
"""Looks up the membership versions of chats in presence; unknown ones are left out."""


class PostResponder(Protocol):
    """Replies to one request. `cause`: its traceparent, empty if it is not traced."""

    @property
    def cause(self) -> str: ...

    def to_wall_clock(self, requester_ms: int) -> int:
        """The same moment, given in steady milliseconds of the requester, on our wall clock."""

    async def reply(self, reply: object) -> None: ...

    async def reply_error(self, failure: Failure) -> None: ...


class RosterPort(Protocol):
    """Rosters of chats. `versions`: those that presence names now."""

    def fresh(self, chat: ChatId, versions: Mapping[ChatId, int]) -> Roster | None:
        """The cached roster, unless session must be queried first."""

    async def load(
        self, chats: Collection[ChatId], versions: Mapping[ChatId, int], seconds: float | None = None
    ) -> dict[ChatId, Roster | Failure]:
        """The fresh roster of each chat, or the reason why there is none after `seconds`."""


class DeliveryPlan(NamedTuple):
    """What is known of committed messages before presence is looked up for their delivery."""

    messages: Collection[CommittedMessage]
    oldest: dict[ChatId, int]
    """The lowest index of each chat."""
    rosters: dict[ChatId, Roster]
    """Of the chats whose roster is cached."""
    roster_versions: dict[ChatId, int]
    """The versions of those rosters now."""
    broadcast: set[ChatId]
    """The chats that are broadcast. Of the others, a roster that is loaded after the lookup may be one."""


class PresenceLookup(Protocol):
    """What presence names at one time. (shared.presence.PresenceSnapshot)"""

    @property
    def nodes(self) -> Mapping[AccountId, tuple[NodeId, ...]] | None:
        """The nodes of the members that were looked up; None if presence is unknown."""

    @property
    def versions(self) -> Mapping[ChatId, int]:
        """The membership versions of the plan's chats, and of those that were requested with it."""


class FanoutPort(Protocol):
    """Delivers committed messages to edges: `plan`, `look_up`, `deliver`."""

    @property
    def edge_seen(self) -> Callable[[NodeId, float], None]:
        """Called when this edge has sent a request, with monotonic seconds."""

    def plan(self, messages: Collection[CommittedMessage]) -> DeliveryPlan: ...

    def needs_lookup(self, plan: DeliveryPlan) -> bool:
        """Unless all of its messages are broadcast."""

    async def look_up(self, plan: DeliveryPlan | None, chats: Iterable[ChatId]) -> PresenceLookup:
        """Look up presence for the delivery of the plan, if any, and the membership versions of `chats`, at once. Does
        not raise."""

    async def deliver(self, plan: DeliveryPlan, found: PresenceLookup) -> None:
        """Publish the messages to the edges of their recipients, in order; a loss is announced."""

    def announce_loss(self) -> None:
        """Make every edge sync."""
