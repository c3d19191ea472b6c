"""Frames as data: what each dialect reads and writes, beside the canonical values, one file per dialect.

A vector is one of
- a request: the frame `in`, the `command` it means, the `token` it bears and whose `account` that must be, and
  `replies`: to an `answer` or a `failure`, the frames `out`;
- a frame that cannot be understood: `in`, the code of the `error`, and, where it matters, the frames `out`;
- an `event`, or somebody's `message`, and the frames `out`.

Canonical values are `{"Type": {fields}}`. A frame is text, or JSON where the dialect's frames are; `{"binary": text}`
is binary, and `{"announcement", "packages", "media", "otherwise"}` a picture or file. `given` says what came before;
`shown` vectors are printed in docs/protocols. `lacks` names the commands and events a dialect has no words for. By the
`separator` clients split a frame of text into fields (none where frames are JSON), and one that begins with a word of
`splits` so many times only: what is left is a text.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from services.edge.canonical.commands import Command
from services.edge.canonical.events import Event
from services.edge.canonical.frames import Binary, Frame
from services.edge.canonical.replies import DisplayMessage, Reply
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message, ProfileSummary, Segment, pack_segments

_HERE = Path(__file__).parent


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """A message with its segments in the clear; `face`, `to` and `dialect` as it is shown with."""

    chat: ChatId
    index: int
    id: MessageId
    sender: AccountId
    time: int
    segments: tuple[Segment, ...]
    face: ProfileSummary | None = None
    to: AccountId | None = None
    dialect: str = ""

    @property
    def shown(self) -> DisplayMessage:
        return DisplayMessage(self.message, self.segments, self.face, self.to, self.dialect)

    @property
    def message(self) -> Message:
        body = pack_segments(self.segments)
        return Message(self.chat, self.index, self.id, self.sender, self.time, body, Nonce(1))


class Given(msgspec.Struct, forbid_unknown_fields=True):
    """`account`: whose connection it is, 0 before login. `before`: frames that it has sent."""

    account: AccountId = AccountId(12)
    before: list[Any] = []


class VectorReply(msgspec.Struct, forbid_unknown_fields=True):
    out: list[Any]
    answer: dict[str, Any] | None = None
    failure: Failure | None = None


class Vector(msgspec.Struct, forbid_unknown_fields=True):
    section: str
    name: str
    given: Given = msgspec.field(default_factory=Given)
    shown: bool = False
    frame: Any = msgspec.field(name="in", default=None)
    command: dict[str, Any] | None = None
    token: str = ""
    account: AccountId = NO_ACCOUNT
    replies: list[VectorReply] = []
    error: ErrorCode | None = None
    event: dict[str, Any] | None = None
    message: Said | None = None
    out: list[Any] | None = None


class Vectors(msgspec.Struct, forbid_unknown_fields=True):
    dialect: str
    lacks: list[str]
    vectors: list[Vector]
    separator: str = ""
    splits: dict[str, int] = {}


def path_of(dialect: str) -> Path:
    return _HERE / f"{dialect.replace('-', '_')}.json"


def load(dialect: str) -> Vectors:
    return msgspec.json.decode(path_of(dialect).read_bytes(), type=Vectors)


def wire(frame: Any) -> Frame:
    """A vector's frame as it is sent."""
    if isinstance(frame, dict) and frame.keys() == {"binary"}:
        return Binary(frame["binary"].encode())
    return text(frame)


def text(frame: Any) -> bytes:
    return (frame if isinstance(frame, str) else json.dumps(frame, ensure_ascii=False)).encode()


COMMANDS: dict[str, type[Any]] = {kind.__name__: kind for kind in Command.__args__}
ANSWERS: dict[str, type[Any]] = {kind.__name__: kind for kind in Reply.__args__}
EVENTS: dict[str, type[Any]] = {kind.__name__: kind for kind in Event.__args__}


def canonical(value: dict[str, Any], kinds: dict[str, type[Any]]) -> Any:
    """`{"Type": {fields}}` as a value of that type."""
    ((name, fields),) = value.items()
    return msgspec.convert(fields, kinds[name])
