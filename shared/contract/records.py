"""Records of frames: an operator's requests to edges, and the events of a record. Times are Unix milliseconds."""

from typing import Literal

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, NodeId
from shared.contract.routes import Routed


class RecordingState(msgspec.Struct, frozen=True, kw_only=True):
    """`ended`: the reason (`stopped`, `time`, `size`), empty while it runs."""

    id: str
    account: AccountId
    dialect: str
    started: int
    until: int
    events: int
    bytes: int
    ended: str


class EdgeRecording(msgspec.Struct, frozen=True):
    """The recording of an edge: the one that runs, or the last one; None if there is none."""

    node: NodeId
    recording: RecordingState | None = None


class ListRecordings(msgspec.Struct):
    """To every edge."""

    route = Routed("edge.all.recordings", EdgeRecording)


class StopRecording(msgspec.Struct):
    """To every edge: ends the recording, and with `drop` forgets it."""

    route = Routed("edge.all.stop_recording", EdgeRecording)

    id: str
    drop: bool = False


class StartRecording(msgspec.Struct, kw_only=True):
    """To every edge: records the frames of one account, or (account 0) of one dialect, until so many seconds or bytes
    are recorded. `conflict` while another recording runs; an ended one is dropped. Idempotent by `id`."""

    route = Routed("edge.all.record", EdgeRecording)

    id: str
    account: AccountId = NO_ACCOUNT
    dialect: str = ""
    seconds: int
    bytes: int


class ReadRecording(msgspec.Struct):
    """To one edge: the events after the first `after` ones."""

    id: str
    after: int = 0


class RecordingPage(msgspec.Struct, frozen=True):
    """`lines`: events as JSON."""

    lines: list[str]
    more: bool


# Events of a record, of the connections with these numbers


class RecordedOpening(msgspec.Struct, frozen=True, tag="open", tag_field="event", kw_only=True):
    """The first event of a connection: at its first frame, or when the recording began."""

    at: int
    connection: int
    dialect: str
    base_url: str
    query: str
    binary: bool
    language: Literal["zh", "en"]


class RecordedFrame(msgspec.Struct, frozen=True, tag="frame", tag_field="event", kw_only=True):
    """`text`: of a text frame, None if it is masked as a whole, or too large. `size`: bytes of the frame."""

    at: int
    connection: int
    by: Literal["client", "server"]
    size: int
    text: str | None = None
    binary: bool = False


class RecordedLogin(msgspec.Struct, frozen=True, tag="login", tag_field="event"):
    """The connection has this account from here on; 0: none."""

    at: int
    connection: int
    account: AccountId


class RecordedClose(msgspec.Struct, frozen=True, tag="close", tag_field="event"):
    """The server closes the connection, or (code 0) the client does, or the network."""

    at: int
    connection: int
    code: int = 0
    reason: str = ""


RecordedEvent = RecordedOpening | RecordedFrame | RecordedLogin | RecordedClose
