"""The ports of the use cases. Adapters implement the ports, and app.py gives the adapters to the use cases."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import NamedTuple, Protocol

from services.message.domain import CommittedMessage
from services.message.service.member_list import ChatMembers
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.session import ChatList, ListChats

RequestChatList = Callable[[ListChats], Awaitable[ChatList]]
"""Requests one page of an account's chats from the session service. Raises RequestError."""

LookUpVersions = Callable[[Iterable[ChatId]], Awaitable[Mapping[ChatId, int]]]
"""Looks up the membership versions of chats in Redis. Chats with an unknown version are left out."""


class PostResponder(Protocol):
    """Replies to one request. `cause`: the traceparent of the request; empty if it is not traced."""

    @property
    def cause(self) -> str: ...

    def to_wall_clock(self, requester_ms: int) -> int:
        """Convert a time of the requester's steady clock (milliseconds) into the same moment on this process's wall
        clock."""

    async def reply(self, reply: object) -> None: ...

    async def reply_error(self, failure: Failure) -> None: ...


class MemberListPort(Protocol):
    """Provides the member lists of chats. `versions`: the versions that Redis names now."""

    def fresh(self, chat: ChatId, versions: Mapping[ChatId, int]) -> ChatMembers | None:
        """The cached member list; None if the session service must be queried first."""

    async def load(
        self, chats: Collection[ChatId], versions: Mapping[ChatId, int], seconds: float | None = None
    ) -> dict[ChatId, ChatMembers | Failure]:
        """The fresh member list of each chat, or the reason why there is none after `seconds`."""


class DeliveryPlan(NamedTuple):
    """What is known about committed messages before presence is looked up for their delivery."""

    messages: Collection[CommittedMessage]
    oldest: dict[ChatId, int]
    """The lowest index of each chat in the plan."""
    member_lists: dict[ChatId, ChatMembers]
    """The member lists of the chats that have one in the cache."""
    member_list_versions: dict[ChatId, int]
    """The present versions of those member lists."""
    broadcast: set[ChatId]
    """The chats that are broadcast. A chat whose member list is loaded only after the lookup may be added then."""


class PresenceLookup(Protocol):
    """The result of a lookup of presence (see shared.presence.PresenceSnapshot)."""

    @property
    def nodes(self) -> Mapping[AccountId, tuple[NodeId, ...]] | None:
        """The nodes of the members that were looked up; None if presence is unknown."""

    @property
    def versions(self) -> Mapping[ChatId, int]:
        """The membership versions of the plan's chats, and of the chats requested with it."""


class FanoutPort(Protocol):
    """Delivers committed messages to edges in three steps: `plan`, `look_up`, `deliver`."""

    @property
    def edge_seen(self) -> Callable[[NodeId, float], None]:
        """Called with the node of an edge that has sent a request, and the time in monotonic seconds."""

    def plan(self, messages: Collection[CommittedMessage]) -> DeliveryPlan: ...

    def needs_lookup(self, plan: DeliveryPlan) -> bool:
        """False if all messages of the plan are broadcast."""

    async def look_up(self, plan: DeliveryPlan | None, chats: Iterable[ChatId]) -> PresenceLookup:
        """Look up presence for the delivery of the plan, if the plan has one, and the membership versions of `chats`,
        in one call. Does not raise."""

    async def deliver(self, plan: DeliveryPlan, found: PresenceLookup) -> None:
        """Publish the messages to the edges of their recipients, in order. If this fails, announce a loss."""

    def announce_loss(self) -> None:
        """Make every edge sync, because messages may be lost."""
