"""Requests of an operator about one message: to message for the stored facts, to all edges for what they remember.

Times are Unix milliseconds."""

from enum import StrEnum

import msgspec

from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.model import MemberPair
from shared.contract.routes import Routed


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """`read`: for each member that may see the message, besides its sender, whether it is stored as delivered; at most
    as many as fit into a reply, and `more` beyond. `expired`: those for whom it is too old to be pushed again. `nodes`:
    of these members; None when presence is unknown."""

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
    """One stored message: by chat and index (0: the chat's last), or (chat 0) by id, or (id 0) by its nonce.
    `not_found` for none."""

    route = Routed("message.find", StoredMessage)

    chat: ChatId = ChatId(0)
    index: int = 0
    id: MessageId = MessageId(0)
    nonce: Nonce = Nonce(0)


class DeliveryStage(StrEnum):
    """Where a message is for one account, at one edge. The last three are losses, unless they pass in a moment."""

    CONFIRMED = "confirmed"
    """It has arrived; the read state is on its way to message."""
    PUSHED = "pushed"
    """Written to a connection, not confirmed yet."""
    HELD = "held"
    """The dialect holds it until its client can handle it."""
    QUEUED = "queued"
    """It waits behind an image or file."""
    BACKLOG = "backlog"
    """A connection is reading what it has missed."""
    PULLED = "pulled"
    """The client requests messages itself."""
    UNMARKED = "unmarked"
    """The client itself marks what is read, and has not marked it: whether it has arrived is not known."""
    CLOSING = "closing"
    """The connections are closing; the next login gets it."""
    FETCHING = "fetching"
    """The edge lacks it, knows so, and fetches it."""
    NO_ENVELOPE = "no-envelope"
    """The edge does not have it, and does not know so."""
    NO_DELIVERY = "no-delivery"
    """The edge has it, and no connection of the account does."""
    NO_RECEIPT = "no-receipt"
    """It was confirmed, and message does not know so."""


LOST = (DeliveryStage.NO_ENVELOPE, DeliveryStage.NO_DELIVERY, DeliveryStage.NO_RECEIPT)


class Acceptance(msgspec.Struct, frozen=True):
    """The frame arrived at `at`, and was acknowledged to its sender at `acknowledged`."""

    at: int
    acknowledged: int
    account: AccountId
    dialect: str


class Arrival(msgspec.Struct, frozen=True):
    """The message arrived in an envelope of this replica with this counter; an empty replica: the edge fetched it."""

    at: int
    replica: str
    counter: int


class Confirmation(msgspec.Struct, frozen=True):
    at: int
    account: AccountId
    dialect: str


class LocalState(msgspec.Struct, frozen=True):
    """`dialects`: of the account's connections at this edge."""

    account: AccountId
    stage: DeliveryStage
    dialects: list[str]


class MessageAtEdge(msgspec.Struct, frozen=True, kw_only=True):
    """`remembers_from`: the edge remembers nothing from before. `accounts`: those of the requested ones that are here,
    by their present state; the rest is remembered."""

    node: NodeId
    remembers_from: int
    traces: list[str] = []
    acceptance: Acceptance | None = None
    arrivals: list[Arrival] = []
    confirmations: list[Confirmation] = []
    accounts: list[LocalState] = []


class LocateMessage(msgspec.Struct):
    """To every edge: what it knows of this message for these accounts. `time`: of the commit."""

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
    """To every edge: the messages of the request with this trace id."""

    route = Routed("edge.all.trace", TracedMessages)

    trace: str
