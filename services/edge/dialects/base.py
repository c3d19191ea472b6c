"""The interface of a dialect. A dialect translates the frames of one connection. It does no I/O and no logging, uses no
randomness, and reads no clock except the one in its ConnectionInfo.

The edge calls a dialect in this order. `decode` is called for each frame that arrives, but only after earlier
registrations and logins are answered, because the meaning of a frame depends on the account. `encode_reply` or
`encode_error` is called once for each request, in request order if `orders_replies` is set. Pushes go through
`encode_event` and the `gate`. The times in parameters are seconds of a monotonic clock. `decode` raises only
DecodeError, whatever bytes it gets.
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
    ServerInfo,
)
from shared.contract.bots import TokenScope
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message

Mask = Callable[[str], str]
"""A function that replaces a secret by a text of the same form, such as a hash in hex or a token. Equal secrets always
get equal masks."""

LOGGED_OUT = "logged out"
"""The reason with which a connection is closed (code 1008) after its login was revoked."""

TOO_MANY_REQUESTS = "too many requests"
"""The reason with which a connection is closed (code 1008) when its client ignores the errors that limit its rate."""

NO_VALID_FRAME = "no valid frame came in time"
NO_LOGIN = "no login came in time"
DISCONNECTED = "disconnected by the operator"
"""Further reasons with which a connection is closed (code 1008)."""

ERROR_CACHE_SIZE = 64
"""How many encoded errors a dialect caches. Under overload, most errors have the same text."""


def never_requested(dialect: str) -> TypeError:
    """The error that a dialect raises when it gets a reply to a command that none of its frames can request."""
    return TypeError(f"no {dialect} frame can request this")


@mypyc_attr(allow_interpreted_subclasses=True)
class PushGate(ABC):
    """The gate holds messages that arrive before the client is ready for messages."""

    __slots__ = ()

    held_bytes: int
    """The size of all held data, which the edge limits."""
    wake_at: float | None
    """When the edge must call `wake`. The edge reads this value after every call of the dialect."""

    @abstractmethod
    def admit(self, message: Message, frames: tuple[Outgoing, ...]) -> tuple[Outgoing, ...] | None:
        """Return the frames to write at once for this message, or None if the message must be passed to `hold`."""

    @abstractmethod
    def hold(self, message: Message, frames: tuple[Outgoing, ...], now: float) -> tuple[Push, ...]:
        """Hold a message. Returns the frames that may be written at once."""

    @abstractmethod
    def holds(self, chat: ChatId, index: int) -> bool:
        """Whether the gate holds this message."""

    @abstractmethod
    def release(self, chat: ChatId, now: float) -> tuple[Push, ...]:
        """A reply to a message that the client has posted to this chat is about to be written. Returns the held
        messages of the chat, which are written before the reply."""

    @abstractmethod
    def wake(self, now: float) -> tuple[Push, ...]:
        """Return the held frames that are now due."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Dialect(ABC):
    """See the module's description. An attribute that may differ between connections is set in `__init__`. This class
    is compiled, and compiled code does not see a class attribute that a subclass replaces."""

    name: ClassVar[str]
    public_query: ClassVar[frozenset[str]] = frozenset()
    """The query parameters of the client's address that the dialect reads. None of them is a secret."""
    receives_pushes: bool
    """Whether messages are pushed to this connection. If False, the client requests messages, and messages that it does
    not request stay undelivered."""
    registration_logs_in: ClassVar[bool] = True
    """Whether a registration also logs in."""
    waits_for_verification: ClassVar[bool] = False
    """Whether the client requests the verification mail and waits for the pending reply. If False, the mail is already
    on its way when the dialect encodes a VerificationNeeded, and the client must try again later."""
    rejects_unverified: ClassVar[bool] = False
    """Whether a request that waits for a verification gets an error reply when it can no longer be completed."""
    pushes_missed: bool
    """Whether missed messages are pushed after the login. If False, the client requests missed messages."""
    login_shows_unread: ClassVar[bool] = False
    """Whether the reply to a login contains the number of undelivered messages."""
    names_senders: ClassVar[bool] = False
    """Whether a message needs its sender's profile summary to be shown."""
    shows_replies: ClassVar[bool] = False
    """Whether clients can show replies. If False, a reply begins with a quote of the other message."""
    confirms_pushes: ClassVar[bool] = True
    """Whether a message counts as delivered once its push has arrived. If False, the client itself keeps track of its
    messages, and marks messages as read with MarkChatRead."""
    delivery_reads: bool
    """Whether a message counts as read, too, once its push has arrived."""
    names_messages: ClassVar[bool] = False
    """Whether clients give their messages names (see PostMessage.nonce)."""
    orders_replies: bool
    """Whether replies keep the order of the requests. If its replies have ids, a client may permit another order."""
    names_errors: ClassVar[bool] = False
    """Whether an error reply shows the id under which it is logged and traced."""
    tags_dialect: ClassVar[bool] = False
    """Whether messages sent here are tagged with the dialect's name (DisplayMessage.dialect)."""
    shows_others_joins: ClassVar[bool] = True
    """Whether clients see other accounts join a chat that is broadcast. The new member itself is always notified."""
    shows_ephemeral: ClassVar[bool] = False
    """Whether ephemeral events, such as typing, are pushed."""
    pushes_pending_requests: bool
    """Whether the account's pending friend and join requests and its stored notifications are pushed after the
    login."""
    limits_scopes: ClassVar[bool] = False
    """Whether `decode` rejects requests that the `scopes` of a bot's token do not permit. If False, bots cannot log
    in."""
    scopes: frozenset[TokenScope] | None
    """The scopes of the bot's token that logged in. The edge sets them before each `logged_in`. None permits
    everything."""
    gate: PushGate | None
    """The gate of a dialect that holds messages."""
    line_ending: ClassVar[bytes] = b"\n"
    """The bytes that end each frame on plain TCP."""

    def __init__(self, info: ConnectionInfo) -> None:
        self.limits = info.limits
        self.base_url = info.base_url
        self.language = info.language
        self.unix_ms = info.unix_ms
        self.receives_pushes, self.pushes_missed, self.pushes_pending_requests = True, True, False
        self.orders_replies, self.delivery_reads = True, False
        self.scopes, self.gate = None, None
        self.follow_ups: list[Action] = []
        """Further requests that the last reply causes, such as a request that needs the result of the first. The edge
        takes these requests after each reply, and performs them before the next frame."""
        self.variant = intern(f"{self.name} {self.base_url}")
        """Connections of one variant get the same bytes of a message, so a message is encoded once for each variant.
        The variant's name is interned, because each delivery looks it up and an interned text is found faster."""

    @property
    def device(self) -> str:
        """The name of the client's device among those of its account, if the device gets its own missed messages. If
        it is empty, a message that another device has received is not missed."""
        return ""

    # Frames in

    @abstractmethod
    def decode(self, frame: Frame, now: float) -> Sequence[Action]:
        """Decode one frame into actions, in order. Usually the result is one request. It is empty if the dialect only
        stores the frame. Raises DecodeError."""

    def identify(self, frame: Frame) -> object:
        """Return the `context` with which `encode_error` rejects this frame without decoding it. From the `context`,
        the error reply tells the client which request is answered."""
        return None

    def overtakes(self, frame: Frame) -> bool:
        """Whether this frame may overtake frames over the rate, because its client takes a late reply for a broken
        connection."""
        return False

    # Frames out

    @abstractmethod
    def encode_reply(self, request: Request, reply: Reply, now: float) -> tuple[Outgoing, ...]:
        """Encode the reply to a request that succeeded."""

    @abstractmethod
    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Outgoing, ...]:
        """Encode the reply to a request that failed. `request` is None when the frame could not be decoded."""

    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        """Encode an event. Returns nothing if the dialect has no frame for it, or while pushes are held."""
        return ()

    @abstractmethod
    def encode_message(self, shown: DisplayMessage) -> tuple[Outgoing, ...]:
        """Encode a message. Every connection of this variant gets the same frames."""

    def encode_close(self, code: int, reason: str) -> tuple[tuple[Frame, ...], int, str]:
        """Return the last frames, the close code and the reason (under 124 bytes) with which the edge closes the
        connection."""
        return (), code, reason

    # Records

    @abstractmethod
    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        """Return a text frame of either direction with each password, token and security answer masked, so that it can
        be recorded. The result is None if the secrets cannot be located, for example because the frame cannot be
        decoded."""

    # Login

    def logged_in(self, account: AccountId, now: float) -> None:
        """Note that the connection is logged in as `account`, or logged out with NO_ACCOUNT. The account may be the
        same as before. The edge calls this just before `encode_reply` of the login. Messages that are held for the
        previous account are dropped."""

    def unread_loaded(self, unread: int) -> None:
        """Note the number of undelivered messages. If `login_shows_unread` is set, the edge calls this just before
        `encode_reply` of a login."""

    def chats_loaded(self, chats: Sequence[LoadedChat], now: float) -> tuple[Push, ...]:
        """Note the chats of the account at its login. The edge calls this for each page of the connection's first sync.
        No message is written or held before the first call. A dialect that needs more data, such as the names of chats,
        requests it with the `requests` of a Push."""
        return ()


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
    "PushGate",
    "Request",
    "ServerInfo",
]  # fmt: skip
