"""A connection in the dialect OurChat v2 or IRC that records its events in a journal."""

import asyncio
import time
from collections.abc import Callable
from itertools import count

from dragoman_client.aio import AsyncConnection, connect
from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientRequest, Codec
from dragoman_client.codec.events import (
    ClientEvent,
    NotificationKind,
    ReceivedMessage,
    ReceivedNotification,
    ReplyKind,
    ServerReply,
)
from dragoman_client.errors import RequestRejected
from tests.drills.records import (
    ChatAnnounced,
    Closed,
    MessageAcknowledged,
    MessageReceived,
    MessageRejected,
    MessageSent,
    Opened,
    Record,
)

REPLY_SECONDS = 12.0
_CONNECT_SECONDS = 3.0
_RETRY_SECONDS = 0.3
_UNKNOWN = ("try again", "not confirmed in time")
"""Parts of error texts that do not say whether the message was committed."""
_V2 = CODECS["ourchat-v2"]

numbers = count(1)
"""The numbers of connections, which are unique in this process."""

Journal = Callable[[Record], None]
Decode = Callable[[bytes], ClientEvent]


class RecordedConnection:
    """A connection, and its listener (dragoman_client.aio.Listener). `dial` makes it."""

    def __init__(self, journal: Journal, device: str, edge: str, codec: Codec, decode: Decode) -> None:
        self.number = next(numbers)
        self.ocid = 0
        """The number of the account that is logged in, or 0."""
        self.new_chats: asyncio.Queue[int] = asyncio.Queue()
        """Chats that were announced."""
        self._journal = journal
        self._device = device
        self._edge = edge
        self._codec = codec
        self._decode_frame = decode
        self._unacknowledged: set[str] = set()
        self._connection: AsyncConnection | None = None

    async def connect(self, address: str) -> None:
        """Raises ClientError, TimeoutError."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            self._connection = await connect(address, self._codec, self, self._decode)

    @property
    def unanswered(self) -> int:
        return self._connected.unanswered

    @property
    def _connected(self) -> AsyncConnection:
        assert self._connection is not None
        return self._connection

    # Sending

    def post(self, request: ClientRequest, chat: int) -> None:
        """Sends a message. Its acknowledgement or rejection is recorded later."""
        text = request.echo
        self._unacknowledged.add(text)
        self._journal(MessageSent(time.monotonic(), self.number, chat, text))
        self._connected.start(request).add_done_callback(lambda future: self._posted(text, future))

    def _posted(self, text: str, future: asyncio.Future[ServerReply]) -> None:
        if not future.cancelled() and future.exception() is None and (details := future.result().error):
            unknown = any(words in details for words in _UNKNOWN)
            self._unacknowledged.discard(text)
            self._journal(MessageRejected(time.monotonic(), self.number, text, details, unknown))

    async def request(self, request: ClientRequest) -> ServerReply:
        """Raises ClientError."""
        return await self._connected.request(request, REPLY_SECONDS)

    async def request_until_accepted(self, request: ClientRequest) -> ServerReply:
        while True:
            try:
                return await self.request(request)
            except RequestRejected:
                await asyncio.sleep(_RETRY_SECONDS)

    async def close(self) -> None:
        """Closes the connection with a closing handshake. Frames that arrive before the end are still recorded."""
        await self._connected.close()

    async def wait_ended(self) -> None:
        """Waits until the connection has ended in any way."""
        await self._connected.wait_ended()
        if self.ocid:
            connection = self._connected
            self._journal(Closed(time.monotonic(), self.number, connection.close_code, connection.pong_sent_at))

    # Receiving

    def _decode(self, frame: bytes) -> ClientEvent:
        """Notes which account has logged in before it decodes the frames that follow the login."""
        event = self._decode_frame(frame)
        if isinstance(event, ServerReply) and event.to in (ReplyKind.REGISTRATION, ReplyKind.LOGIN) and not event.error:
            self.ocid = event.number
            self._journal(Opened(time.monotonic(), self.number, self._device, self.ocid, self._edge))
        return event

    def received(self, event: ClientEvent, now: int) -> None:
        match event:
            case ReceivedMessage():
                self._received_message(event)
            case ReceivedNotification(NotificationKind.CHAT_ADDED) | ReceivedNotification(
                NotificationKind.MEMBERSHIP_GRANTED, user=self.ocid
            ):
                self._journal(ChatAnnounced(time.monotonic(), self.number, event.chat))
                self.new_chats.put_nowait(event.chat)

    def _received_message(self, message: ReceivedMessage) -> None:
        now, text = time.monotonic(), message.text
        self._journal(
            MessageReceived(now, self.number, message.chat, message.sender, message.id, text, message.position)
        )
        if message.sender == self.ocid and text in self._unacknowledged:
            self._unacknowledged.remove(text)
            self._journal(MessageAcknowledged(now, self.number, text, message.id))

    def replied(self, reply: ServerReply, now: int) -> None:
        return

    def ended(self) -> None:
        return


async def dial(
    address: str, journal: Journal, device: str, edge: str, codec: Codec = _V2, decode: Decode = _V2.decode
) -> RecordedConnection:
    """Opens a connection. Raises ClientError, TimeoutError."""
    connection = RecordedConnection(journal, device, edge, codec, decode)
    await connection.connect(address)
    return connection
