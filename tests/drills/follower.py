"""A user of the dialect native who comes and goes, gets what it lacks by `sync`, and repeats a message without a reply
under its nonce."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from clients.aio import AsyncConnection, connect
from clients.codec import CODECS
from clients.codec.base import ClientRequest, encode
from clients.codec.events import ClientEvent, ReplyKind, ServerReply
from clients.errors import ClientError, RequestRejected
from tests.drills.device import DrillUser, Edge
from tests.drills.recorded_connection import Journal, numbers
from tests.drills.records import (
    Closed,
    MessageAcknowledged,
    MessageReceived,
    MessageRejected,
    MessageSent,
    Opened,
)

_NATIVE = CODECS["native"]
_CONNECT_SECONDS, _REPLY_SECONDS = 3.0, 12.0
_LONGEST_SLEEP_SECONDS, _LONGEST_STAY_SECONDS = 3.0, 6.0
_RETRY_SECONDS = 0.3
_POST_SECONDS = 0.8
_UNKNOWN = ("unavailable", "limit")
"""Errors after which the same message is sent again."""
_PAGE = 200


class HeldMessages:
    """The messages of one chat in index order, whatever the order in which they arrive."""

    def __init__(self) -> None:
        self.last = 0
        """It has all messages up to this index."""
        self._early: dict[int, dict[str, Any]] = {}

    def add(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """Those that are in order now; a message that it has already is ignored."""
        if message["index"] > self.last:
            self._early[message["index"]] = message
        ready = []
        while (following := self._early.pop(self.last + 1, None)) is not None:
            self.last += 1
            ready.append(following)
        return ready


class Follower:
    """It listens to its connection (clients.aio.Listener). It posts to its chats, one message after the other."""

    def __init__(self, user: DrillUser, edges: Sequence[Edge], journal: Journal) -> None:
        self.account = user.account
        self._places = user.chats
        self._edges = edges
        self._journal = journal
        self._epoch = ""
        self._chats: dict[int, HeldMessages] = {}
        self._edge = ""
        self._number = 0
        """Of the connection, once it is logged in."""
        self._reply: dict[str, Any] = {}
        self._synced = asyncio.Event()
        self._posts = 0
        self._unanswered: tuple[int, str] | None = None
        """Chat and text."""
        self._stopped = False
        self._last_sent = asyncio.Event()

    async def live(self) -> None:
        """Connects, stays for a while, leaves, until cancelled."""
        while True:
            await asyncio.sleep(random.uniform(0, _LONGEST_SLEEP_SECONDS))
            self._number, (self._edge, url) = 0, random.choice(self._edges)
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    connection = await connect(url + _NATIVE.path, _NATIVE, self, self._decode)
            except (ClientError, TimeoutError):
                continue
            await self._stay(connection)

    async def send_last_message(self) -> None:
        """Ends its posts with one that is acknowledged."""
        self._stopped = True
        await self._last_sent.wait()

    async def _stay(self, connection: AsyncConnection) -> None:
        try:
            await connection.request(_NATIVE.login(self.account), _REPLY_SECONDS)
            await self._catch_up(connection)
            leaves_at = time.monotonic() + random.uniform(0, _LONGEST_STAY_SECONDS)
            while time.monotonic() < leaves_at and not connection.has_ended:
                await self._post(connection)
                await asyncio.sleep(_POST_SECONDS)
        except (ClientError, TimeoutError):
            pass
        finally:
            await connection.close()
            if self._number:
                closed = Closed(time.monotonic(), self._number, connection.close_code, connection.pong_sent_at)
                self._journal(closed)

    async def _catch_up(self, connection: AsyncConnection) -> None:
        """Raises ClientError, TimeoutError."""
        self._synced.clear()
        have = {str(chat): [held.last] for chat, held in self._chats.items()}
        reply = await self._call(connection, "sync", epoch=self._epoch, have=have, timeline=5)
        self._epoch = reply["epoch"]
        if reply["reset"]:
            self._chats.clear()  # what comes again violates an invariant
        async with asyncio.timeout(_REPLY_SECONDS):
            await self._synced.wait()
        for chat in reply["chats"]:
            held = self._chats.setdefault(chat["chat"], HeldMessages())
            while held.last < chat["head"]:
                page = {"chat": chat["chat"], "from": held.last + 1, "dir": "newer", "count": _PAGE}
                for message in (await self._call(connection, "history", **page))["messages"]:
                    self._receive(message)

    async def _post(self, connection: AsyncConnection) -> None:
        """Raises ClientError."""
        if self._last_sent.is_set():
            return
        is_last = self._stopped
        if self._unanswered is None:
            self._posts += 1
            self._unanswered = random.choice(self._places), f"{self.account.number}/native {self._posts}"
        chat, text = self._unanswered

        def sent() -> None:
            self._journal(MessageSent(time.monotonic(), self._number, chat, text))

        try:
            reply = await self._call(connection, "send", sent, chat=chat, text=text, nonce=text)
        except RequestRejected as rejected:
            self._unanswered = None
            self._journal(MessageRejected(time.monotonic(), self._number, text, str(rejected), unknown=False))
            return
        self._unanswered = None
        own = {"segments": [{"text": text}], "sender": self.account.number}
        self._receive(reply | own)
        self._journal(MessageAcknowledged(time.monotonic(), self._number, text, reply["id"]))
        if is_last:
            self._last_sent.set()

    async def _call(
        self, connection: AsyncConnection, op: str, sent: Callable[[], None] | None = None, **members: object
    ) -> dict[str, Any]:
        """One call at a time: the last reply is its reply. Retries what may succeed later. `sent`: called before each
        attempt. Raises ClientError."""
        request = ClientRequest(encode({"op": op, "id": op, **members}), ReplyKind.ANY)
        while True:
            if sent:
                sent()
            try:
                await connection.request(request, _REPLY_SECONDS)
                return self._reply
            except RequestRejected:
                if self._reply["error"]["code"] not in _UNKNOWN:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    # Receiving

    def _decode(self, frame: bytes) -> ClientEvent | dict[str, Any]:
        event = _NATIVE.decode(frame)
        if not isinstance(event, ServerReply):
            shown: dict[str, Any] = msgspec.json.decode(frame)
            return shown
        self._reply = msgspec.json.decode(frame)
        if event.to is ReplyKind.LOGIN and not event.error:
            self._number, account = next(numbers), self.account.number
            self._journal(Opened(time.monotonic(), self._number, f"{account}/native", account, self._edge))
        return event

    def received(self, event: Any, now: int) -> None:
        match event["ev"]:
            case "message":
                self._receive(event)
            case "synced":
                self._synced.set()

    def _receive(self, message: dict[str, Any]) -> None:
        for one in self._chats.setdefault(message["chat"], HeldMessages()).add(message):
            text = "".join(segment["text"] for segment in one["segments"])
            self._journal(
                MessageReceived(
                    time.monotonic(), self._number, one["chat"], one["sender"], one["id"], text, one["time"]
                )
            )

    def replied(self, reply: ServerReply, now: int) -> None:
        return

    def ended(self) -> None:
        return
