"""The vectors of the dialects: the frames that each dialect reads and writes, as data. Each dialect has one file.

A vector is a frame beside the canonical value that it stands for. A *canonical* value has the form that is the same for
all dialects. There are these kinds of vectors:
- A request: the frame `in`, the `command` that it means, its `token`, and the `account` of that token. Its `replies`
  have an `answer` or a `failure`, the frames `out`, and the actions that the dialect carries out `then`.
- Any other frame from a client: `in`, and its `actions` in order. An action is a `request` as above, a `reply` (frames
  that the dialect itself makes), or a `disconnect` (close code and reason). If the dialect only remembers the frame,
  there is no action.
- A frame that cannot be decoded: `in`, the code of the `error`, and, where it matters, the frames `out`.
- An `event`, or the `chats` that are loaded at a login: the frames `out`, and the `requests` that the dialect makes.
- A `message` of any user, and the frames `out`.
- A `close` by the edge (code and reason), the frames `out` before it, and the `closed` code and reason on the wire.
- The reply with which a stream of server-sent events is `resumed`, and its events `out`.

Canonical values are `{"Type": {fields}}`. A frame is text, or JSON if the dialect's frames are JSON. `{"binary": text}`
is a binary frame, and `{"announcement", "packages", "media", "otherwise"}` is a picture or file. `given` is the state
before: the account of the connection, and the frames that its client has sent. Vectors with `shown` are printed in
docs/protocols. `lacks` names the commands, replies and events that the dialect does not have.

A file of text frames also says how a client reads them. The client splits a frame at the `separator`. If the frame
begins with a word of `splits`, it is split only this number of times, and the rest is a text. In place of both,
`fields` may be a regular expression whose groups are the fields of a frame in either direction. `head` may be an
expression whose first group distinguishes frames in tables. By default, this is the first field, or in JSON the member
whose name ends in `code`, or else the first member. `lines` says that each line of a text is a separate frame.
"""

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from services.edge.canonical import replies
from services.edge.canonical.commands import EdgeCommand
from services.edge.canonical.events import Event
from services.edge.canonical.frames import Binary, Frame
from services.edge.canonical.replies import ChatToResume, DisplayChange, DisplayMessage, ForwardedMessage, MadeCounts
from services.edge.dialects.base import LoadedChat
from services.edge.dialects.encoded_message import to_display
from shared.contract import subjects
from shared.contract.auth import Authenticated, VerificationNeeded
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId, Nonce
from shared.contract.made import Made
from shared.contract.message import ChangePage, History, Unread
from shared.contract.model import MemberPair, Mention, Message, ProfileSummary, Quote, RichSegment, Segment
from shared.contract.recovery import Recovered
from shared.contract.search import SearchPage

_HERE = Path(__file__).parent


class VectorMessage(msgspec.Struct, forbid_unknown_fields=True):
    """A message whose segments are unpacked.

    `face`, `to`, `dialect`, `edited` and `reply_to` are as in DisplayMessage, and `quote` is as in EncodedMessage.
    """

    chat: ChatId
    index: int
    id: MessageId
    sender: AccountId
    time: int
    segments: tuple[RichSegment, ...]
    face: ProfileSummary | None = None
    to: AccountId | None = None
    dialect: str = ""
    edited: bool = False
    reply_to: int = 0
    quote: Quote | None = None

    @property
    def shown(self) -> DisplayMessage:
        plain: tuple[Segment, ...] = tuple([one for one in self.segments if not isinstance(one, Mention)])
        if not self.reply_to and len(plain) == len(self.segments):
            return DisplayMessage(self.message, plain, self.face, self.to, self.dialect, self.edited)
        pair = None if self.to is None else (self.sender, self.to)
        return to_display(self.message, pair, self.face, quote=self.quote)

    @property
    def message(self) -> Message:
        body = pack_segments(self.segments, self.dialect, self.reply_to)
        return Message(self.chat, self.index, self.id, self.sender, self.time, body, Nonce(1))


class Given(msgspec.Struct, forbid_unknown_fields=True):
    """The state before a vector.

    `account` is the account of the connection, or 0 before the login. `before` are the frames that it has sent.
    """

    account: AccountId = AccountId(12)
    before: list[Any] = []


class VectorReply(msgspec.Struct, forbid_unknown_fields=True):
    out: list[Any]
    answer: dict[str, Any] | None = None
    failure: Failure | None = None
    then: "list[VectorAction]" = []

    @property
    def follow_ups(self) -> "list[VectorRequest]":
        return [action.request for action in self.then if action.request]


