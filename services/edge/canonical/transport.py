"""The port between the gateway (WebSockets by either library, plain TCP) and the edge behind it.

Everything is synchronous and runs on the event loop; nothing here waits.
"""

from dataclasses import dataclass
from typing import Protocol

from services.edge.canonical.frames import Frame


@dataclass(frozen=True, slots=True)
class Handshake:
    """A client's opening handshake, or what stands for it on plain TCP. `path` is decoded and has no query; `address`
    is the client's, also behind trusted proxies; `host` and `origin` are the headers, or empty."""

    path: str
    host: str
    address: str
    secure: bool
    subprotocols: tuple[str, ...]
    origin: str
    query: str = ""
    binary: bool = True
    """Whether it carries binary messages; plain TCP does not."""

    def base_url(self, public_url: str) -> str:
        """What addresses shown to this client begin with: the public one, or else the one it came by itself."""
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


class Socket(Protocol):
    """One open WebSocket or plain TCP connection, as the edge uses it. After the end every call is a no-op."""

    @property
    def sent_bytes(self) -> int:
        """Of all frames so far, whether the kernel has taken them or not, or never will."""

    def send(self, frames: tuple[Frame, ...]) -> None:
        """Write whole messages, in order. What is sent within one turn of the event loop leaves together, in one
        system call for each 64 KiB; a tuple that goes to many sockets in one turn is framed once. (On TCP, each leaves
        alone, as the pacing has it.) Never blocks: what the kernel does not take is buffered (see `unsent`)."""

    def ping(self) -> None:
        """Pongs come back as `Client.pong_received`, in order. (On TCP, the peer's kernel has acknowledged all that was
        sent before.)"""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake after what was sent. Messages that still come are dropped, pongs are reported.
        (On TCP, code and reason are not told, and there are no pongs.) The socket is aborted when the peer does not
        answer within a few seconds, or reads nothing for one."""

    def abort(self) -> None:
        """Drop the connection at once."""

    def pause_reading(self) -> None:
        """Nothing that the peer sends is reported until reading is resumed: no pongs either, nor the stream's end."""

    def resume_reading(self) -> None: ...

    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet, those of this turn included."""

    def unacknowledged(self) -> int | None:
        """Bytes that the peer's kernel has not acknowledged, ours and the kernel's (SIOCOUTQ); None: unknown, as
        after a reset."""

    def is_paced(self) -> bool:
        """Whether messages wait for their time by our own pacing, and pongs with them."""


class Client(Protocol):
    """The edge's end of one socket: what the gateway reports. `closed` comes exactly once, last."""

    @property
    def line_ending(self) -> bytes:
        """Ends each message on plain TCP."""

    def frame_received(self, frame: Frame) -> None:
        """One whole message (fragments joined): text is `bytes`, binary is `Binary`. A WebSocket's text is valid
        UTF-8."""

    def pong_received(self) -> None: ...

    def input_ended(self) -> None:
        """Nothing more is received, but what is sent is still delivered: a TCP client has ended its side, or what it
        says cannot be read on. `close` is expected once all is answered. Comes at most once."""

    def peer_closing(self) -> None:
        """A close frame or the end of the stream arrived (a moment ago: what was under way had time to arrive), or the
        peer broke the protocol, or (on TCP) what was sent before our `close` has arrived, or never will; the socket can
        still be asked `unacknowledged`. Nothing more is received, and nothing sent from now on is delivered. Comes at
        most once, and not when the connection is reset or aborted."""

    def closed(self) -> None: ...


class Endpoint(Protocol):
    """The edge as the gateway sees it."""

    def accept(self, hello: Handshake) -> Accept | Reject: ...

    def connected(self, hello: Handshake, socket: Socket) -> Client: ...
