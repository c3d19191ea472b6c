"""What a drill's clients and its fault injector write down. Times are seconds of one monotonic clock unless named
otherwise; a connection is a number of its own, and every text is said once in the whole trial."""

import msgspec


class Tried(msgspec.Struct, tag="tried", frozen=True):
    """A device dials."""

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
    """The connection is over; `code` is the WebSocket close code."""

    at: float
    connection: int
    code: int


class Said(msgspec.Struct, tag="said", frozen=True):
    """A message was handed to the socket."""

    at: float
    connection: int
    chat: int
    text: str


class Acked(msgspec.Struct, tag="acked", frozen=True):
    """Its echo came: the acknowledgement."""

    at: float
    connection: int
    text: str
    msg_id: int


class Denied(msgspec.Struct, tag="denied", frozen=True):
    """It was answered by an error. `unknown`: by one that leaves open whether it was committed."""

    at: float
    connection: int
    text: str
    details: str
    unknown: bool


class Heard(msgspec.Struct, tag="heard", frozen=True):
    """A message arrived, one's own echo too. `time` is the server's, Unix milliseconds."""

    at: float
    connection: int
    chat: int
    sender: int
    msg_id: int
    text: str
    time: int


class Told(msgspec.Struct, tag="told", frozen=True):
    """A chat was announced."""

    at: float
    connection: int
    chat: int


class Fault(msgspec.Struct, tag="fault", frozen=True):
    """What was done to a process (`kind`): `kill` and `stop` (for a while) without warning; `restart`; `end` by
    SIGTERM."""

    at: float
    target: str
    kind: str


class Ended(msgspec.Struct, tag="ended", frozen=True):
    """A process is gone after SIGTERM; `status` is its exit status, negative for the signal it died of."""

    at: float
    target: str
    status: int


class Held(msgspec.Struct, tag="held", frozen=True):
    """The drill itself was held up for so many seconds: the machine had no time for it, and maybe for nobody."""

    at: float
    seconds: float


Record = Tried | Opened | Closed | Said | Acked | Denied | Heard | Told | Fault | Ended | Held


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """One message of the final history."""

    index: int
    msg_id: int
    sender: int
    text: str
    time: int


class Trial(msgspec.Struct, frozen=True):
    """All that is known of one drill: members by chat (constant), records in order of time, history by chat."""

    members: dict[int, frozenset[int]]
    records: list[Record]
    history: dict[int, list[Entry]]
