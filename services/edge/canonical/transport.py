"""The interface between the gateway and the edge behind it. The gateway handles WebSockets and plain TCP.

Every call is synchronous, runs on the event loop, and never blocks.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from mypy_extensions import mypyc_attr

from services.edge.canonical.frames import Frame


@dataclass(frozen=True, slots=True)
class Handshake:
    """A client's opening handshake or, on plain TCP, its equivalent. `path` is decoded and has no query. `address` is
    the client's address, even if a trusted proxy forwarded the connection. `host` and `origin` are the headers, or
    empty."""

    path: str
    host: str
    address: str
    secure: bool
    subprotocols: tuple[str, ...]
    origin: str
    query: str = ""
    binary: bool = True
    """Whether the connection can carry binary messages, which plain TCP cannot."""
    untrusted_proxy: bool = False
    """Whether X-Forwarded-For was ignored because no trusted proxy sent it. If it was ignored, `address` may be a
    proxy's address."""

    def base_url(self, public_url: str) -> str:
        """The beginning of URLs that are shown to this client. This is the public URL or, if none is set, the URL that
        the client connected to."""
        return (public_url or f"{'https' if self.secure else 'http'}://{self.host}").rstrip("/")


@dataclass(frozen=True, slots=True)
class Accept:
    """Accept the handshake, with one of the offered subprotocols or none. With `binary`, texts are sent as binary
    messages."""

    subprotocol: str | None = None
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """Answer the handshake with this HTTP status instead."""

    status: int
    text: str


@mypyc_attr(allow_interpreted_subclasses=True)
class Socket(ABC):
    """One open WebSocket or plain TCP connection, as the edge uses it. After the end of the connection, every call does
    nothing.

    Socket is a base class instead of a Protocol, because compiled code calls the methods of a class directly. These
    methods are called for every delivery.
    """

    __slots__ = ("sent_bytes",)

    sent_bytes: int
    """The bytes of all frames sent so far. This includes bytes that the kernel has not accepted yet, or never will."""

    @property
    def behind_proxy(self) -> bool:
        """Whether a proxy acknowledges TCP bytes in place of the client. Behind a proxy, only pongs prove that bytes
        have arrived at the client. On TCP, which has no pongs, the value is False."""
        return False

    @property
    def confirms_by_kernel(self) -> bool:
        """Whether bytes that the peer's kernel has acknowledged count as received at any time, as on TCP. Otherwise
        they do so only at the end of the connection."""
        return False

    @property
    def is_page(self) -> bool:
        """Whether the client is a web page."""
        return False

    @property
    def closed_by_page(self) -> bool:
        """Whether a web page has ended this WebSocket with a close frame. The page's browser may have dropped the
        frames that arrived last. Other clients handle such frames, and drop them if they are sent again."""
        return False

    @property
    def drops_events(self) -> bool:
        """Whether the client gets no events, but only replies."""
        return False

    @abstractmethod
    def send(self, frames: tuple[Frame, ...]) -> None:
        """Write whole messages, in order. On a WebSocket, the messages of one event-loop iteration are written
        together, with one system call per 64 KiB. A tuple sent to many sockets in one iteration is framed once. On TCP,
        each message is written alone, as paced. Bytes that the kernel does not accept are buffered (see `unsent`)."""

    def flush(self) -> None:
        """Write everything that was sent in this event-loop iteration."""

    @abstractmethod
    def ping(self) -> None:
        """Send a ping. `ClientHandler.pong_received` reports each pong, in order. On TCP, a pong means that the peer's
        kernel has acknowledged everything sent before."""

    @abstractmethod
    def count_as_flood(self) -> None:
        """Report that the client has exceeded its rate limits. For a while, its address may open fewer new
        connections."""

    @abstractmethod
    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake after everything sent so far. Messages that are received later are dropped, but
        pongs are still reported. On TCP, there are no pongs, and code and reason are not sent. The socket is aborted
        when the peer does not answer within 3 s, or reads nothing for 1 s."""

    @abstractmethod
    def abort(self) -> None:
        """Drop the connection at once."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Until reading is resumed, report nothing that the peer sends, not even pongs and the end of the stream."""

    @abstractmethod
    def resume_reading(self) -> None: ...

    @abstractmethod
    def unsent(self) -> int:
        """The bytes that the kernel has not accepted yet, including the bytes of this event-loop iteration."""

    @abstractmethod
    def unacknowledged(self) -> int | None:
        """The bytes in our buffers and in the kernel's (SIOCOUTQ) that the peer's kernel has not acknowledged. None if
        this number is unknown. It is unknown after a reset, and behind a proxy until the client has replied to our
        close frame."""

    def delays_pongs(self) -> bool:
        """Whether pongs are late for a known reason: our own pacing of messages, or a large frame that is still
        arriving. Called twice a second while a pong is awaited."""
        return False


class ClientHandler(Protocol):
    """Handles the gateway's reports about one socket. `closed` is called exactly once, last."""

    @property
    def line_ending(self) -> bytes:
        """The bytes that end each message on plain TCP."""

    @property
    def is_logged_in(self) -> bool:
        """Whether the client has logged in. Before the login, no message may be larger than a text frame, and the
        gateway reports only the beginning of a larger message."""

    def frame_received(self, frame: Frame) -> None:
        """One whole message has arrived, with its fragments joined into one text or bytes. The text of a WebSocket is
        valid UTF-8."""

    def pong_received(self) -> None: ...

    def input_ended(self) -> None:
        """The socket receives nothing more, but can still send. Either a TCP client has ended its side of the
        connection, or its input is malformed. The handler calls `close` once everything is answered. The gateway calls
        this at most once."""

    def peer_closing(self) -> None:
        """The connection is about to end, for one of three reasons. A close frame or the end of the stream has arrived
        (reported with a delay, so that bytes in transit can arrive). The peer may also have broken the protocol, or not
        have answered our `close` in time. On TCP, it can also mean that everything sent before our `close` has arrived,
        or never will.

        `unacknowledged` still works. Nothing more is received, and nothing sent from now on is delivered. The gateway
        calls this at most once, and not if the connection is reset or aborted."""

    def closed(self) -> None: ...


class Endpoint(Protocol):
    """The interface by which the gateway reports new connections to the edge."""

    def accept(self, handshake: Handshake) -> Accept | Reject: ...

    def connected(self, handshake: Handshake, socket: Socket) -> ClientHandler: ...
