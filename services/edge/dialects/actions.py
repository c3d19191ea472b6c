"""The values that the edge and a dialect pass to each other: the actions of frames, pushes, and the properties of a
connection. `base` exports these values. They are defined here, because `base` is compiled and msgspec needs structs
that are not compiled."""

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
from shared.settings.limits import LimitsSettings


class DecodeError(Exception):
    """The frame cannot be decoded. `context`: a value that the dialect gets back in `encode_error`. `field`: the wrong
    member of the frame, if it is known. `retry_ms`, `reason`: see Failure. `disconnect`: the connection closes after
    the error reply."""

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
    """One decoded request. `context` is a value of the dialect, which gets it back with the reply.

    A `token` (JWT) must be valid and belong to the connection's account. On a connection without a login, the token
    logs in. If `account` is given, it must be the account of the token. The token of a Login command logs in on any
    connection. Its account must be the account that the Login identifies, and no secret is checked.
    """

    command: Command
    context: object = None
    token: str = ""
    account: AccountId = NO_ACCOUNT


class LocalReply(NamedTuple):
    """The reply to a frame that needs no service, such as a ping. A local reply needs no login, and is written in order
    with the replies to requests."""

    frames: tuple[Outgoing, ...]


class Disconnect(NamedTuple):
    """The client asks to disconnect. Everything before this action is answered, and later frames are dropped. After the
    answers, the connection closes with this WebSocket close code and reason."""

    code: int = 1000
    reason: str = ""


Action = Request | LocalReply | Disconnect
"""An action that a frame decodes to."""


class Push(msgspec.Struct, frozen=True, gc=False):
    """Frames to write now. `message`: the message that the frames contain, if any. If the dialect held this message
    until now, it counts as pushed from now on. `requests`: the dialect's own requests, for example for the name of a
    chat. The replies to `requests` are encoded like replies to the client."""

    frames: tuple[Outgoing, ...]
    message: Message | None = None
    requests: tuple[Request, ...] = ()


class LoadedChat(NamedTuple):
    """A chat of an account at its login. `pair`: both members of a private chat, or None in a group."""

    chat: ChatId
    pair: MemberPair | None = None


class FirstFrame(NamedTuple):
    """The first frame of a connection: its text without surrounding white space and, if the frame is a JSON object, its
    members."""

    text: str
    members: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Public information about the server, which is shown before a login. `build`: the server's version. `features`:
    its optional features. `entrance`: None while it is not known. `name` and `description` are those of the server on
    IRC. `web_build`: the version of the web client that it serves, empty if it serves none. `guests`: whether clients
    without an account may log in as guests. `users`: the number of accounts on this edge. `past_guests`: the guests
    that have left or taken another nick, the last one last. `user_modes`: the modes that an account on this edge shows.
    `verifies_mail`: whether a registration needs an e-mail address. `guests_give_password`: whether registering on IRC
    requires the server's password. `sts_policy`: the value of the IRC capability `sts`, empty without it.
    `icon`: the address of the server's picture on IRC, or empty. `creators`: the users that create groups by JOIN (see
    IrcSettings.create). `delivery_reads`: whether messages that an IRC client has received count as read."""

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
    icon: str = ""
    creators: str = "all"
    delivery_reads: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """The properties of its connection that a dialect can read."""

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
    """After the server has received nothing on a connection for this number of seconds, it sends a ping."""
    unix_ms: Callable[[], int] = now_ms
    """The wall clock, for dialects that write the time into frames."""
    server: ServerInfo = ServerInfo()
