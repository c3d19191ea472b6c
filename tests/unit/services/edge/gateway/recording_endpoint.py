"""An endpoint that records what the gateway reports to it."""

import asyncio
from collections.abc import Callable

from services.edge.canonical.frames import Frame
from services.edge.canonical.transport import Accept, ClientHandler, Handshake, Reject, Socket
from tests.support.waiting import WAIT_SECONDS


class RecordingClient:
    """A client that records. `events` are the received frames and the names of all other reports, in order."""

    def __init__(self, handshake: Handshake, socket: Socket) -> None:
        self.line_ending = b"\n"
        self.is_logged_in = True
        self.handshake = handshake
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
        """Waits until exactly these events have happened."""
        await self._until(lambda: self.events == list(events))

    async def until_closed(self) -> None:
        await self._until(lambda: "closed" in self.events)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def use_after_the_end(self) -> None:
        """Calls all methods of the socket, which must do nothing any more."""
        socket, events = self.socket, [*self.events]
        socket.send((b"x",))
        socket.ping()
        socket.pause_reading()
        socket.resume_reading()
        socket.close(1000, "")
        socket.abort()
        assert (socket.unsent(), socket.unacknowledged()) == (0, None)
        await asyncio.sleep(0.03)
        assert self.events == events


class RecordingEndpoint:
    """See services.edge.canonical.transport.Endpoint."""

    def __init__(self) -> None:
        self.decision: Accept | Reject = Accept()
        self.handshakes: list[Handshake] = []
        self.clients: list[RecordingClient] = []
        self.on_connected: Callable[[RecordingClient], None] = lambda client: None
        self._connected = asyncio.Event()

    def accept(self, handshake: Handshake) -> Accept | Reject:
        self.handshakes.append(handshake)
        return self.decision

    def connected(self, handshake: Handshake, socket: Socket) -> ClientHandler:
        client = RecordingClient(handshake, socket)
        self.clients.append(client)
        self._connected.set()
        self.on_connected(client)
        return client

    async def client(self, number: int = 0) -> RecordingClient:
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.clients) <= number:
                self._connected.clear()
                await self._connected.wait()
        return self.clients[number]
