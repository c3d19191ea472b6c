"""One open WebSocket.

It may send until a close frame is sent or received, and receives until one is received or the stream ends. A peer that
breaks the protocol is told why and then heard out for a moment: closing a TCP connection with unread bytes resets it,
and the close frame would be lost with it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from services.edge.canonical.frames import Frame
from services.edge.gateway.fragments import FragmentAssembler
from services.edge.gateway.framing import (
    CLOSE,
    PING,
    PONG,
    ParsedFrame,
    close_echo,
    close_frame,
    frame_bytes,
    message_bytes,
    parse_single_close,
    parse_single_text,
)
from services.edge.gateway.parser import FrameParser
from services.edge.gateway.transport import BaseTransport
from services.edge.gateway.write_batch import WriteBatch

_PONGS_BYTES = 64 * 1024
"""Unsent bytes of a peer, above which its pings are not answered."""
_AT_ONCE_BYTES = 64 * 1024
"""Written without waiting for the turn's end."""
_ARRIVING_SECONDS = 0.25
"""For what was sent just before the peer's close frame came, to be acknowledged."""
_LOOK_SECONDS = 0.01


class WebSocket(BaseTransport[ParsedFrame]):
    __slots__ = ("_frames", "_messages", "_outgoing", "_parting", "_turn")

    def __init__(
        self,
        transport: asyncio.Transport,
        parser: FrameParser,
        message_bytes: int,
        turn: WriteBatch,
        ended: Callable[[BaseTransport[Any]], None],
    ) -> None:
        super().__init__(transport, parser, turn.loop, ended)
        self._frames = parser
        self._messages = FragmentAssembler(message_bytes)
        self._turn = turn
        self._outgoing: list[bytes] = []
        self._parting = False

    # services.edge.canonical.transport.Socket

    def send(self, frames: tuple[Frame, ...]) -> None:
        if self._sending:
            known = self._turn.framed_cache.get(id(frames))
            self._write(self._turn.framed(frames) if known is None else known[1])
        else:
            lost = sum(len(message_bytes(frame)) for frame in frames)
            self.sent_bytes += lost
            self._lost_bytes += lost

    def ping(self) -> None:
        if self._sending:
            self._write(frame_bytes(PING, b""))

    def close(self, code: int, reason: str) -> None:
        if not self._sending:
            return
        self._write(close_frame(code, reason))
        self._sending = False
        self.flush()
        self._give_up_later()
        self.resume_reading()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """What is one text and nothing else, or a close frame, goes past the parser, if nothing unfinished comes before
        it."""
        messages = self._messages
        if not (self._sending and self._receiving and self._frames.is_idle and messages.is_idle):
            super().data_received(data)
            return
        try:
            if (text := parse_single_text(data, messages.limit)) is not None:
                self._client.frame_received(text)
            elif (farewell := parse_single_close(data)) is not None:
                self._peer_closes(farewell)
            else:
                super().data_received(data)
        except Exception:
            self._client_failed()

    def eof_received(self) -> bool:
        """Unless it is parting already, the transport closes itself when what is left is written."""
        if not self._parting:
            self._peer_ends()
            self._sending = False
            self.flush()
            self._give_up_later()
        return self._parting

    def connection_lost(self, error: Exception | None) -> None:
        self._outgoing, self._outgoing_bytes = [], 0
        super().connection_lost(error)

    # Out

    def flush(self) -> None:
        outgoing = self._outgoing
        if outgoing:
            self._outgoing, self._outgoing_bytes = [], 0
            self._transport.write(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))

    def _write(self, data: bytes) -> None:
        if not self._outgoing:
            self._turn.flush_later(self)
        self._outgoing.append(data)
        self._outgoing_bytes += len(data)
        self.sent_bytes += len(data)
        if self._outgoing_bytes > _AT_ONCE_BYTES:
            self.flush()

    # In

    def _handle(self, item: ParsedFrame) -> None:
        opcode = item.opcode
        if opcode < CLOSE:
            message = self._messages.add(item)
            if message is not None and self._sending:
                self._client.frame_received(message)
        elif opcode == PONG:
            self._client.pong_received()
        elif opcode == CLOSE:
            self._peer_closes(item.payload)
        elif self._sending and self.unsent() < _PONGS_BYTES:
            self._write(frame_bytes(PONG, item.payload))

    # The end

    def _peer_closes(self, payload: bytes) -> None:
        """Nothing is sent any more. What was sent last may still be under way, and the peer's kernel is given a moment
        to say that it has it: the edge takes its word for what has arrived."""
        echo = close_echo(payload) if self._sending else b""
        self._receiving = self._sending = False
        self._parting = True
        self.flush()
        if self._timer is not None:
            self._timer.cancel()
        self._part(echo, self._loop.time() + _ARRIVING_SECONDS)

    def _part(self, echo: bytes, deadline: float) -> None:
        self._timer = None
        if self._under_way() and self._loop.time() < deadline:
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._part, echo, deadline)
            return
        self._parting = False
        try:
            self._client.peer_closing()
        finally:
            self._transport.write(echo)
            self._transport.close()
            self._give_up_later()

    def _peer_ends(self) -> None:
        if self._receiving:
            self._receiving = False
            self._client.peer_closing()

    def _fail(self, code: int, reason: str) -> None:
        if self._transport.is_closing():
            return
        self._peer_ends()
        if self._sending:
            self._write(close_frame(code, reason))
            self._sending = False
        self.flush()
        self._transport.write_eof()
        self._transport.resume_reading()
        self._give_up_later()
