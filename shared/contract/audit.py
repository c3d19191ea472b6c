"""An operator's requests about one message. The message service returns the stored data, and all edges return what they
remember.

Times are Unix milliseconds."""

from enum import StrEnum

import msgspec

from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.model import MemberPair
from shared.contract.routes import Routed


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """`read`: for each member that may see the message, except its sender, whether the message is stored as delivered;
    `more`: there are further members, for which the reply has no room. `expired`: the members for whom the message is
    too old to be pushed again. `nodes`: the nodes of these members; None if presence is unknown."""

    chat: ChatId
    index: int
    id: MessageId
    sender: AccountId
    time: int
    nonce: Nonce
    bytes: int
    pair: MemberPair | None = None
    read: dict[AccountId, bool] = {}
    expired: list[AccountId] = []
    more: int = 0
    nodes: dict[AccountId, list[NodeId]] | None = None


class FindMessage(msgspec.Struct):
    """A request for one stored message. It is named by chat and index (0 for the last message), by id (chat is 0), or
    by nonce (chat and id are 0). Error: `not_found`."""

    route = Routed("message.find", StoredMessage)
    chat: ChatId = ChatId(0)
    index: int = 0
    id: MessageId = MessageId(0)
    nonce: Nonce = Nonce(0)


class DeliveryStage(StrEnum):
    """The stage of a message on the path to one account, at one edge. The last three stages mean that the message is
    lost, unless they end soon."""

    CONFIRMED = "confirmed"
    """The message has arrived, but the message service has not been told yet."""
    PUSHED = "pushed"
    """The message is written to a connection and not confirmed yet."""
    HELD = "held"
    """The dialect holds the message until the client can handle it."""
    QUEUED = "queued"
    """The message waits behind an image or file."""
    BACKLOG = "backlog"
    """A connection is reading the account's missed messages."""
    PULLED = "pulled"
    """The client fetches messages by its own requests."""
    UNMARKED = "unmarked"
    """The client itself marks what is read, and has not marked this message. It is unknown whether the message has
    arrived."""
    CLOSING = "closing"
    """The connections are closing, so the next login gets the message."""
    FETCHING = "fetching"
    """The edge knows that the message exists, and is fetching it."""
    NO_BATCH = "no-envelope"
    """The edge does not have the message, and does not know that it exists."""
    NO_DELIVERY = "no-delivery"
    """The edge has the message, but no connection of the account has it."""
    NO_CONFIRMATION = "no-receipt"
    """The delivery of the message was confirmed, but the message service has not been told."""


LOST = (DeliveryStage.NO_BATCH, DeliveryStage.NO_DELIVERY, DeliveryStage.NO_CONFIRMATION)


class Acceptance(msgspec.Struct, frozen=True):
    """The arrival of the message from its sender. `at`: when the frame arrived. `acknowledged`: when the sender got the
    reply."""

    at: int
    acknowledged: int
    account: AccountId
    dialect: str


class Arrival(msgspec.Struct, frozen=True):
    """The message arrived in a delivery batch of this replica with this counter. If `replica` is empty, the edge has
    fetched the message itself."""

    at: int
    replica: str
    counter: int


class Confirmation(msgspec.Struct, frozen=True):
    at: int
    account: AccountId
    dialect: str


class LocalState(msgspec.Struct, frozen=True):
    """`dialects`: the dialects of the account's connections at this edge."""

    account: AccountId
    stage: DeliveryStage
    dialects: list[str]


class MessageAtEdge(msgspec.Struct, frozen=True, kw_only=True):
    """What an edge remembers of a message. `remembers_from`: the edge remembers nothing from before this time.
    `accounts`: the requested accounts with connections at this edge, with their present state."""

    node: NodeId
    remembers_from: int
    traces: list[str] = []
    acceptance: Acceptance | None = None
    arrivals: list[Arrival] = []
    confirmations: list[Confirmation] = []
    accounts: list[LocalState] = []


class LocateMessage(msgspec.Struct):
    """A request to every edge for what it knows about the delivery of this message to these accounts. `time`: when the
    message was committed."""

    route = Routed("edge.all.locate", MessageAtEdge)
    chat: ChatId
    index: int
    time: int
    nonce: Nonce
    accounts: list[AccountId]


class TracedMessages(msgspec.Struct, frozen=True):
    node: NodeId
    nonces: list[Nonce]


class TraceMessages(msgspec.Struct):
    """A request to every edge for the messages of the request with this trace id."""

    route = Routed("edge.all.trace", TracedMessages)
    trace: str
