"""A client in memory: a Socket of the edge's, and what a person with a device does and sees on it."""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from services.edge.app import Edge
from services.edge.canonical.frames import Binary, Frame
from services.edge.canonical.transport import ClientHandler, Handshake
from services.edge.client.endpoint import ConnectionRegistry
from tests.unit.services.edge.json_dialect import frame

PATIENCE_SECONDS = 10.0


class Wire:
    """See services.edge.canonical.transport.Socket. What is sent arrives at once, unless the peer is `deaf` (its
    kernel takes nothing) or `mute` (it reads, and does not answer pings or close frames)."""

    def __init__(self) -> None:
        self.client: ClientHandler
        self.received: list[bytes] = []
        """A binary frame as `{"binary": its bytes in base64}`."""
        self.pings = 0
        self.reading = True
        self.closed_with: tuple[int, str] | None = None
        self.ended = False
        self.deaf = False
        self.mute = False
        self._untaken: list[bytes] = []
        self._something = asyncio.Event()

    def send(self, frames: tuple[Frame, ...]) -> None:
        for one in frames:
            sent = frame(binary=one.data) if isinstance(one, Binary) else one
            if self.ended or self.closed_with is not None:
                continue
            if self.deaf:
                self._untaken.append(sent)
            else:
                self.received.append(sent)
        self._something.set()

    def ping(self) -> None:
        self.pings += 1
        self._something.set()
        if not (self.deaf or self.mute or self.ended):
            asyncio.get_running_loop().call_soon(self.pong)

    def pong(self) -> None:
        if not self.ended:
            self.client.pong_received()

    def close(self, code: int, reason: str) -> None:
        if self.closed_with is None:
            self.closed_with = code, reason
            if not (self.deaf or self.mute):
                asyncio.get_running_loop().call_soon(self.leave)
        self._something.set()

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self.vanish)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    @property
    def sent_bytes(self) -> int:
        return sum(map(len, self.received)) + self.unsent()

    def unsent(self) -> int:
        return sum(map(len, self._untaken))

    def is_paced(self) -> bool:
        return False

    def unacknowledged(self) -> int | None:
        return None if self.ended else self.unsent()

    # The peer's doing

    def hear(self) -> None:
        """Not deaf any more."""
        self.deaf = False
        self.received += self._untaken
        self._untaken.clear()
        self._something.set()

    def take(self) -> None:
        """It is deaf still, but its kernel takes one frame."""
        self.received.append(self._untaken.pop(0))
        self._something.set()

    def leave(self) -> None:
        """It closes in order."""
        if not self.ended:
            self.client.peer_closing()
            self.vanish()

    def vanish(self) -> None:
        """The connection is gone."""
        if not self.ended:
            self.ended = True
            self.client.closed()
        self._something.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that was sent, or the end, makes it true."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self._something.clear()
                await self._something.wait()


class Device:
    """One connection in the dialect of tests."""

    def __init__(self, endpoint: ConnectionRegistry, address: str = "192.0.2.1") -> None:
        self.wire = Wire()
        hello = Handshake("/ws/lines", "chat.example", address, False, (), "")
        self.wire.client = self.client = endpoint.connected(hello, self.wire)
        self._refs = count(1)
        self._seen: list[dict[str, Any]] = []
        self._answers: dict[int, Any] = {}

    @property
    def seen(self) -> list[dict[str, Any]]:
        for text in self.wire.received[len(self._seen) :]:
            fields = msgspec.json.decode(text, type=dict[str, Any])
            self._seen.append(fields)
            if "re" in fields:
                assert self._answers.get(fields["re"]) in (None, "VerificationNeeded") or fields["re"] is None
                self._answers[fields["re"]] = fields.get("ok", fields.get("error"))
        return self._seen

    def say(self, **fields: object) -> int:
        """Send a frame; returns the reference that its answer will carry."""
        ref = next(self._refs)
        self.client.frame_received(frame(ref=ref, **fields))
        return ref

    async def ask(self, **fields: object) -> Any:
        """The answer: what is `ok`, or the error's code."""
        return await self.answer(self.say(**fields))

    async def answer(self, ref: int) -> Any:
        await self.wire.until(lambda: ref in self.answers)
        return self.answers[ref]

    @property
    def answers(self) -> dict[int, Any]:
        """By reference; there is never a second one, save for what was withheld."""
        assert self.seen is self._seen
        return self._answers

    @property
    def answered(self) -> list[int]:
        """References in the order of their answers."""
        return [seen["re"] for seen in self.seen if "re" in seen]

    async def login(self, account: int) -> "Device":
        assert await self.ask(do="login", account=account) == account
        return self

    async def synced(self) -> None:
        """What was missed at login is read."""
        reading = self.client.session.catch_up.reading
        assert reading is not None
        await asyncio.wait([reading], timeout=PATIENCE_SECONDS)
        assert reading.done()

    async def post(self, chat: int, text: str) -> int:
        """The index it got."""
        answer = await self.ask(do="post", chat=chat, text=text)
        assert isinstance(answer, list), answer
        index: int = answer[1]
        return index

    @property
    def messages(self) -> list[list[Any]]:
        """[chat, index, sender, text] of what was pushed."""
        return [seen["message"] for seen in self.seen if "message" in seen]

    def texts(self, chat: int) -> list[str]:
        return [text for number, _, _, text in self.messages if number == chat]

    def indexes(self, chat: int) -> list[int]:
        return [index for number, index, _, _ in self.messages if number == chat]

    @property
    def events(self) -> list[tuple[str, Any]]:
        return [(seen["event"], seen["told"]) for seen in self.seen if "event" in seen]

    async def until_texts(self, chat: int, *texts: str) -> None:
        """Exactly these were pushed, in this order."""
        await self.wire.until(lambda: len(self.texts(chat)) >= len(texts))
        assert self.texts(chat) == list(texts), f"{self.texts(chat)} instead of {list(texts)}"

    async def until_left(self, edge: Edge, chat: int) -> None:
        """The edge has heard that the account is not in the chat any more."""
        resident = edge.accounts.by_account[self.client.connection.account]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while chat in resident.chats:
                await asyncio.sleep(0.002)

    async def until_event(self, kind: str, told: object) -> None:
        await self.wire.until(lambda: (kind, told) in self.events)
