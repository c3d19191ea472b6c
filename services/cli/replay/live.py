"""Plays a record against a running system: sends the client's frames, and compares the server's."""

import asyncio
import difflib
import time
from collections.abc import Iterator

from clients.aio import AsyncConnection, AsyncWebSocket, connect
from clients.codec import CODECS
from clients.codec.events import ServerReply
from services.cli.record_file import Record
from services.cli.replay.comparison import comparable, comparable_live, learn_secrets, substitute
from services.cli.replay.player import make_dialect
from shared.contract.records import RecordedFrame, RecordedOpening

_POLL_SECONDS = 0.01


class LiveReplay:
    """`server`: ws://HOST:PORT. `replacements`: texts of the record and those to send instead. `seconds`: a reply that
    has not come after so long is missing."""

    def __init__(self, server: str, replacements: dict[str, str], seconds: float) -> None:
        self._server = server
        self._replacements = dict(replacements)
        self._back = {new: old for old, new in replacements.items() if comparable(old) == old}
        """Not of secrets: the server's frames are masked."""
        self._seconds = seconds
        self._connections: dict[int, _LiveConnection] = {}

    async def play(self, record: Record) -> None:
        """Raises ClientError, UnreadableRecord."""
        try:
            for event in record.events:
                if isinstance(event, RecordedOpening):
                    await self._open(event)
                elif isinstance(event, RecordedFrame) and event.connection in self._connections:
                    await self._frame(self._connections[event.connection], event)
            for connection in self._connections.values():
                await self._catch_up(connection)
        finally:
            for connection in self._connections.values():
                await connection.close()

    def differences(self) -> Iterator[str]:
        """Of each connection: `-` is in the record alone, `+` is of this server alone."""
        for number, connection in self._connections.items():
            recorded = [comparable(line) for line in connection.recorded]
            live = [substitute(line, self._back) for line in connection.live]
            for line in difflib.unified_diff(recorded, live, "record", self._server, n=2, lineterm=""):
                yield f"#{number} {line}"

    async def _open(self, opening: RecordedOpening) -> None:
        connection = self._connections[opening.connection] = _LiveConnection(opening)
        await connection.open(f"{self._server.rstrip('/')}{'?' if opening.query else ''}{opening.query}")

    async def _frame(self, connection: "_LiveConnection", event: RecordedFrame) -> None:
        if event.by == "server":
            connection.expect(event)
            return
        for other in self._connections.values():
            await self._catch_up(other)
        connection.send(event, self._replacements)

    async def _catch_up(self, connection: "_LiveConnection") -> None:
        """Waits until as many frames have come as in the record, or for too long, then learns the server's tokens."""
        deadline = time.monotonic() + self._seconds
        while not connection.is_complete and time.monotonic() < deadline:  # noqa: ASYNC110 (several things end it)
            await asyncio.sleep(_POLL_SECONDS)
        self._replacements |= connection.learn()


class _LiveConnection:
    """See clients.aio.Listener. Lines of `recorded` and `live` begin with the direction of their frame."""

    def __init__(self, opening: RecordedOpening) -> None:
        self._codec = CODECS[opening.dialect]
        self._dialect = make_dialect(opening)
        self._connection: AsyncConnection | None = None
        self._expected: list[str] = []
        self._received: list[bytes] = []
        self._learned = 0
        self.recorded: list[str] = []
        self.live: list[str] = []

    async def open(self, server: str) -> None:
        self._connection = await connect(server, self._codec, self, bytes)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    @property
    def is_complete(self) -> bool:
        ended = self._connection is not None and self._connection.has_ended
        return ended or len(self._received) >= len(self._expected)

    def expect(self, event: RecordedFrame) -> None:
        text = f"({event.size} bytes)" if event.text is None else event.text
        self._expected.append(text)
        self.recorded.append(f"> {text}")

    def send(self, event: RecordedFrame, replacements: dict[str, str]) -> None:
        connection = self._connection
        assert connection is not None
        if connection.has_ended:
            self.recorded.append(f"< {event.text}")
            return
        line = f"< {event.text or f'({event.size} bytes)'}"
        self.recorded.append(line)
        if event.text is not None:
            connection.send(substitute(event.text, replacements).encode())
        elif event.binary and isinstance(connection, AsyncWebSocket):
            connection.send_binary(bytes(event.size))
        else:
            line = f"< ({event.size} bytes are not in the record: not sent)"
        self.live.append(comparable(line))

    def learn(self) -> dict[str, str]:
        learned: dict[str, str] = {}
        for recorded, live in list(zip(self._expected, self._received, strict=False))[self._learned :]:
            learned |= learn_secrets(recorded, live, self._dialect.mask_secrets)
            self._learned += 1
        return learned

    # clients.aio.Listener

    def received(self, event: object, now: int) -> None:
        frame = event if isinstance(event, bytes) else b""
        self._received.append(frame)
        text = comparable_live(frame, self._dialect.mask_secrets) if frame else "(a binary frame)"
        self.live.append(f"> {text}")

    def replied(self, reply: ServerReply, now: int) -> None:
        """Frames are not decoded to replies here."""

    def ended(self) -> None:
        self.live.append("> (the server closed the connection)")
