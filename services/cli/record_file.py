"""The file of a record has lines of JSON: a header with the version of the format, the events in order of time, and the
number of events."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from local.options import OperatorError
from shared.contract.ids import AccountId, NodeId
from shared.contract.records import RecordedEvent, RecordedOpening

VERSION = 1


class UnreadableRecord(OperatorError):
    """The record cannot be played; the message gives the reason."""


class RecordHeader(msgspec.Struct, frozen=True):
    """The header of a record. `version`: the version of the format. `dragoman`: the release that has written the file.
    `edges`: for each edge, the reason why its recording ended."""

    version: int = msgspec.field(name="dragoman_record")
    dragoman: str
    id: str
    account: AccountId
    dialect: str
    edges: dict[NodeId, str]


class RecordEnd(msgspec.Struct, frozen=True):
    events: int = msgspec.field(name="end")


class Record(msgspec.Struct, frozen=True):
    header: RecordHeader
    events: list[RecordedEvent]

    @property
    def dialects(self) -> list[str]:
        return sorted({event.dialect for event in self.events if isinstance(event, RecordedOpening)})


def encode(header: RecordHeader, lines: Mapping[NodeId, Sequence[str]]) -> bytes:
    """Joins the events of all edges. `lines`: the events of each edge. Connections get new numbers, because each edge
    numbers its connections separately."""
    numbers: dict[tuple[NodeId, int], int] = {}
    merged = heapq.merge(*(_decoded(node, listed) for node, listed in lines.items()), key=lambda pair: pair[1].at)
    events = [
        msgspec.structs.replace(event, connection=numbers.setdefault((node, event.connection), len(numbers) + 1))
        for node, event in merged
    ]
    return msgspec.json.Encoder().encode_lines([header, *events, RecordEnd(len(events))])


def _decoded(node: NodeId, lines: Sequence[str]) -> Iterable[tuple[NodeId, RecordedEvent]]:
    decode = msgspec.json.Decoder(RecordedEvent).decode
    return [(node, decode(line)) for line in lines]


def read(path: Path) -> Record:
    """Reads a record. Raises UnreadableRecord."""
    try:
        first, *lines = path.read_bytes().splitlines() or [b""]
    except OSError as error:
        raise UnreadableRecord(f"{path} cannot be read: {error.strerror}", "Name the file of a record") from error
    header = _header(path, first)
    try:
        end = msgspec.json.decode(lines[-1] if lines else b"", type=RecordEnd)
        events = [msgspec.json.decode(line, type=RecordedEvent) for line in lines[:-1]]
    except msgspec.DecodeError as error:
        raise _truncated(path) from error
    if end.events != len(events):
        raise _truncated(path)
    return Record(header, events)


def _header(path: Path, line: bytes) -> RecordHeader:
    try:
        known = msgspec.json.decode(line, type=dict[str, object])
        version = known["dragoman_record"]
    except (msgspec.DecodeError, KeyError) as error:
        raise UnreadableRecord(f"{path} is not a record", "`dragoman admin record stop ID` writes one") from error
    if version != VERSION:
        raise UnreadableRecord(
            f"{path} is a record of version {version}, but this dragoman reads version {VERSION}",
            f"Replay it with dragoman {known.get('dragoman', 'of the release that wrote it')}",
        )
    try:
        return msgspec.convert(known, RecordHeader)
    except msgspec.ValidationError as error:
        raise _truncated(path) from error


def _truncated(path: Path) -> UnreadableRecord:
    return UnreadableRecord(
        f"{path} is truncated or changed",
        "Copy it again from where `dragoman admin record stop` wrote it, or record again",
    )
