"""The table of all dialects. A new dialect needs a module, a line in this table, a file of vectors and a page.

Functions that look up a dialect get the table as a parameter.
"""

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from services.edge.canonical.frames import Binary, Frame
from services.edge.dialects.base import ConnectionInfo, Dialect, FirstFrame
from services.edge.dialects.irc import Irc, detects
from services.edge.dialects.native import Native
from services.edge.dialects.native.operations import BY_NAME
from services.edge.dialects.ourchat_v0 import OurChatV0
from services.edge.dialects.ourchat_v1 import OurChatV1
from services.edge.dialects.ourchat_v2 import OurChatV2
from services.edge.dialects.pipe import Pipe
from services.edge.dialects.pipe.frames import READERS as PIPE_COMMANDS
from services.edge.dialects.service_code import Service
from shared.errors import StartupError


@dataclass(frozen=True, slots=True)
class Entry:
    """One dialect. A call of an Entry makes the translator of one connection. `binary`: the name of a subprotocol whose
    messages have the same texts, but are binary.

    `detects` recognises the first frame of a dialect that the fixed rules (dialect_of) do not name. It is applied after
    the fixed rules.
    """

    name: str
    path: str
    subprotocol: str
    factory: Callable[[ConnectionInfo], Dialect]
    detects: Callable[[FirstFrame], bool] | None = None
    binary: str = ""

    def __call__(self, info: ConnectionInfo) -> Dialect:
        return self.factory(info)


Dialects = tuple[Entry, ...]

DIALECTS: Dialects = (
    Entry("ourchat-v0", "/ws/ourchat-v0", "ourchat.v0", OurChatV0),
    Entry("ourchat-v1", "/ws/ourchat-v1", "ourchat.v1", OurChatV1),
    Entry("ourchat-v2", "/ws/ourchat-v2", "ourchat.v2", OurChatV2),
    Entry("service", "/ws/service", "service", Service),
    Entry("pipe", "/ws/pipe", "pipe", Pipe),
    Entry("native", "/ws/native", "dragoman", Native),
    Entry("irc", "/ws/irc", "text.ircv3.net", Irc, detects, "binary.ircv3.net"),
)  # fmt: skip

HTTP_OPERATIONS: Collection[str] = BY_NAME.keys()
"""The operations of native that programs can request without a WebSocket."""

UNDECIDED_PATHS = ("/", "/ws")
"""At these paths, the subprotocol decides the dialect. Without a subprotocol, the first frame decides it."""


class UnknownDialect(Exception):
    """The first frame belongs to no dialect of this edge. The text of the exception is a close reason (under 124 bytes)
    that explains this."""


def enabled(names: Collection[str]) -> Dialects:
    """Return the dialects of the setting `edge.dialects`, or all dialects if the setting is empty. Raises StartupError
    for an unknown name."""
    known = [entry.name for entry in DIALECTS]
    for name in names:
        if name not in known:
            raise StartupError(
                f"edge.dialects names {name}, which is not a dialect", f"The dialects are {', '.join(known)}"
            )
    return tuple(entry for entry in DIALECTS if not names or entry.name in names)


def by_path(path: str, dialects: Dialects) -> Entry | None:
    return next((entry for entry in dialects if entry.path == path), None)


def by_subprotocol(offered: Iterable[str], dialects: Dialects) -> tuple[Entry, str] | None:
    """The first of the offered subprotocols that is in the table, and its dialect."""
    ours = {name: entry for entry in dialects for name in (entry.subprotocol, entry.binary)}
    return next(((ours[name], name) for name in offered if name and name in ours), None)


def detect(frame: Frame, dialects: Dialects) -> Entry:
    """Return the dialect that the first frame of a connection belongs to. Raises UnknownDialect."""
    if isinstance(frame, Binary):
        raise UnknownDialect("a text frame must come first")
    first = read_first_frame(frame)
    name = dialect_of(first)
    for entry in dialects:
        if entry.name == name or (name is None and entry.detects is not None and entry.detects(first)):
            return entry
    raise UnknownDialect(f"{name} is not spoken here" if name else "no protocol here begins with such a frame")


# Detection: the following functions find a connection's dialect by its first text frame, with fixed rules in a fixed
# order. Real clients connect without a path or a subprotocol. The rules also recognise dialects that are disabled here,
# so that their frames never reach another dialect. JSON is parsed with few checks here, because the dialect itself
# reports errors in it.

_LOGIN_CODES = (4, 6)
"""Every OurChat dialect has these codes for registration and login."""
_V0_KEYS = frozenset({"mail", "nick", "ocId"})
_V1_KEYS = frozenset({"email", "account"})


def read_first_frame(frame: bytes) -> FirstFrame:
    text = frame.decode(errors="replace").strip()
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return FirstFrame(text, None)
    return FirstFrame(text, value if isinstance(value, dict) else None)


def dialect_of(first: FirstFrame) -> str | None:
    """The name of the dialect by the fixed rules, or None if no rule matches."""
    members = first.members
    if members is None:
        command, bar, _ = first.text.partition("|")
        return "pipe" if bar and command in PIPE_COMMANDS else None
    if "service_code" in members:
        return "service"
    if "op" in members:
        return "native"
    return _ourchat(members) if "code" in members else None


def _ourchat(members: dict[str, object]) -> str | None:
    code, data = members["code"], members.get("data")
    if isinstance(data, dict):
        if code in _LOGIN_CODES and data.keys() & _V0_KEYS:
            return "ourchat-v0"
        if code in _LOGIN_CODES and data.keys() & _V1_KEYS:
            return "ourchat-v1"
        if "time" in members:
            return "ourchat-v1"
        if code != 19:
            return "ourchat-v0"
    return "ourchat-v2" if type(code) is int else None
