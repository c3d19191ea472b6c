"""The interface of a dialect: one connection's translator, pure (no I/O, randomness, logging; no clock but the
one in its ConnectionInfo).

The edge calls a dialect in this order. `decode` is called for each frame that arrives, after every registration and
login before it is answered, because the meaning of a frame depends on the account. `encode_reply` or `encode_error` is
called once for each request, in request order. `encode_event`, `hold` and `wake` serve pushes. Times are seconds of a
monotonic clock, passed in. `decode` raises nothing but DecodeError, whatever the bytes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from sys import intern
from typing import ClassVar

from mypy_extensions import mypyc_attr

from services.edge.canonical.events import Event
from services.edge.canonical.frames import Binary, Frame, MediaPayload, Outgoing
from services.edge.canonical.replies import DisplayMessage, Reply
from services.edge.dialects.actions import (
    Action,
    ConnectionInfo,
    DecodeError,
    Disconnect,
    FirstFrame,
    LoadedChat,
    LocalReply,
    Push,
    Request,
)
from shared.contract.bots import TokenScope
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message

Mask = Callable[[str], str]
"""Replaces a secret: by the same text for the same secret, of the secret's own form (a hash in hex, a token)."""

LOGGED_OUT = "logged out"
"""The reason of a close (1008): the login was revoked."""

TOO_MANY_REQUESTS = "too many requests"
"""The reason of a close (1008): the client ignores the errors that limit its rate."""

NO_VALID_FRAME = "no valid frame in time"
NO_LOGIN = "not logged in for too long"
DISCONNECTED = "disconnected by the operator"
"""Further reasons of a close (1008)."""

ERROR_CACHE_SIZE = 64
"""Encoded errors that a dialect caches: under overload most errors have the same text."""


def never_requested(dialect: str) -> TypeError:
    """For the end of a `match` over replies."""
    return TypeError(f"no {dialect} frame requests this")


