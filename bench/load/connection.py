"""One WebSocket connection of a client: frames by picows, words by a tongue, replies in the order of the requests."""

import asyncio
import time
from collections import deque
from typing import Protocol

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.tongues.base import Asked, Reply, Said, Tongue

_TEXT = WSMsgType.TEXT
_HANDSHAKE_SECONDS = 20.0
_CLOSE_SECONDS = 5.0
_BUFFER_BYTES = 2048
_ENDED = "the server ended the connection"


class Trouble(Exception):
    """The server cannot be reached, ended the connection, or said no."""


class Ears(Protocol):
    """Whoever listens to a line."""

    def said(self, said: Said, now: int) -> None:
        """Nanoseconds of the monotonic clock."""

    def answered(self, reply: Reply, now: int) -> None:
        """To what was sent, not asked."""

    def ended(self) -> None:
        """The server, or the network, ended the line."""


class Line(WSListener):
    """`dial` makes one."""

    def __init__(self, tongue: Tongue, ears: Ears) -> None:
        self._heard = tongue.heard
        self._ears = ears
        self._asked: deque[tuple[Asked, asyncio.Future[Reply]]] = deque()
        self._transport: WSTransport | None = None
        self._closing = False

    # Speaking

    def send(self, frame: bytes) -> None:
        assert self._transport is not None
        self._transport.send(_TEXT, frame)

    async def ask(self, frame: bytes, what: Asked, seconds: float = 30.0) -> Reply:
        """Raises Trouble for a refusal, too."""
        if self._transport is None or self._transport.is_disconnected:
            raise Trouble(_ENDED)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked.append((what, future))
        self.send(frame)
        try:
            async with asyncio.timeout(seconds):
                reply = await future
        except TimeoutError:
            raise Trouble(f"no answer to a {what.value} within {seconds:g} s") from None
        if reply.refusal:
            raise Trouble(f"{what.value} refused: {reply.refusal}")
        return reply

    async def close(self) -> None:
        """In order: until the server has closed, what it had sent before still comes, and is known to have come."""
        self._closing = True
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        transport.send_close(WSCloseCode.OK)
        try:
            await asyncio.wait_for(transport.wait_disconnected(), _CLOSE_SECONDS)
        except TimeoutError:
            transport.disconnect(graceful=False)

    def cut(self) -> None:
        """As a network does that breaks."""
        if self._transport is not None:
            self._transport.underlying_transport.abort()

    # What picows calls

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is not _TEXT:
            if frame.msg_type is WSMsgType.CLOSE:
                transport.disconnect()
            return
        heard = self._heard(frame.get_payload_as_bytes())
        if type(heard) is Said:
            self._ears.said(heard, time.monotonic_ns())
        elif type(heard) is Reply:
            self._reply(heard)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        for _, future in self._asked:
            if not future.done():
                future.set_exception(Trouble(_ENDED))
        self._asked.clear()
        if not self._closing:
            self._ears.ended()

    def _reply(self, reply: Reply) -> None:
        if not self._asked:
            return self._ears.answered(reply, time.monotonic_ns())
        what, future = self._asked[0]
        if Asked.ANYTHING in (what, reply.to) or what is reply.to:
            self._asked.popleft()
            if not future.done():
                future.set_result(reply)


class Deaf:
    """Ears of somebody who only waits for what was asked."""

    def said(self, said: Said, now: int) -> None:
        return

    def answered(self, reply: Reply, now: int) -> None:
        return

    def ended(self) -> None:
        return


async def dial(address: str, tongue: Tongue, ears: Ears) -> Line:
    """`address`: ws://host:port of an edge. Raises Trouble."""
    try:
        _, line = await ws_connect(
            lambda: Line(tongue, ears),
            address + tongue.path,
            websocket_handshake_timeout=_HANDSHAKE_SECONDS,
            read_buffer_init_size=_BUFFER_BYTES,
        )
    except (OSError, WSError, TimeoutError) as error:
        raise Trouble(f"{address} cannot be reached: {error}") from error
    if line is None:  # it was lost before anybody looked
        raise Trouble(f"{address} ended the connection")
    assert isinstance(line, Line)
    return line
