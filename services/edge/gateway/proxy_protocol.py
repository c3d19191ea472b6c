"""What a connection is until it is known whose it is: a client dials itself, a trusted proxy says first for whom."""

import asyncio
from collections.abc import Callable

from services.edge.gateway import proxy_header
from services.edge.gateway.handshake import Networks, in_networks
from shared.telemetry import log

_log = log(__name__)

Introduced = Callable[[asyncio.Transport, str, bytes], None]
"""Called with the client's address, and with what it has said already."""


class ProxyProtocolReader(asyncio.Protocol):
    """`waiting` holds it while it lasts, for `seconds` at most. Where it is `demanded`, a trusted proxy must say it: if
    it left it out, its clients could say it in its name."""

    def __init__(
        self,
        trusted: Networks,
        demanded: bool,
        introduced: Introduced,
        waiting: "set[ProxyProtocolReader]",
        seconds: float,
    ) -> None:
        self._trusted = trusted
        self._demanded = demanded
        self._introduced = introduced
        self._waiting = waiting
        self._seconds = seconds
        self._head = b""
        self._peer = ""
        self._deadline: asyncio.TimerHandle | None = None

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if peer is None:  # gone already
            transport.abort()
            return
        self._peer = peer[0]
        if not in_networks(self._peer, self._trusted):
            self._introduced(transport, self._peer, b"")
            return
        self._waiting.add(self)
        self._deadline = asyncio.get_running_loop().call_later(self._seconds, self.abort)

    def data_received(self, data: bytes) -> None:
        self._head += data
        try:
            header = proxy_header.parse_proxy_header(self._head)
        except proxy_header.MalformedProxyHeader:
            if self._demanded:
                _log.warning("a trusted proxy does not say for whom it connects", proxy=self._peer)
                self.abort()
                return
            header = proxy_header.NONE
        if header is not None:
            self._end()
            self._introduced(self._transport, header.source or self._peer, self._head[header.bytes :])

    def connection_lost(self, _error: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        self._waiting.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
