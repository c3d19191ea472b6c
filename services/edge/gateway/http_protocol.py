"""uvicorn's HTTP protocol with limits on the time and size of a request's head. WebSocket upgrades are forwarded to
`upgrade`."""

import asyncio
import sys
from collections.abc import Callable

from httptools import HttpParserUpgrade
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from services.edge.gateway.handshake import HandshakeRequest

_HEAD_BYTES = 16 * 1024
_PIPELINED = 8
"""Requests that wait for the responses to those before them; clients send none."""
_HEAD_END = b"\r\n\r\n"

Upgrade = Callable[[HandshakeRequest, asyncio.Transport, bytes], None]
"""With the bytes that arrived with the end of the request's head."""


class HttpProtocol(HttpToolsProtocol):
    """`seconds`: for receiving one whole request head, and for waiting for the next. `admit`: whether a client of this
    address may connect; `ended` is called with its upgrade or end. `address`: the client's; empty: the peer's."""

    is_flood = False

    def __init__(
        self,
        config: Config,
        state: ServerState,
        upgrade: Upgrade,
        seconds: float,
        admit: "Callable[[HttpProtocol, str], bool]",
        ended: "Callable[[HttpProtocol], None]",
        address: str = "",
    ) -> None:
        super().__init__(config, state, app_state={})
        self._upgrade = upgrade
        self._seconds = seconds
        self._admit = admit
        self._ended = ended
        self._address = address
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._tail = b""
        self._data = b""
        """That is being parsed."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._address:
            self.client = (self._address, 0)
        if self.client is None or not self._admit(self, self.client[0]):
            transport.abort()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        self._ended(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is not None and self._is_too_large(data):
            self.send_400_response("The request's head is too large.")
            return
        self._data = data
        super().data_received(data)
        self._data = b""

    def _is_too_large(self, data: bytes) -> bool:
        """Whether the head is too large. A body that arrives with the end of its head does not count."""
        seen = self._tail + data
        end = seen.find(_HEAD_END)
        self._head_bytes += len(data) if end < 0 else end + len(_HEAD_END) - len(self._tail)
        self._tail = seen[1 - len(_HEAD_END) :]
        return self._head_bytes > _HEAD_BYTES

    def on_headers_complete(self) -> None:
        """Raises ValueError for one request too many, which ends the parsing of what was received, with status 400."""
        self._cancel_deadline()
        if len(self.pipeline) >= _PIPELINED:
            raise ValueError("too many requests at once")
        self.scope["extensions"] = {"dragoman.abort": {"abort": self.transport.abort}}
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:
            self._await_head()

    def handle_websocket_upgrade(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.send_400_response("A request is still being answered.")
            return
        assert self.client is not None
        self.connections.discard(self)
        self._ended(self)
        scope = self.scope
        request = HandshakeRequest(scope["method"], self.url, scope["http_version"], self.headers, self.client[0])
        self._upgrade(request, self.transport, self._after_head())

    def _after_head(self) -> bytes:
        """The base class handles the parser's exception, which has the number of bytes parsed."""
        error = sys.exc_info()[1]
        return self._data[error.args[0] :] if isinstance(error, HttpParserUpgrade) else b""

    def _await_head(self) -> None:
        self._cancel_deadline()
        self._head_bytes = 0
        self._tail = b""
        self._deadline = self.loop.call_later(self._seconds, self._head_timed_out)

    def _head_timed_out(self) -> None:
        if self.transport.get_write_buffer_size():  # the client still reads the last response
            self._await_head()
        else:
            self.transport.abort()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
