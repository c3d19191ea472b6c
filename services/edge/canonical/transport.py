"""The port between the gateway (WebSockets by either library, plain TCP) and the edge behind it.

Every call is synchronous, runs on the event loop, and never blocks.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from mypy_extensions import mypyc_attr

from services.edge.canonical.frames import Frame


@dataclass(frozen=True, slots=True)
class Handshake:
    """A client's opening handshake; on plain TCP, its equivalent. `path` is decoded and has no query; `address` is the
    client's, also behind trusted proxies; `host` and `origin` are the headers, or empty."""

    path: str
    host: str
    address: str
    secure: bool
    subprotocols: tuple[str, ...]
    origin: str
    query: str = ""
    binary: bool = True
    """Whether the connection carries binary messages; plain TCP does not."""
    untrusted_proxy: bool = False
    """Whether X-Forwarded-For was ignored, as no trusted proxy sent it: then `address` may be a proxy's."""

    def base_url(self, public_url: str) -> str:
        """The prefix of URLs shown to this client: the public URL, or else the one that the client connected to."""
        return (public_url or f"{'https' if self.secure else 'http'}://{self.host}").rstrip("/")


@dataclass(frozen=True, slots=True)
class Accept:
    """Accept, with one of the offered subprotocols or none."""

    subprotocol: str | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """Answer the handshake with this HTTP status instead."""

    status: int
    text: str


@mypyc_attr(allow_interpreted_subclasses=True)
class Socket(ABC):
    """One open WebSocket or plain TCP connection, as the edge uses it. After the end every call is a no-op.

    A base class and no protocol: compiled code calls its methods directly, once for each delivery."""

    __slots__ = ("sent_bytes",)

    sent_bytes: int
    """Bytes of all frames so far, including those that the kernel has not accepted or never will."""

    @property
    def behind_proxy(self) -> bool:
        """Whether a proxy acknowledges bytes in the client's place, so that pongs alone prove their arrival. False on
        TCP, which has no pongs."""
        return False

    @property
    def is_page(self) -> bool:
        """Whether the client is a web page."""
        return False

    @property
    def closed_by_page(self) -> bool:
        """Whether a web page has ended this WebSocket by itself: its browser may have dropped the frames that reached
        it last. Other clients handle them, and reject a repetition."""
        return False

    @abstractmethod
    def send(self, frames: tuple[Frame, ...]) -> None:
        """Write whole messages, in order. On a WebSocket, messages of one event-loop tick are written together, by one
        system call per 64 KiB; a tuple sent to many sockets in one tick is framed once. On TCP, each message is written
        alone, as paced. Bytes that the kernel does not accept are buffered (see `unsent`)."""

    @abstractmethod
    def ping(self) -> None:
        """Each pong is reported by `ClientHandler.pong_received`, in order. On TCP, it means that the peer's kernel has
        acknowledged everything sent before."""

    @abstractmethod
    def count_as_flood(self) -> None:
        """The client has ignored its rates: for a while its address may open fewer new connections."""

    @abstractmethod
    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake after everything sent so far. Messages received later are dropped, pongs are
        still reported. (On TCP, code and reason are not sent, and there are no pongs.) The socket is aborted when the
        peer does not answer within 3 s, or reads nothing for 1 s."""

    @abstractmethod
    def abort(self) -> None:
        """Drop the connection at once."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Report nothing that the peer sends until reading is resumed, neither pongs nor the end of the stream."""

    @abstractmethod
    def resume_reading(self) -> None: ...

    @abstractmethod
    def unsent(self) -> int:
        """Bytes that the kernel has not accepted yet, including those of this tick."""

    @abstractmethod
    def unacknowledged(self) -> int | None:
        """Bytes in our buffers and the kernel's (SIOCOUTQ) that the peer's kernel has not acknowledged. None when
        unknown, as after a reset, and behind a proxy, unless the client has replied to our close frame."""

    def delays_pongs(self) -> bool:
        """Whether pongs come late for a reason: our own pacing of messages, or a large frame whose bytes still come.
        Called in each tick while a pong is awaited."""
        return False


class ClientHandler(Protocol):
    """Handles what the gateway reports about one socket. `closed` is called exactly once, last."""

    @property
    def line_ending(self) -> bytes:
        """Ends each message on plain TCP."""

    @property
    def is_logged_in(self) -> bool:
        """Before, no message is larger than a text frame may be, and of larger ones only the beginning is reported."""

    def frame_received(self, frame: Frame) -> None:
        """One whole message, with its fragments joined. A WebSocket's text is valid UTF-8."""

    def pong_received(self) -> None: ...

    def input_ended(self) -> None:
        """Nothing more is received, but sending still works: a TCP client has ended its side, or its input is
        malformed. The handler calls `close` once everything is answered. Called at most once."""

    def peer_closing(self) -> None:
        """The connection is about to end: a close frame or the end of the stream arrived (shortly before, so that bytes
        in transit could arrive), or the peer broke the protocol or did not answer our `close` in time, or (on TCP)
        everything sent before our `close` has arrived or never will. `unacknowledged` still works. Nothing more is
        received, and nothing sent from now on is delivered. Called at most once, and not when the connection is reset
        or aborted."""

    def closed(self) -> None: ...


class Endpoint(Protocol):
    """The edge as the gateway sees it."""

    def accept(self, handshake: Handshake) -> Accept | Reject: ...

    def connected(self, handshake: Handshake, socket: Socket) -> ClientHandler: ...
