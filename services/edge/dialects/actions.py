"""The values that the edge and a dialect pass to each other: the actions of frames, pushes, and the properties of a
connection. The values are not in `base`, which exports them, because `base` is compiled and msgspec needs uncompiled
structs."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from services.edge.canonical.commands import Command
from services.edge.canonical.frames import Outgoing
from shared.clock import now_ms
from shared.contract.auth import Entrance
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import MemberPair, Message, ProfileSummary
from shared.setting_types import Language
from shared.settings import LimitsSettings


class DecodeError(Exception):
    """The frame cannot be decoded. `context`: the dialect's own, for `encode_error`. `field`: the wrong member of
    the frame, if it is known. `retry_ms`, `reason`: see Failure. `disconnect`: the connection closes after the error
    reply."""

    def __init__(
        self,
        text: str,
        code: ErrorCode = ErrorCode.INVALID,
        context: object = None,
        field: str = "",
        retry_ms: int = 0,
        reason: str = "",
    ) -> None:
        super().__init__(text)
        self.failure = Failure(code, text, field, retry_ms, reason)
        self.context = context
        self.disconnect: Disconnect | None = None


class Request(msgspec.Struct, frozen=True, gc=False):
    """One decoded request. `context` is the dialect's own and comes back with the reply.

    A `token` (JWT) must be valid and belong to the connection's account; on a connection without a login, the token is
    a login. An `account` must be the token's. The token of a Login is a login by itself, on any connection. Its account
    must be the one that the Login identifies, and no secret is checked."""

    command: Command
    context: object = None
    token: str = ""
    account: AccountId = NO_ACCOUNT


class LocalReply(NamedTuple):
    """The reply to a frame that needs no service, such as a ping. A local reply is written in its place among the
    replies to requests, and needs no login."""

    frames: tuple[Outgoing, ...]


class Disconnect(NamedTuple):
    """The client asks to disconnect. Everything before this action is answered, and later frames are dropped. After the
    answers, the connection closes with this WebSocket close code and reason."""

    code: int = 1000
    reason: str = ""


Action = Request | LocalReply | Disconnect
"""An action that a frame decodes to."""


class Push(NamedTuple):
    """Frames to write now. `message`: the message that the frames contain, if any. A held message then counts as
    pushed. `requests`: the dialect's own requests, for example for the name of a chat. The replies to `requests` are
    encoded like replies to the client."""

    frames: tuple[Outgoing, ...]
    message: Message | None = None
    requests: tuple[Request, ...] = ()


class LoadedChat(NamedTuple):
    """A chat of an account at its login. `pair`: both members of a private chat; None in a group."""

    chat: ChatId
    pair: MemberPair | None = None


class FirstFrame(NamedTuple):
    """The first frame of a connection: its text without surrounding white space and, if the frame is a JSON object, its
    members."""

    text: str
    members: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Public information about the server, which needs no login. `build`: its version. `features`: the optional
    features that it has. `entrance`: None while it is not known. `name`, `description`: of the server on IRC.
    `web_build`: of the web client that it serves, empty if it serves none.
    `guests`: who has no account may visit. `users`: how many accounts are on this edge. `past_guests`: those that have
    left or taken another nick, the last one last. `user_modes`: those that an account on this edge shows.
    `verifies_mail`: a registration needs an e-mail address. `guests_give_password`: of the server, so nobody without it
    registers on IRC. `sts_policy`: of the capability `sts`; empty: there is none."""

    build: str = ""
    features: tuple[str, ...] = ()
    entrance: Callable[[], Entrance | None] = lambda: None
    name: str = "irc.dragoman.local"
    web_build: Callable[[], str] = str
    guests: bool = False
    users: Callable[[], int] = lambda: 0
    past_guests: Callable[[], Sequence[tuple[AccountId, ProfileSummary]]] = tuple
    user_modes: Callable[[AccountId], Collection[str]] = lambda account: ()
    description: str = "Dragoman"
    verifies_mail: bool = False
    guests_give_password: bool = False
    sts_policy: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """The properties of a connection that its dialect knows."""

    limits: LimitsSettings
    base_url: str
    """The prefix `http(s)://host[:port]` of addresses that this connection's client can fetch."""
    query: str = ""
    """The query of the address that the client dialled, as it was sent."""
    binary: bool = True
    """Whether the connection carries binary frames."""
    language: Language = "zh"
    """The language of the server's own texts for users."""
    ping_seconds: float = 25.0
    """The server pings a connection after receiving nothing for this number of seconds."""
    unix_ms: Callable[[], int] = now_ms
    """The wall clock, for dialects that write the time into frames."""
    server: ServerInfo = ServerInfo()
