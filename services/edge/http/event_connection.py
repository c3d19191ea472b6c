"""A client's connection without a socket, whose events are read as a stream of server-sent events."""

import asyncio
from collections.abc import AsyncGenerator

from services.edge.canonical.transport import Endpoint, Handshake
from services.edge.http.event_positions import EventPositions
from services.edge.http.operation_connection import OperationConnection

_SILENCE_SECONDS = 15.0
"""Proxies end a response that is silent for long."""
_COMMENT = b":\n\n"


class EventConnection(OperationConnection):
    """Lasts until `abort`, or until the edge closes it, as it does when the events are read too slowly."""

    ends_when_idle = False
    is_flood = False

    def __init__(self, endpoint: Endpoint, handshake: Handshake) -> None:
        self._unread: list[bytes] = []
        self._unread_bytes = 0
        self._changed = asyncio.Event()
        self._is_over = False
        super().__init__(endpoint, handshake, lambda _: self._end_stream())

    async def stream(self, positions: EventPositions) -> AsyncGenerator[bytes]:
        """Parts of the response: the events that the reader lacks until the end of the connection, and a comment after
        each silence."""
        while self._unread or not self._is_over:
            try:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                yield _COMMENT
                continue
            self._changed.clear()
            events, self._unread, self._unread_bytes = self._unread, [], 0
            if part := b"".join(_unknown(event, positions) for event in events):
                yield part

    def unsent(self) -> int:
        return self._unread_bytes

    def pushed(self, event: bytes) -> None:
        self._unread.append(event)
        self._unread_bytes += len(event)
        self._changed.set()

    def _end_stream(self) -> None:
        self._is_over = True
        self._changed.set()


def event_block(event: bytes, positions: EventPositions | None = None) -> bytes:
    """`positions`: those after the event, from which the stream may be resumed."""
    return b"%bdata: %b\n\n" % (b"" if positions is None else b"id: %b\n" % str(positions).encode(), event)


def _unknown(event: bytes, positions: EventPositions) -> bytes:
    """Nothing if the reader has the event."""
    is_new, has_moved = positions.advance(event)
    return event_block(event, positions if has_moved else None) if is_new else b""