@mypyc_attr(allow_interpreted_subclasses=True)
class Dialect(ABC):
    """See the module. The defaults are those of a dialect that holds no messages. An attribute that may differ between
    connections is set in `__init__`: this class is compiled, and does not see the value of a subclass."""

    name: ClassVar[str]
    public_query: ClassVar[frozenset[str]] = frozenset()
    """Parameters of the dialled address that the dialect reads; none of them is a secret."""
    receives_pushes: bool
    """Whether messages are pushed to this connection. Otherwise the client requests them; those that it does not
    receive stay undelivered."""
    registration_logs_in: ClassVar[bool] = True
    """Whether a registration is a login, too."""
    waits_for_verification: ClassVar[bool] = False
    """Whether the client requests the verification mail and waits for the pending reply. Otherwise the mail is on its
    way when the dialect encodes a VerificationNeeded, and the client has to try again after it."""
    pushes_backlog: ClassVar[bool] = True
    """Whether missed messages are pushed after the login. Otherwise the client requests them."""
    login_shows_unread: ClassVar[bool] = False
    """Whether the reply to a login holds the number of undelivered messages."""
    names_senders: ClassVar[bool] = False
    """Whether a message cannot be shown without its sender's profile summary."""
    shows_replies: ClassVar[bool] = False
    """Whether clients know replies. Otherwise a reply begins with a quote of the other message."""
    confirms_pushes: ClassVar[bool] = True
    """Whether a message counts as delivered once its push has arrived. Otherwise the client knows what it has, and
    marks what is read (MarkChatRead)."""
    echoes_messages: ClassVar[bool] = False
    """Whether the reply to a message is the message itself, as the other members receive it."""
    names_messages: ClassVar[bool] = False
    """Whether clients name their messages (PostMessage.nonce)."""
    tags_dialect: ClassVar[bool] = False
    """Whether messages sent here are tagged with the dialect's name (DisplayMessage.dialect)."""
    shows_others_joins: ClassVar[bool] = True
    """Whether clients are shown who else joins a chat that is broadcast. The new member itself is always notified."""
    shows_ephemeral: ClassVar[bool] = False
    """Whether events that are shown at once or never, such as typing, are pushed."""
    pushes_pending_requests: bool
    """Whether pending requests and stored notifications of the account are pushed after the login."""
    limits_scopes: ClassVar[bool] = False
    """Whether `decode` rejects what the `scopes` of a bot's token do not permit. Otherwise bots cannot log in."""
    scopes: frozenset[TokenScope] | None
    """Of the bot's token that logged in, set before each `logged_in`; None: everything is permitted."""
    line_ending: ClassVar[bytes] = b"\n"
    """Ends each frame on plain TCP."""

    def __init__(self, info: ConnectionInfo) -> None:
        self.limits = info.limits
        self.base_url = info.base_url
        self.language = info.language
        self.unix_ms = info.unix_ms
        self.receives_pushes, self.pushes_pending_requests = True, False
        self.scopes = None
        self.variant = intern(f"{self.name} {self.base_url}")
        """Connections of one variant get the same bytes of a message: it is encoded once for all of them.
        It is looked up for each delivery: an interned text is found by its identity."""

    # Frames in

    @abstractmethod
    def decode(self, frame: Frame, now: float) -> Sequence[Action]:
        """The actions of one frame, in order: usually one request; none for a frame that is only remembered. Raises
        DecodeError."""

    def identify(self, frame: Frame) -> object:
        """The `context` by which `encode_error` rejects a frame without decoding it: whatever of the frame tells the
        client which of its requests is answered."""
        return None

    # Frames out

    @abstractmethod
    def encode_reply(self, request: Request, reply: Reply, now: float) -> tuple[Outgoing, ...]:
        """The reply to a request that succeeded."""

    @abstractmethod
    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Outgoing, ...]:
        """The reply to a request that failed; `request` is None when the frame could not be decoded."""

    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        """An event; nothing if the dialect has no frame for it, or while pushes are held."""
        return ()

    @abstractmethod
    def encode_message(self, shown: DisplayMessage) -> tuple[Outgoing, ...]:
        """A message as every connection of this variant shows it."""

    def encode_close(self, code: int, reason: str) -> tuple[tuple[Frame, ...], int, str]:
        """The edge closes the connection: the last frames, then the close code and the reason (under 124 bytes)."""
        return (), code, reason

    # Records

    @abstractmethod
    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        """A text frame of either direction, with each password, token and security answer masked, for a record. None if
        the secrets in it cannot be located, for example because it cannot be decoded."""

    # Login and held messages

    def logged_in(self, account: AccountId, now: float) -> None:
        """The connection is logged in from here on (also again, also to another account; with NO_ACCOUNT: logged out).
        Called just before `encode_reply` of the login. Messages held for the former account are dropped unpushed."""

    def unread_loaded(self, unread: int) -> None:
        """The number of undelivered messages: called just before `encode_reply` of a login if `login_shows_unread`."""

    def chats_loaded(self, chats: Sequence[LoadedChat], now: float) -> tuple[Push, ...]:
        """The chats of the account at the login; called for each page of its first sync. No message is written or
        passed to `hold` before the first call. A dialect that needs more, such as the chats' names, requests it by a
        Push."""
        return ()

    def must_hold(self, chat: ChatId) -> bool:
        """Whether a message of this chat must go to `hold` instead of being written at once."""
        return False

    def hold(self, message: Message, frames: tuple[Outgoing, ...], now: float) -> tuple[Push, ...]:
        """Keep a message of a chat that `must_hold`; returns what may be written at once."""
        return (Push(frames, message),)

    def holds(self, chat: ChatId, index: int) -> bool:
        """Whether it holds this message."""
        return False

    def release(self, chat: ChatId, now: float) -> tuple[Push, ...]:
        """The reply to a message that the client has posted to this chat is written next. Returns the held messages of
        the chat, which come before it."""
        return ()

    @property
    def next_wakeup(self) -> float | None:
        """When to call `wake`; read after every other call."""
        return None

    def wake(self, now: float) -> tuple[Push, ...]:
        """The held frames that are due."""
        return ()

    @property
    def held_bytes(self) -> int:
        """The size of all that is held; the edge limits it."""
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
    "Mask",
    "MediaPayload",
    "Outgoing",
    "Push",
    "Request",
]  # fmt: skip
