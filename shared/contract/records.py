"""Recordings of frames: an operator's requests to edges, and the events of a recording. Times are Unix milliseconds."""

from typing import Literal

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, NodeId
from shared.contract.routes import Routed


class RecordingState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a recording. `ended`: the reason of its end (`stopped`, `time`, `size`); empty while it runs."""

    id: str
    account: AccountId
    dialect: str
    started: int
    until: int
    events: int
    bytes: int
    ended: str


class EdgeRecording(msgspec.Struct, frozen=True):
    """The running or the last recording of an edge; None if there is none."""

    node: NodeId
    recording: RecordingState | None = None


class ListRecordings(msgspec.Struct):
    """A request to every edge for its recording."""

    route = Routed("edge.all.recordings", EdgeRecording)


class StopRecording(msgspec.Struct):
    """A request to every edge to end the recording. With `drop`, the edge also deletes it."""

    route = Routed("edge.all.stop_recording", EdgeRecording)
    id: str
    drop: bool = False


class StartRecording(msgspec.Struct, kw_only=True):
    """A request to every edge to record the frames of one account, or (account 0) of one dialect, up to this number of
    seconds or bytes. Error: `conflict` while another recording runs. An earlier recording that has ended is deleted. A
    repetition with the same `id` changes nothing."""

    route = Routed("edge.all.record", EdgeRecording)
    id: str
    account: AccountId = NO_ACCOUNT
    dialect: str = ""
    seconds: int
    bytes: int


class ReadRecording(msgspec.Struct):
    """A request to one edge for the events of its recording, without the first `after` events."""

    id: str
    after: int = 0


class RecordingPage(msgspec.Struct, frozen=True):
    """`lines`: events as JSON."""

    lines: list[str]
    more: bool


# The events below make up a record. `connection` is the number of a connection.


class RecordedOpening(msgspec.Struct, frozen=True, tag="open", tag_field="event", kw_only=True):
    """The first event of a connection, at its first frame or at the beginning of the recording."""

    at: int
    connection: int
    dialect: str
    base_url: str
    query: str
    binary: bool
    language: Literal["zh", "en"]


class RecordedFrame(msgspec.Struct, frozen=True, tag="frame", tag_field="event", kw_only=True):
    """`text`: the text of a text frame; None if the text is too large, or masked completely. `size`: the bytes of the
    frame."""

    at: int
    connection: int
    by: Literal["client", "server"]
    size: int
    text: str | None = None
    binary: bool = False


class RecordedLogin(msgspec.Struct, frozen=True, tag="login", tag_field="event"):
    """From here on, the connection is logged in as this account; 0: it is logged out."""

    at: int
    connection: int
    account: AccountId


class RecordedClose(msgspec.Struct, frozen=True, tag="close", tag_field="event"):
    """The connection was closed by the server, or by the client or the network (code 0)."""

    at: int
    connection: int
    code: int = 0
    reason: str = ""


RecordedEvent = RecordedOpening | RecordedFrame | RecordedLogin | RecordedClose
