"""One v2 connection that writes down all that happens on it, and matches answers to requests by their order."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.drills.records import Acked, Closed, Denied, Heard, Opened, Record, Said, Told

ASK_SECONDS = 12.0
_ANSWERS = {0: 0, 1: 2, 4: 5, 6: 7, 8: 9, 10: 11, 12: 12, 14: 15, 16: 17, 19: 20}
"""The code of the answer, by that of the request."""
_NOT_NOW = ("try again", "not confirmed in time")
"""How an error says that it is none of the message's fault; whether it was committed is then open."""

numbers = count(1)
"""Connections are numbered through the whole process."""

Journal = Callable[[Record], None]


class Refusal(Exception):
    """The request was answered by an 18."""


@dataclass
class _Waiting:
    """`text` is that of a message, else empty."""

    code: int
    answer: asyncio.Future[dict[str, Any]] | None
    text: str


class Line:
    """Made by `dial`; somebody must `listen` until it ends."""

    def __init__(self, socket: ClientConnection, journal: Journal, device: str, edge: str) -> None:
        self.number = next(numbers)
        self.ocid = 0
        """Whose it is, once it is logged in."""
        self.told: asyncio.Queue[int] = asyncio.Queue()
        """Sessions it was told of, unasked."""
        self._socket = socket
        self._journal = journal
        self._device = device
        self._edge = edge
        self._waiting: deque[_Waiting] = deque()
        self._encode = msgspec.json.encode
        self.decode = msgspec.json.Decoder().decode

    @property
    def unanswered(self) -> int:
        return len(self._waiting)

    # Out

    async def say(self, frame: dict[str, Any], session: int, text: str) -> None:
        self._waiting.append(_Waiting(0, None, text))
        self._journal(Said(time.monotonic(), self.number, session, text))
        await self._socket.send(self._encode(frame), text=True)

    async def ask(self, frame: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request. Raises Refusal, TimeoutError, ConnectionClosed."""
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(_ANSWERS[frame["code"]], answer, ""))
        try:
            await self._socket.send(self._encode(frame), text=True)
        except ConnectionClosed:
            if not answer.cancel():
                answer.exception()  # `listen` was told first
            raise
        async with asyncio.timeout(ASK_SECONDS):
            return await answer

    async def insist(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Ask until it is not refused."""
        while True:
            try:
                return await self.ask(frame)
            except Refusal:
                await asyncio.sleep(0.3)

    async def close(self) -> None:
        """The closing handshake; what arrives before its end is still heard."""
        await self._socket.close()

    # In

    async def listen(self) -> None:
        """Until the connection ends, however it does."""
        try:
            while True:
                self._take(self.decode(await self._socket.recv()))
        except ConnectionClosed as gone:
            if self.ocid:
                self._journal(Closed(time.monotonic(), self.number, gone.rcvd.code if gone.rcvd else 1006))
            for waiting in self._waiting:
                if waiting.answer is not None and not waiting.answer.done():
                    waiting.answer.set_exception(ConnectionClosed(gone.rcvd, gone.sent, gone.rcvd_then_sent))

    def _take(self, frame: dict[str, Any]) -> None:
        code = frame["code"]
        if code == 0:
            self._hear(frame)
        elif code == 18:
            self._refused(frame["details"])
        elif (request := next((one for one in self._waiting if one.code == code), None)) is not None:
            self._answered(request, frame)
        elif code == 9:
            self._journal(Told(time.monotonic(), self.number, int(frame["session_id"])))
            self.told.put_nowait(int(frame["session_id"]))

    def _hear(self, frame: dict[str, Any]) -> None:
        sender, text, msg_id = int(frame["sender"]["ocid"]), frame["msg"][0]["text"], int(frame["msg_id"])
        now = time.monotonic()
        session = int(frame["sender"]["session_id"])
        self._journal(Heard(now, self.number, session, sender, msg_id, text, frame["time"]))
        own = next((one for one in self._waiting if one.text == text), None) if sender == self.ocid else None
        if own is not None:
            self._waiting.remove(own)
            self._journal(Acked(now, self.number, text, msg_id))

    def _refused(self, details: str) -> None:
        """An 18 answers the oldest request that has no answer."""
        request = self._waiting.popleft()
        if request.text:
            unknown = any(words in details for words in _NOT_NOW)
            self._journal(Denied(time.monotonic(), self.number, request.text, details, unknown))
        elif request.answer is not None and not request.answer.done():
            request.answer.set_exception(Refusal(details))

    def _answered(self, request: _Waiting, frame: dict[str, Any]) -> None:
        self._waiting.remove(request)
        if request.code in (5, 7) and frame["status"] == 0:
            self.ocid = int(frame["ocid"])
            self._journal(Opened(time.monotonic(), self.number, self._device, self.ocid, self._edge))
        if request.answer is not None and not request.answer.done():
            request.answer.set_result(frame)


async def dial(url: str, journal: Journal, device: str, edge: str) -> Line:
    """Raises OSError, TimeoutError, websockets.InvalidHandshake."""
    socket = await connect(
        url, compression=None, max_size=None, max_queue=None, open_timeout=3, close_timeout=5, ping_interval=None,
        proxy=None,
    )  # fmt: skip
    return Line(socket, journal, device, edge)
