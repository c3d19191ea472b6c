"""The clients' ports: HTTP by uvicorn's protocol, WebSockets and plain TCP by ours, accepted and ended as the edge asks
for it."""

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from services.edge.canonical.transport import Endpoint, Handshake, Reject
from services.edge.gateway import handshake, socket_options
from services.edge.gateway.framing import close_frame
from services.edge.gateway.http_protocol import HttpProtocol
from services.edge.gateway.parser import parsers
from services.edge.gateway.proxy_protocol import Introduced, ProxyProtocolReader
from services.edge.gateway.stream_splitter import StreamSplitter
from services.edge.gateway.tcp_stream import TcpConnection
from services.edge.gateway.transport import BaseTransport
from services.edge.gateway.websocket import WebSocket
from services.edge.gateway.write_batch import WriteBatch
from shared.settings import Edge, Limits

_FULL = 1013, "too many connections, try again later"
_REQUESTS_SECONDS = 2.0
_ABORTED_SECONDS = 1.0


class Gateway:
    """`http` is an ASGI application, asked for everything that is no WebSocket. No signal is handled here, and no
    open socket is closed before `close`. Raises ValueError for a trusted proxy that is no network."""

    def __init__(
        self, settings: Edge, limits: Limits, endpoint: Endpoint, http: Callable[..., Any], head_seconds: float = 10.0
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._trusted = handshake.parse_networks(settings.trusted_proxies)
        self._message_bytes = limits.transport_frame_bytes
        self._new_parser = parsers(settings.websocket, limits.transport_frame_bytes)
        self._head_seconds = head_seconds
        self._config = uvicorn.Config(
            http, lifespan="off", ws=WebSocket, log_config=None, log_level="error", access_log=False,
            proxy_headers=False, server_header=False,
        )  # fmt: skip
        self._requests = ServerState()
        self._sockets: set[BaseTransport[Any]] = set()
        self._introductions: set[ProxyProtocolReader] = set()
        self._servers: list[asyncio.Server] = []
        self._turn: WriteBatch | None = None
        self._port = settings.port

    @property
    def port(self) -> int:
        """The one that is listened on, also when the setting leaves it open (0)."""
        return self._port

    async def start(self) -> None:
        """Raises OSError when an address cannot be listened on."""
        loop = asyncio.get_running_loop()
        self._turn = WriteBatch(loop)
        self._config.load()
        listener = socket_options.listen(self._settings.host, self._settings.port)
        self._port = listener.getsockname()[1]
        self._servers.append(await loop.create_server(self._http_comes, sock=listener, backlog=socket_options.BACKLOG))
        if self._settings.tcp_port:
            listener = socket_options.listen(self._settings.host, self._settings.tcp_port)
            socket_options.keep_alive(listener)
            self._servers.append(
                await loop.create_server(self._tcp_comes, sock=listener, backlog=socket_options.BACKLOG)
            )

    def stop_accepting(self) -> None:
        """New connections are refused, and open ones can no longer become WebSockets; open sockets go on."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def close(self) -> None:
        """Abort the sockets that are left, and let HTTP requests that are under way finish, for a moment; then their
        clients are hung up on."""
        self.stop_accepting()
        for socket in list(self._sockets):
            socket.abort()
        for introduction in list(self._introductions):
            introduction.abort()
        for connection in list(self._requests.connections):
            connection.shutdown()
        if not await self._answered(_REQUESTS_SECONDS):
            for connection in list(self._requests.connections):
                connection.transport.abort()
            if not await self._answered(_ABORTED_SECONDS):
                for task in list(self._requests.tasks):
                    task.cancel()
                await self._answered(_ABORTED_SECONDS)
        await asyncio.sleep(0)  # the aborted ones are reported as closed

    async def _answered(self, seconds: float) -> bool:
        """Whether all HTTP requests are, by then."""
        tasks = set(self._requests.tasks)
        return not tasks or not (await asyncio.wait(tasks, timeout=seconds))[1]

    def _http_comes(self) -> asyncio.Protocol:
        """A proxy of HTTP has other ways to say for whom it comes, and need not begin so."""
        return self._introduction(False, self._http_from) if self._trusted else self._doorstep()

    def _http_from(self, transport: asyncio.Transport, address: str, said: bytes) -> None:
        doorstep = self._doorstep()
        transport.set_protocol(doorstep)
        doorstep.connection_made(transport)
        doorstep.client = (address, 0)
        if said:
            doorstep.data_received(said)

    def _doorstep(self) -> HttpProtocol:
        most = self._settings.max_connections
        return HttpProtocol(self._config, self._requests, self._upgrade, self._head_seconds, most)

    def _upgrade(self, request: handshake.HandshakeRequest, transport: asyncio.Transport) -> None:
        hello = handshake.parse_handshake(request, self._trusted)
        answer = handshake.check_request(request) or self._going_down() or self._endpoint.accept(hello)
        if isinstance(answer, Reject):
            transport.write(handshake.reject_response(answer))
            transport.close()
            return
        assert self._turn is not None
        transport.write(handshake.accept_response(request, answer))
        if self._is_full():  # told as a close code, since browsers show their scripts nothing else
            transport.write(close_frame(*_FULL))
            transport.close()
            return
        socket = WebSocket(transport, self._new_parser(), self._message_bytes, self._turn, self._sockets.discard)
        socket.open(self._endpoint, hello)
        self._sockets.add(socket)

    def _introduction(self, demanded: bool, introduced: Introduced) -> ProxyProtocolReader:
        return ProxyProtocolReader(self._trusted, demanded, introduced, self._introductions, self._head_seconds)

    def _tcp_comes(self) -> ProxyProtocolReader:
        return self._introduction(True, self._tcp_from)

    def _tcp_from(self, transport: asyncio.Transport, address: str, said: bytes) -> None:
        if self._going_down() or self._is_full():
            transport.abort()
            return
        assert self._turn is not None
        host = handshake.authority(transport.get_extra_info("sockname")[0], self._port)
        client = handshake.client_address(address, (), ())
        hello = Handshake("/", host, client, secure=False, subprotocols=(), origin="", binary=False)
        pacing = self._settings.tcp_pacing_ms / 1000
        stream = TcpConnection(
            transport, StreamSplitter(self._message_bytes), pacing, self._turn.loop, self._sockets.discard
        )
        stream.open(self._endpoint, hello)
        self._sockets.add(stream)
        if said:
            stream.data_received(said)

    def _going_down(self) -> Reject | None:
        return None if self._servers else Reject(503, "going down, connect again elsewhere")

    def _is_full(self) -> bool:
        return len(self._sockets) >= self._settings.max_connections