class VectorRequest(msgspec.Struct, forbid_unknown_fields=True):
    command: dict[str, Any]
    token: str = ""
    account: AccountId = NO_ACCOUNT
    replies: list[VectorReply] = []


class VectorAction(msgspec.Struct, forbid_unknown_fields=True):
    """An action of a dialect. Exactly one member is set. `disconnect` is a close code and a reason."""

    request: VectorRequest | None = None
    reply: list[Any] | None = None
    disconnect: tuple[int, str] | None = None


class VectorChat(msgspec.Struct, forbid_unknown_fields=True):
    chat: ChatId
    pair: MemberPair | None = None


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
    actions: list[VectorAction] | None = None
    error: ErrorCode | None = None
    event: dict[str, Any] | None = None
    chats: list[VectorChat] | None = None
    requests: list[VectorRequest] = []
    message: VectorMessage | None = None
    close: tuple[int, str] | None = None
    closed: tuple[int, str] | None = None
    resumed: dict[str, Any] | None = None
    out: list[Any] | None = None

    @property
    def frame_actions(self) -> list[VectorAction]:
        """Returns the actions of the frame, also if it has only a single request."""
        if self.command is None:
            return self.actions or []
        return [VectorAction(VectorRequest(self.command, self.token, self.account, self.replies))]

    @property
    def all_requests(self) -> list[VectorRequest]:
        """Returns the requests of the frame, or those that the dialect itself makes."""
        return [action.request for action in self.frame_actions if action.request] + self.requests

    @property
    def loaded_chats(self) -> list[LoadedChat]:
        return [LoadedChat(loaded.chat, loaded.pair) for loaded in self.chats or ()]


class Vectors(msgspec.Struct, forbid_unknown_fields=True):
    dialect: str
    lacks: list[str]
    vectors: list[Vector]
    separator: str = ""
    splits: dict[str, int] = {}
    fields: str = ""
    head: str = ""
    lines: bool = False

    @property
    def is_json(self) -> bool:
        return not (self.separator or self.fields)

    def spans(self, frame: str) -> list[tuple[int, int]]:
        """Yields the places of the fields in a text frame."""
        if self.fields:
            match = re.fullmatch(self.fields, frame)
            groups = range(1, match.re.groups + 1) if match else ()
            return [match.span(group) for group in groups if match and match[group] is not None]
        found, start = [], 0
        for part in frame.split(self.separator):
            found.append((start, start + len(part)))
            start += len(part) + len(self.separator)
        return found


def path_of(dialect: str) -> Path:
    return _HERE / f"{dialect.replace('-', '_')}.json"


def load(dialect: str) -> Vectors:
    return msgspec.json.decode(path_of(dialect).read_bytes(), type=Vectors)


def wire(frame: Any) -> Frame:
    """Returns a vector's frame as it is sent."""
    if isinstance(frame, dict) and frame.keys() == {"binary"}:
        return Binary(frame["binary"].encode())
    return text(frame)


def text(frame: Any) -> bytes:
    return (frame if isinstance(frame, str) else json.dumps(frame, ensure_ascii=False)).encode()


COMMANDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (*EdgeCommand.__args__, *dict.fromkeys(route.request for route in subjects.FORWARDED))
}
_NOT_SHOWN = (ChangePage, History, Made, Recovered, SearchPage)
"""Replies of services that are not shown, because the edge makes its own reply in place of them."""
_PARTS = (ChatToResume, DisplayChange, DisplayMessage, ForwardedMessage, MadeCounts)
"""Parts of replies."""
_OF_EDGE = [kind for kind in vars(replies).values() if getattr(kind, "__module__", "") == replies.__name__]
ANSWERS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        *_OF_EDGE,
        Authenticated,
        Unread,
        VerificationNeeded,
        *(kind.route.reply for kind in COMMANDS.values() if hasattr(kind, "route")),
    )
    if isinstance(kind, type) and kind not in (*_PARTS, *_NOT_SHOWN)
}
EVENTS: dict[str, type[Any]] = {kind.__name__: kind for kind in Event.__args__}


def canonical(value: dict[str, Any], kinds: dict[str, type[Any]]) -> Any:
    """Returns the value of a type from `{"Type": {fields}}`."""
    ((name, fields),) = value.items()
    return msgspec.convert(fields, kinds[name], str_keys=True)
