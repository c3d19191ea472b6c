"""The values that the edge and a dialect pass to each other: actions of frames, pushes, and what a connection is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from services.edge.canonical.commands import Command
from services.edge.canonical.frames import Outgoing
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import MemberPair, Message
from shared.setting_types import Language
from shared.settings import LimitsSettings


class DecodeError(Exception):
    """The frame cannot be decoded; `context` is the dialect's own, for `encode_error`. `field`: the member of the frame
    that is at fault, if it is known; `retry_ms`: see Failure. `disconnect`: the connection closes after the error
    reply."""

    def __init__(
        self,
        text: str,
        code: ErrorCode = ErrorCode.INVALID,
        context: object = None,
        field: str = "",
        retry_ms: int = 0,
    ) -> None:
        super().__init__(text)
        self.failure = Failure(code, text, field, retry_ms)
        self.context = context
        self.disconnect: Disconnect | None = None


class Request(msgspec.Struct, frozen=True, gc=False):
    """One decoded request; `context` is the dialect's own and comes back with the reply.

    A `token` (JWT) must be valid and belong to the connection's account; on a connection without a login it is a login.
    An `account` must be the token's. The token of a Login is a login by itself, on any connection: the account must be
    the one that the Login identifies, and its secret is not checked."""

    command: Command
    context: object = None
    token: str = ""
    account: AccountId = NO_ACCOUNT


class LocalReply(NamedTuple):
    """The reply to a frame that needs no service, such as a ping. It is written in its place among the replies to
    requests, and needs no login."""

    frames: tuple[Outgoing, ...]


class Disconnect(NamedTuple):
    """The client asks to disconnect. Everything before it is answered, frames after it are dropped, then the connection
    closes with this WebSocket close code and reason."""

    code: int = 1000
    reason: str = ""


Action = Request | LocalReply | Disconnect
"""An action that a frame decodes to."""


class Push(NamedTuple):
    """Frames to write now. `message` is the one that they hold, if any; it then counts as pushed. `requests` are the
    dialect's own, for example for the name of a chat: their replies are encoded like replies to the client."""

    frames: tuple[Outgoing, ...]
    message: Message | None = None
    requests: tuple[Request, ...] = ()


class LoadedChat(NamedTuple):
    """A chat of an account at its login. `pair`: both members of a private chat, None in a group."""

    chat: ChatId
    pair: MemberPair | None = None


class FirstFrame(NamedTuple):
    """A connection's first frame: its text without the white space around it, and its members if it is a JSON
    object."""

    text: str
    members: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """The properties of a connection that its dialect knows."""

    limits: LimitsSettings
    base_url: str
    """`http(s)://host[:port]` of addresses that this connection's client can fetch."""
    query: str = ""
    """The query of the address that the client dialled, as it was sent."""
    binary: bool = True
    """Whether the connection carries binary frames."""
    language: Language = "zh"
    """Of the server's own texts, where they are for users."""
    ping_seconds: float = 25.0
    """The server pings a connection from which nothing has come for so long."""
    unix_ms: Callable[[], int] = now_ms
    """The wall clock, for dialects that write the time into frames."""
