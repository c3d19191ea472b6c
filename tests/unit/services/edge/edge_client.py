"""A client of an edge in memory. It has a fake socket, and sends and receives in the JSON dialect of the tests."""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from services.edge.app import Edge
from services.edge.canonical.frames import Binary, Frame
from services.edge.canonical.transport import ClientHandler, Handshake, Socket
from services.edge.client.endpoint import ConnectionRegistry
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.json_dialect import frame


class FakeSocket(Socket):
    """A fake socket on which a sent frame arrives at once.

    If the peer is `deaf`, its kernel receives nothing. If it is `mute`, it reads, but does not reply to pings or close
    frames. `behind_proxy`, `confirms_by_kernel` and `is_page` may be set.
    """

    behind_proxy = False
    confirms_by_kernel = False
    is_page = False

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.client: ClientHandler
        self.received: list[bytes] = []
        """The received frames. A binary frame is `{"binary": its bytes in base64}`."""
        self.flushed = 0
        """The number of frames that had been received at the last flush."""
        self.pings = 0
        self.reading = True
        self.closed_with: tuple[int, str] | None = None
        self.ended = False
        self.deaf = False
        self.mute = False
        self._undelivered: list[bytes] = []
        self._changed = asyncio.Event()

    def send(self, frames: tuple[Frame, ...]) -> None:
        for one in frames:
            sent = frame(binary=one.data) if isinstance(one, Binary) else one
            if self.ended or self.closed_with is not None:
                continue
            self.sent_bytes += len(sent)
            if self.deaf:
                self._undelivered.append(sent)
            else:
                self.received.append(sent)
        self._changed.set()

    def flush(self) -> None:
        self.flushed = len(self.received)

    def count_as_flood(self) -> None: ...

    def ping(self) -> None:
        self.pings += 1
        self._changed.set()
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
        self._changed.set()

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self.vanish)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def unsent(self) -> int:
        return sum(map(len, self._undelivered))

    @property
    def closed_by_page(self) -> bool:
        return self.is_page and self.closed_with is None

    def unacknowledged(self) -> int | None:
        return None if self.ended or self.behind_proxy else self.unsent()

    # Actions of the peer

    def stop_being_deaf(self) -> None:
        """Makes the peer receive all frames that wait."""
        self.deaf = False
        self.received += self._undelivered
        self._undelivered.clear()
        self._changed.set()

    def receive_one(self) -> None:
        """Makes the peer's kernel receive one frame. The peer stays deaf."""
        self.received.append(self._undelivered.pop(0))
        self._changed.set()

    def leave(self) -> None:
        """Makes the peer close the connection with a closing handshake."""
        if not self.ended:
            self.client.peer_closing()
            self.vanish()

    def vanish(self) -> None:
        """Makes the connection end without a close frame."""
        if not self.ended:
            self.ended = True
            self.client.closed()
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until the condition is true. It is checked after each sent frame, and at the end of the connection."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def dial(endpoint: ConnectionRegistry, path: str) -> FakeSocket:
    """Connects a client at this path."""
    socket = FakeSocket()
    socket.client = endpoint.connected(Handshake(path, "chat.example", "192.0.2.1", False, (), ""), socket)
    return socket


async def reply_to(socket: FakeSocket, frame: str) -> str:
    """Returns the first frame after `frame`."""
    before = len(socket.received)
    socket.client.frame_received(frame.encode())
    await socket.until(lambda: len(socket.received) > before)
    return socket.received[before].decode()


class EdgeClient:
    """One connection in the JSON dialect of the tests."""

    def __init__(
        self,
        endpoint: ConnectionRegistry,
        address: str = "192.0.2.1",
        *,
        is_page: bool = False,
        behind_proxy: bool = False,
    ) -> None:
        self.socket = FakeSocket()
        self.socket.is_page, self.socket.behind_proxy = is_page, behind_proxy
        hello = Handshake("/ws/lines", "chat.example", address, False, (), "")
        self.socket.client = self.client = endpoint.connected(hello, self.socket)
        self._refs = count(1)
        self._seen: list[dict[str, Any]] = []
        self._replies: dict[int, Any] = {}

    @property
    def seen(self) -> list[dict[str, Any]]:
        for text in self.socket.received[len(self._seen) :]:
            fields = msgspec.json.decode(text, type=dict[str, Any])
            self._seen.append(fields)
            if "re" in fields:
                assert self._replies.get(fields["re"]) in (None, "VerificationNeeded") or fields["re"] is None
                self._replies[fields["re"]] = fields.get("ok", fields.get("error"))
        return self._seen

    def send(self, **fields: object) -> int:
        """Sends a frame, and returns the reference that its reply will have."""
        ref = next(self._refs)
        self.client.frame_received(frame(ref=ref, **fields))
        return ref

    async def request(self, **fields: object) -> Any:
        """Sends a request. Returns the `ok` value of its reply, or the error code."""
        return await self.reply_to(self.send(**fields))

    async def reply_to(self, ref: int) -> Any:
        await self.socket.until(lambda: ref in self.replies)
        return self.replies[ref]

    @property
    def replies(self) -> dict[int, Any]:
        """Returns the replies by reference. A second reply is allowed only after a pending verification."""
        assert self.seen is self._seen
        return self._replies

    @property
    def replied_refs(self) -> list[int]:
        """Returns the references in the order of their replies."""
        return [seen["re"] for seen in self.seen if "re" in seen]

    async def login(self, account: int) -> "EdgeClient":
        reply = await self.request(do="login", account=account)
        assert reply == account, reply
        return self

    async def until_synced(self) -> None:
        """Waits until the client has read its missed messages."""
        reading = self.client.session.catch_up.reading
        assert reading is not None
        await asyncio.wait([reading], timeout=WAIT_SECONDS)
        assert reading.done()

    async def post(self, chat: int, text: str) -> int:
        """Posts a text, and returns its index."""
        answer = await self.request(do="post", chat=chat, text=text)
        assert isinstance(answer, list), answer
        index: int = answer[1]
        return index

    @property
    def messages(self) -> list[list[Any]]:
        """Returns [chat, index, sender, text] of each pushed message."""
        return [seen["message"] for seen in self.seen if "message" in seen]

    def texts(self, chat: int) -> list[str]:
        return [text for number, _, _, text in self.messages if number == chat]

    def indexes(self, chat: int) -> list[int]:
        return [index for number, index, _, _ in self.messages if number == chat]

    @property
    def events(self) -> list[tuple[str, Any]]:
        return [(seen["event"], seen["value"]) for seen in self.seen if "event" in seen]

    async def until_texts(self, chat: int, *texts: str) -> None:
        """Waits until exactly these texts were pushed, in this order."""
        await self.socket.until(lambda: len(self.texts(chat)) >= len(texts))
        assert self.texts(chat) == list(texts), f"{self.texts(chat)} instead of {list(texts)}"

    async def until_left(self, edge: Edge, chat: int) -> None:
        """Waits until the edge has noticed that the account is not a member of the chat."""
        local_account = edge.accounts.by_account[self.client.connection.account]
        await until(lambda: chat not in local_account.chats)

    async def until_event(self, kind: str, value: object) -> None:
        await self.socket.until(lambda: (kind, value) in self.events)
