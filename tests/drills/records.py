"""The records that a drill's clients and its fault injector write.

Times are seconds of one monotonic clock, unless a field says otherwise. Connections have numbers. Each text is sent
only once in the whole run.
"""

import msgspec

_MOST_MESSAGES = 10**9


def place_id(chat: int, index: int) -> int:
    """Returns the id, in these records, of a message whose frame contains only its place. RecordIndex replaces it."""
    return -(chat * _MOST_MESSAGES + index)


class ConnectAttempted(msgspec.Struct, tag="attempted", frozen=True):
    """A device opens a connection."""

    at: float
    device: str


class Opened(msgspec.Struct, tag="opened", frozen=True):
    """A device is logged in on an edge."""

    at: float
    connection: int
    device: str
    account: int
    edge: str


class Closed(msgspec.Struct, tag="closed", frozen=True):
    """The connection is over.

    `code` is the WebSocket close code. `ponged` is the time when the last ping was answered, or 0.
    """

    at: float
    connection: int
    code: int
    ponged: float = 0.0


class MessageSent(msgspec.Struct, tag="sent", frozen=True):
    """A message was written to the socket."""

    at: float
    connection: int
    chat: int
    text: str


class MessageAcknowledged(msgspec.Struct, tag="acked", frozen=True):
    """The echo of the message arrived, which acknowledges the message."""

    at: float
    connection: int
    text: str
    msg_id: int


class MessageRejected(msgspec.Struct, tag="rejected", frozen=True):
    """The reply to the message is an error.

    `unknown` says that the error does not tell whether the message was committed.
    """

    at: float
    connection: int
    text: str
    details: str
    unknown: bool


class MessageReceived(msgspec.Struct, tag="received", frozen=True):
    """A message arrived; it may be the echo of an own message.

    `time` is the time of the server in Unix milliseconds.
    """

    at: float
    connection: int
    chat: int
    sender: int
    msg_id: int
    text: str
    time: int


class ChangeRequested(msgspec.Struct, tag="changing", frozen=True):
    """A change of a message was written to the socket. `kind` and `value` are those of RequestedChange.

    `name` is unique in all records, but a repeated change keeps its name.
    """

    at: float
    connection: int
    name: str
    chat: int
    index: int
    msg_id: int
    kind: str
    value: str


class ChangeAcknowledged(msgspec.Struct, tag="changed", frozen=True):
    """The reply to the change arrived."""

    at: float
    connection: int
    name: str
    rev: int


class ChangeRejected(msgspec.Struct, tag="unchanged", frozen=True):
    """The reply to the change is an error after which the client does not repeat the change."""

    at: float
    connection: int
    name: str
    details: str


class ChangeSeen(msgspec.Struct, tag="change", frozen=True):
    """A change arrived.

    `kind` is edit, recall or reaction. `text` is the text of an edit. `paged` says that the change was in a page of
    changes and not in an event.
    """

    at: float
    connection: int
    chat: int
    rev: int
    index: int
    kind: str
    by: int
    text: str
    paged: bool


class ShownState(msgspec.Struct, array_like=True, frozen=True):
    """A message as a native user has it.

    `text` is None if the message is recalled. `mine` are the user's own reactions.
    """

    index: int
    text: str | None
    mine: list[str]


class LastStatesSeen(msgspec.Struct, tag="states", frozen=True):
    """The messages of a chat that a native user has changed, and the last `rev` of the chat.

    They are recorded as the user has them after its last sync, or as the user reads them `again`.
    """

    at: float
    connection: int
    chat: int
    rev: int
    messages: list[ShownState]
    again: bool


class ChatAnnounced(msgspec.Struct, tag="announced", frozen=True):
    """A push announced a chat."""

    at: float
    connection: int
    chat: int


class Fault(msgspec.Struct, tag="fault", frozen=True):
    """A fault of a process. Its `kind` is one of these: `kill` and `stop` (for a while) come without warning;
    `restart`; and `end` by SIGTERM.

    Outages (see Healed) have other kinds.
    """

    at: float
    target: str
    kind: str


class PhaseBegan(msgspec.Struct, tag="phase", frozen=True):
    """A phase of the drill began. It lasts until the next one begins."""

    at: float
    phase: str


class Joined(msgspec.Struct, tag="joined", frozen=True):
    """A join was acknowledged. It was requested at `began`."""

    at: float
    began: float
    account: int
    chat: int


