"""An edge that records what the gateway reports."""

import asyncio
from collections.abc import Callable

from services.edge.canonical.frames import Frame
from services.edge.canonical.transport import Accept, ClientHandler, Handshake, Reject, Socket

SECONDS = 10.0


class Recorded:
    """One client: `events` are its messages and the names of everything else, in order."""

    def __init__(self, hello: Handshake, socket: Socket) -> None:
        self.line_ending = b"\n"
        self.hello = hello
        self.socket = socket
        self.events: list[Frame | str] = []
        self.unacknowledged_at: dict[str, int | None] = {}
        self.on_frame: Callable[[Frame], None] = lambda frame: None
        self.on_end: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    def frame_received(self, frame: Frame) -> None:
        self._record(frame)
        self.on_frame(frame)

    def pong_received(self) -> None:
        self._record("pong")

    def input_ended(self) -> None:
        self._record("input_ended")
        self.on_end()

    def peer_closing(self) -> None:
        self.unacknowledged_at["peer_closing"] = self.socket.unacknowledged()
        self._record("peer_closing")

    def closed(self) -> None:
        self.unacknowledged_at["closed"] = self.socket.unacknowledged()
        self._record("closed")

    def _record(self, event: Frame | str) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, *events: Frame | str) -> None:
        """Wait for these to be all that has happened."""
        async with asyncio.timeout(SECONDS):
            while self.events != list(events):
                self._changed.clear()
                await self._changed.wait()

    async def until_closed(self) -> None:
        async with asyncio.timeout(SECONDS):
            while "closed" not in self.events:
                self._changed.clear()
                await self._changed.wait()


class Recorder:
    """See services.edge.canonical.transport.Endpoint."""

    def __init__(self) -> None:
        self.answer: Accept | Reject = Accept()
        self.hellos: list[Handshake] = []
        self.clients: list[Recorded] = []
        self.on_connected: Callable[[Recorded], None] = lambda client: None
        self._connected = asyncio.Event()

    def accept(self, hello: Handshake) -> Accept | Reject:
        self.hellos.append(hello)
        return self.answer

    def connected(self, hello: Handshake, socket: Socket) -> ClientHandler:
        client = Recorded(hello, socket)
        self.clients.append(client)
        self._connected.set()
        self.on_connected(client)
        return client

    async def client(self, number: int = 0) -> Recorded:
        async with asyncio.timeout(SECONDS):
            while len(self.clients) <= number:
                self._connected.clear()
                await self._connected.wait()
        return self.clients[number]
