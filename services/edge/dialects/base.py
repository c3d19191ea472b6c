"""What every dialect is: one connection's translator, pure (no I/O, clock, randomness, logging).

The connection calls it in this order: `decode` for each frame that arrives, but not before every registration or
login ahead of it is answered (what a frame means depends on whose it is); `answer` or `refuse` once for each
request, in request order; `tell`, `hold` and `wake` for what the server says unasked. Times are seconds of any
monotonic clock, passed in. Nothing but DecodeError may leave `decode`, whatever the bytes.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from services.edge.canonical.commands import Command
from services.edge.canonical.events import Event
from services.edge.canonical.frames import Binary, Frame, MediaPayload, Outgoing
from services.edge.canonical.replies import DisplayMessage, Reply
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import MemberPair, Message
from shared.settings import Limits

ERROR_CACHE_SIZE = 64
"""So many of a dialect's refusals are remembered: where much is refused, it is all in the same words."""


class DecodeError(Exception):
    """The frame cannot be understood; `context` is the dialect's own, for `refuse`."""

    def __init__(self, text: str, code: ErrorCode = ErrorCode.INVALID, context: object = None) -> None:
        super().__init__(text)
        self.failure = Failure(code, text)
        self.context = context


class Request(NamedTuple):
    """One decoded request; `context` is the dialect's own and comes back with the answer. A `token` (JWT) must be good,
    and of the connection's account; on a connection that is not logged in it is a login. An `account` must be the
    token's. The token of a Login is a login by itself, whoever the connection is: the account must be the one that the
    Login identifies, its secret is not looked at."""

    command: Command
    context: object = None
    token: str = ""
    account: AccountId = NO_ACCOUNT


class LocalReply(NamedTuple):
    """The reply to a frame that needs no service. It is written in its place among the replies to requests, before and
    after the login."""

    frames: tuple[Outgoing, ...]


class Disconnect(NamedTuple):
    """The client asks to disconnect. Everything before it is answered, frames after it are dropped, then the connection
    closes with this WebSocket close code and reason."""

    code: int = 1000
    reason: str = ""


Action = Request | LocalReply | Disconnect
"""What a frame asks for."""


class Push(NamedTuple):
    """Frames to be written now; `message` is the one they hold, if any (it then counts as pushed). `requests` are the
    dialect's own, for example for the name of a chat: their replies are encoded as those of the client's requests."""

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
    """What a connection tells its dialect at its start."""

    limits: Limits
    base_url: str
    """`http(s)://host[:port]` of addresses that this connection's client can fetch."""
    query: str = ""
    """Of the address it dialled, as it was sent."""
    binary: bool = True
    """Whether binary frames can be sent to it, and come from it."""


class Dialect(ABC):
    """See the module. The defaults are those of a dialect that holds nothing back."""

    name: ClassVar[str]
    receives_pushes: bool = True
    """Whether messages are pushed to this connection; otherwise it asks for them, and what it is not given stays
    unread."""
    registration_logs_in: ClassVar[bool] = True
    """Whether a registration is a login, too."""
    waits_for_verification: ClassVar[bool] = False
    """Whether its client asks for the mail with the link, and waits for what was withheld; otherwise that mail is on
    its way when the dialect answers a VerificationNeeded, and the client is told to try again after it."""
    pushes_backlog: ClassVar[bool] = True
    """Whether what was missed is pushed after the login; otherwise the client asks for it."""
    login_shows_unread: ClassVar[bool] = False
    """Whether the answer of a login says how many messages wait."""
    names_senders: ClassVar[bool] = False
    """Whether a message cannot be shown without its sender's face."""
    tags_dialect: ClassVar[bool] = False
    """Whether what is said here is marked with the dialect's name (Shown.dialect), to be known again."""
    pushes_pending_requests: ClassVar[bool] = False
    """Whether pending requests, and notices kept for this account, are told after the login."""
    line_ending: ClassVar[bytes] = b"\n"
    """Ends each frame on plain TCP."""
    unix_seconds: int = 0
    """What time it is, for dialects that write it into every frame: set just before each `answer`, `refuse` and `tell`.
    (`now` is another clock.)"""

    def __init__(self, surroundings: ConnectionInfo) -> None:
        self.limits = surroundings.limits
        self.base_url = surroundings.base_url
        self.variant: Hashable = (self.name, self.base_url)
        """Connections of the same variant get the same bytes of a message: encoded once for all of them."""

    # Frames in

    @abstractmethod
    def decode(self, frame: Frame, now: float) -> Sequence[Action]:
        """The actions of one frame, in order: usually one request; none for a frame that is only remembered. Raises
        DecodeError."""

    # Frames out

    @abstractmethod
    def encode_reply(self, request: Request, answer: Reply, now: float) -> tuple[Outgoing, ...]:
        """The reply to a request that succeeded."""

    @abstractmethod
    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Outgoing, ...]:
        """The reply to a request that failed; `request` is None when the frame could not be decoded."""

    @abstractmethod
    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        """An event in this dialect's words; nothing where it has no words, or while pushes are held."""

    @abstractmethod
    def encode_message(self, shown: DisplayMessage) -> tuple[Outgoing, ...]:
        """A message as every connection of this variant sees it."""

    # PushGate back

    def logged_in(self, account: AccountId, now: float) -> None:
        """The connection is logged in from here on (also again, also as another account; as NOBODY: logged out).
        Comes just before the `answer` that says so; what was held for the account before is dropped unpushed."""

    def unread_loaded(self, unread: int) -> None:
        """How many messages wait for the account: told just before the `answer` of its login to a dialect that counts
        them."""

    def chats_loaded(self, chats: Sequence[LoadedChat], now: float) -> tuple[Push, ...]:
        """The account was in these chats when the connection logged in; comes for each page of its first sync.
        No message is handed to `hold` or written before the first one. A dialect that needs more of the chats, such as
        their names, requests it by a Push."""
        return ()

    def must_hold(self, chat: ChatId) -> bool:
        """Whether a message of this chat must go to `hold` instead of being written at once."""
        return False

    def hold(self, message: Message, frames: tuple[Outgoing, ...], now: float) -> tuple[Push, ...]:
        """Keep a message of a chat that `holds`; returns what may be written at once (in its place, or before)."""
        return (Push(frames, message),)

    @property
    def next_wakeup(self) -> float | None:
        """When `wake` wants to be called; looked at after every call, `answer` and `refuse` too."""
        return None

    def wake(self, now: float) -> tuple[Push, ...]:
        """What was held and is due."""
        return ()

    @property
    def held_bytes(self) -> int:
        """The size of all that is held back now; bounding it is the connection's affair."""
        return 0


__all__ = [
    "Action",
    "Binary",
    "ConnectionInfo",
    "DecodeError",
    "Dialect",
    "Disconnect",
    "DisplayMessage",
    "FirstFrame",
    "Frame",
    "LoadedChat",
    "LocalReply",
    "MediaPayload",
    "Outgoing",
    "Push",
    "Request",
]  # fmt: skip