class Departed(msgspec.Struct, tag="departed", frozen=True):
    """The end of a membership was acknowledged. The member or the owner requested it at `began`."""

    at: float
    began: float
    account: int
    chat: int


class Deleted(msgspec.Struct, tag="deleted", frozen=True):
    """The deletion of an account was acknowledged. It was requested at `began`."""

    at: float
    began: float
    account: int


class Ended(msgspec.Struct, tag="ended", frozen=True):
    """A process has ended after SIGTERM.

    `status` is its exit status; the number of a signal that killed it is negative.
    """

    at: float
    target: str
    status: int


class Healed(msgspec.Struct, tag="healed", frozen=True):
    """A fault that lasted since `began` is over.

    In this time, the clients of the edges `unserved` had to be without service.
    """

    at: float
    began: float
    target: str
    unserved: frozenset[str]


class ReadinessChanged(msgspec.Struct, tag="readiness", frozen=True):
    """`/readyz` of a process has changed its answer."""

    at: float
    process: str
    ready: bool


class PresenceSeen(msgspec.Struct, tag="presence", frozen=True):
    """The accounts that presence names on this edge. The record is written whenever they change."""

    at: float
    edge: str
    accounts: frozenset[int]


class ResourcesSeen(msgspec.Struct, tag="resources", frozen=True):
    """The resources that a process uses: `memory_bytes`, `files`, `threads`, and `tasks` of asyncio."""

    at: float
    process: str
    pid: int
    used: dict[str, float]


class UnreadShown(msgspec.Struct, tag="unread", frozen=True):
    """The reply to a login contains the number of unread messages. The login was sent at `began`."""

    at: float
    began: float
    account: int
    count: int


class UnreadFetched(msgspec.Struct, tag="fetched", frozen=True):
    """A sleeper (see DrillRecords) got a message, either after a request for unread messages or as a live push."""

    at: float
    account: int
    text: str


class SleeperCutOff(msgspec.Struct, tag="sleeper", frozen=True):
    """A connection of a sleeper ended without a close frame, or could not be opened. So messages may have been lost."""

    at: float
    account: int


class FuzzEnded(msgspec.Struct, tag="fuzzed", frozen=True):
    """A client has sent this number of mutated frames, and its connection is over.

    `frames` are the last frames that it sent, if the server had an internal error. `undecodable` are frames from the
    server that break the dialect.
    """

    at: float
    client: str
    sent: int
    code: int
    frames: list[str]
    undecodable: list[str]


class TracebackLogged(msgspec.Struct, tag="traceback", frozen=True):
    """A process logged an unexpected exception."""

    at: float
    line: str


class DrillStalled(msgspec.Struct, tag="stalled", frozen=True):
    """The drill itself was delayed by this number of seconds, because the machine was busy."""

    at: float
    seconds: float


Record = (
    ConnectAttempted
    | Opened
    | Closed
    | MessageSent
    | MessageAcknowledged
    | MessageRejected
    | MessageReceived
    | ChangeRequested
    | ChangeAcknowledged
    | ChangeRejected
    | ChangeSeen
    | LastStatesSeen
    | ChatAnnounced
    | Fault
    | PhaseBegan
    | Joined
    | Departed
    | Deleted
    | Ended
    | Healed
    | ReadinessChanged
    | PresenceSeen
    | ResourcesSeen
    | UnreadShown
    | UnreadFetched
    | SleeperCutOff
    | FuzzEnded
    | TracebackLogged
    | DrillStalled
)


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """One message of the final history."""

    index: int
    msg_id: int
    sender: int
    text: str
    time: int


class DrillRecords(msgspec.Struct, frozen=True):
    """The evidence of one drill.

    It contains the members of each chat (even deleted ones), the records in order of time, the history of each chat,
    and the edges of each account in presence at the end. The edges are None if they were not read.

    `sleepers` are members that are offline most of the time and need not get everything. `followers` are members with
    native clients. If `proxied`, all clients connect through a proxy, so the edge can confirm messages only by pongs.
    """

    members: dict[int, frozenset[int]]
    records: list[Record]
    history: dict[int, list[Entry]]
    presence: dict[int, frozenset[str]] | None = None
    sleepers: frozenset[int] = frozenset()
    followers: frozenset[int] = frozenset()
    proxied: bool = False
