"""Records of a drill's clients and its fault injector. Times are seconds of one monotonic clock unless named otherwise.
Connections are numbered; each text is sent once in the whole run."""

import msgspec


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
    """The connection is over; `code` is the WebSocket close code. The last ping was answered at `ponged` (0: none)."""

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
    """The echo of the message arrived: its acknowledgement."""

    at: float
    connection: int
    text: str
    msg_id: int


class MessageRejected(msgspec.Struct, tag="rejected", frozen=True):
    """The message was answered by an error. `unknown`: the error leaves open whether it was committed."""

    at: float
    connection: int
    text: str
    details: str
    unknown: bool


class MessageReceived(msgspec.Struct, tag="received", frozen=True):
    """A message arrived, own echoes included. `time` is the server's, Unix milliseconds."""

    at: float
    connection: int
    chat: int
    sender: int
    msg_id: int
    text: str
    time: int


class ChangeRequested(msgspec.Struct, tag="changing", frozen=True):
    """A change of a message was written to the socket, of the `kind` and `value` of RequestedChange. `name`: unique in
    all records; a repeated change keeps its name."""

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
    """The change was answered by an error after which it is not repeated."""

    at: float
    connection: int
    name: str
    details: str


class ChangeSeen(msgspec.Struct, tag="change", frozen=True):
    """A change arrived. `kind`: edit, recall or reaction. `text`: the text of an edit. `paged`: the change was seen in
    a page of changes, not as an event."""

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
    """A message as a native user has it: `text` is None if it is recalled, `mine` are the own reactions."""

    index: int
    text: str | None
    mine: list[str]


class LastStatesSeen(msgspec.Struct, tag="states", frozen=True):
    """Messages of a chat that a native user has changed, and the chat's last `rev`: as the user has them after its last
    sync, or reads them `again`."""

    at: float
    connection: int
    chat: int
    rev: int
    messages: list[ShownState]
    again: bool


class ChatAnnounced(msgspec.Struct, tag="announced", frozen=True):
    """A chat was announced."""

    at: float
    connection: int
    chat: int


class Fault(msgspec.Struct, tag="fault", frozen=True):
    """A fault of a process (`kind`): The kinds of faults: `kill` and `stop` (for a while) come without warning,
    `restart`, and `end` by SIGTERM. An outage (see Healed) has kinds of its own."""

    at: float
    target: str
    kind: str


class PhaseBegan(msgspec.Struct, tag="phase", frozen=True):
    """A phase of the drill began, which lasts until the next one."""

    at: float
    phase: str


class Joined(msgspec.Struct, tag="joined", frozen=True):
    """A join, requested at `began`, was acknowledged."""

    at: float
    began: float
    account: int
    chat: int


class Departed(msgspec.Struct, tag="departed", frozen=True):
    """The end of a membership, requested at `began` by the member or by the owner, was acknowledged."""

    at: float
    began: float
    account: int
    chat: int


class Deleted(msgspec.Struct, tag="deleted", frozen=True):
    """The deletion of an account, requested at `began`, was acknowledged."""

    at: float
    began: float
    account: int


class Ended(msgspec.Struct, tag="ended", frozen=True):
    """A process is gone after SIGTERM; `status` is its exit status, negative for the signal it died of."""

    at: float
    target: str
    status: int


class Healed(msgspec.Struct, tag="healed", frozen=True):
    """A fault that lasted since `began` is over. `unserved`: meanwhile the clients of these edges had to be without
    service."""

    at: float
    began: float
    target: str
    unserved: frozenset[str]


class ReadinessChanged(msgspec.Struct, tag="readiness", frozen=True):
    """`/readyz` of a process has another answer than before."""

    at: float
    process: str
    ready: bool


class PresenceSeen(msgspec.Struct, tag="presence", frozen=True):
    """Presence names these accounts on this edge, since the record before. Written when that changes."""

    at: float
    edge: str
    accounts: frozenset[int]


class ResourcesSeen(msgspec.Struct, tag="resources", frozen=True):
    """The resources that a process uses: `memory_bytes`, `files`, `threads` and `tasks` of asyncio."""

    at: float
    process: str
    pid: int
    used: dict[str, float]


class UnreadShown(msgspec.Struct, tag="unread", frozen=True):
    """The reply to a login says how many messages are unread. The login was sent at `began`."""

    at: float
    began: float
    account: int
    count: int


class UnreadFetched(msgspec.Struct, tag="fetched", frozen=True):
    """A sleeper (see DrillRecords) got a message, by request or live."""

    at: float
    account: int
    text: str


class SleeperCutOff(msgspec.Struct, tag="sleeper", frozen=True):
    """A connection of a sleeper ended without a close frame, or could not be opened: messages may have been lost."""

    at: float
    account: int


class FuzzEnded(msgspec.Struct, tag="fuzzed", frozen=True):
    """A client has sent this number of mutated frames, and its connection is over. `frames`: the last frames, if the
    server had an internal error; `undecodable`: frames that no server sends."""

    at: float
    client: str
    sent: int
    code: int
    frames: list[str]
    undecodable: list[str]


class TracebackLogged(msgspec.Struct, tag="traceback", frozen=True):
    """A process logged an error that it did not expect."""

    at: float
    line: str


class DrillStalled(msgspec.Struct, tag="stalled", frozen=True):
    """The drill itself stalled for this number of seconds, because the machine was busy."""

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
    """The evidence of one drill: members by chat (even deleted ones), records in order of time, history by chat, and
    the edges of each account in presence at the end (None: not read). `sleepers`: members that are away most of the
    time and need not get everything; `followers`: members with native clients. `proxied`: all clients are behind a
    proxy, where pongs alone confirm messages."""

    members: dict[int, frozenset[int]]
    records: list[Record]
    history: dict[int, list[Entry]]
    presence: dict[int, frozenset[str]] | None = None
    sleepers: frozenset[int] = frozenset()
    followers: frozenset[int] = frozenset()
    proxied: bool = False
