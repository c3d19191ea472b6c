"""The only code that reads and writes clients' sockets: WebSockets, plain TCP and HTTP."""

import asyncio
from collections.abc import Callable
from functools import partial
from socket import socket as Socket
from typing import Any, NamedTuple, TypeVar

import uvicorn
from uvicorn.server import ServerState

from services.edge.canonical.transport import Endpoint, Handshake, Reject
from services.edge.gateway import socket_options
from services.edge.gateway.flood import ReceiveBudget
from services.edge.gateway.framing import TRY_LATER, close_frame
from services.edge.gateway.handshake import (
    HandshakeRequest,
    accept_response,
    authority,
    check_request,
    client_address,
    in_networks,
    parse_handshake,
    parse_networks,
    reject_response,
)
from services.edge.gateway.http_protocol import HttpProtocol, RequestLimits, Turns
from services.edge.gateway.open_sockets import AddressLimits, ClientSocket, OpenSockets
from services.edge.gateway.parser import FrameParserPool
from services.edge.gateway.proxy_protocol import ClientReady, ProxyProtocolReader
from services.edge.gateway.stream_splitter import StreamSplitter
from services.edge.gateway.tcp_stream import TcpConnection
from services.edge.gateway.tls import ServerTls, TlsTransport
from services.edge.gateway.websocket import WebSocket, WriteBatch
from shared.errors import StartupError
from shared.settings.edge import EdgeSettings, IrcSettings
from shared.settings.limits import LimitsSettings
from shared.telemetry import log

_log = log(__name__)

C = TypeVar("C", ClientSocket, HttpProtocol, TlsTransport)
_SHARE = 4
"""One address may have at most 1/`_SHARE` of the connections that the edge may have in HTTP, or in TLS handshakes."""
_REQUESTS_SECONDS = 2.0
_ABORTED_SECONDS = 1.0
_IRC_PATH = "/ws/irc"


class TcpPort(NamedTuple):
    """A port for clients without WebSocket. `path`: the path of a WebSocket that stands for the same dialects. `tls`:
    None without encryption."""

    path: str
    tls: ServerTls | None


class Gateway:
    """Opens the ports for clients. `http` is an ASGI application that serves all requests except WebSocket upgrades. It
    may add connections to `sockets`. The gateway handles no signals, and closes open sockets only in `close`.

    The constructor raises ValueError for a trusted proxy that is not a network.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        limits: LimitsSettings,
        endpoint: Endpoint,
        http: Callable[..., Any],
        sockets: OpenSockets[ClientSocket],
        tls: ServerTls | None = None,
        head_seconds: float = 10.0,
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._trusted = parse_networks(settings.trusted_proxies)
        self._limits = limits
        self._new_parser = FrameParserPool(limits.transport_frame_bytes)
        self._tls = tls
        self._head_seconds = head_seconds
        self._request_limits = RequestLimits(head_seconds, limits, Turns())
        self._config = uvicorn.Config(
            http, lifespan="off", ws=WebSocket, log_config=None, log_level="error", access_log=False,
            proxy_headers=False, server_header=False,
        )  # fmt: skip
        self._requests = ServerState()
        most, unopened = settings.max_connections, _unopened_limits(settings, limits)
        self._sockets = sockets
        self._http = OpenSockets[HttpProtocol](most, unopened, self._trusted)
        """The HTTP connections that have not become a WebSocket."""
        self._tls_handshakes = OpenSockets[TlsTransport](most, unopened, self._trusted)
        self._budget = ReceiveBudget(limits.receiving_bytes)
        self._proxy_readers: set[ProxyProtocolReader] = set()
        self._servers: list[asyncio.Server] = []
        self._write_batch: WriteBatch | None = None
        self._port = settings.port

    @property
    def port(self) -> int:
        """The HTTP port in use. It is also known if the setting is 0 (any free port)."""
        return self._port

    async def start(self) -> None:
        """Listen on the ports. Raises OSError if that fails."""
        loop = asyncio.get_running_loop()
        self._write_batch = WriteBatch(loop)
        self._config.load()
        listeners = socket_options.listen(self._settings.host, self._settings.port)
        self._port = listeners[0].getsockname()[1]
        for listener in listeners:
            await self._serve(listener, self._new_http_connection)
        if self._settings.tcp_port:
            await self._serve_tcp(self._settings.host, self._settings.tcp_port, TcpPort("/", self._tls))

    async def start_irc(self, settings: IrcSettings) -> None:
        """Listen on the ports that only IRC clients use. Raises OSError if that fails, and StartupError without the
        certificate that TLS needs."""
        if settings.tls_port and self._tls is None:
            raise StartupError("irc.tls_port needs a certificate", "Set edge.tls_certificate")
        if settings.port:
            await self._serve_tcp(settings.host, settings.port, TcpPort(_IRC_PATH, None))
        if settings.tls_port:
            await self._serve_tcp(self._settings.host, settings.tls_port, TcpPort(_IRC_PATH, self._tls))

    async def _serve_tcp(self, host: str, port: int, kind: TcpPort) -> None:
        for listener in socket_options.listen(host, port):
            socket_options.keep_alive(listener)
            await self._serve(listener, partial(self._new_tcp_connection, kind))

    async def _serve(self, listener: Socket, new_connection: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(new_connection, sock=listener, backlog=socket_options.BACKLOG))

    def stop_accepting(self) -> None:
        """Reject new connections and WebSocket upgrades. Open sockets stay open."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def close(self) -> None:
        """Abort the remaining sockets. HTTP requests in flight may finish within 2 s, and are then aborted, too."""
        self.stop_accepting()
        for socket in self._sockets:
            socket.abort()
        for reader in list(self._proxy_readers):
            reader.abort()
        for handshake in self._tls_handshakes:
            handshake.abort()
        for connection in list(self._requests.connections):
            connection.shutdown()
        if not await self._requests_finished(_REQUESTS_SECONDS):
            for connection in list(self._requests.connections):
                connection.transport.abort()
            if not await self._requests_finished(_ABORTED_SECONDS):
                for task in list(self._requests.tasks):
                    task.cancel()
                await self._requests_finished(_ABORTED_SECONDS)
        await asyncio.sleep(0)  # in this pause, the event loop closes the aborted sockets

    async def _requests_finished(self, seconds: float) -> bool:
        """Wait for the HTTP requests in flight. Returns whether all have finished."""
        tasks = set(self._requests.tasks)
        return not tasks or not (await asyncio.wait(tasks, timeout=seconds))[1]

    def _new_http_connection(self) -> asyncio.Protocol:
        """Make the protocol of an HTTP connection. The PROXY protocol is optional here, because an HTTP proxy may send
        the client's address in a header."""
        plain = not self._trusted and self._tls is None
        return self._http_protocol() if plain else self._proxy_reader(False, self._start_http, self._tls)

    def _start_http(self, transport: asyncio.Transport, address: str, received: bytes) -> None:
        protocol = self._http_protocol(address)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if received and not transport.is_closing():
            protocol.data_received(received)

    def _http_protocol(self, address: str = "") -> HttpProtocol:
        return HttpProtocol(
            self._config, self._requests, self._upgrade, self._request_limits,
            self._admit_http, self._http.discard, address,
        )  # fmt: skip

    def _admit_http(self, protocol: HttpProtocol, address: str) -> bool:
        if self._reason_to_reject(self._http, address):
            return False
        self._http.add(protocol, address)
        return True

    def _upgrade(self, request: HandshakeRequest, transport: asyncio.Transport, received: bytes) -> None:
        handshake = parse_handshake(request, self._trusted, encrypted=self._tls is not None)
        decision = check_request(request) or self._shutdown_rejection() or self._endpoint.accept(handshake)
        if isinstance(decision, Reject):
            transport.write(reject_response(decision))
            transport.close()
            return
        assert self._write_batch is not None
        transport.write(accept_response(request, decision))
        if reason := self._reason_to_reject(self._sockets, handshake.address):
            # The WebSocket is rejected by a close code, because browsers do not show an HTTP status to the scripts of a
            # page.
            transport.write(close_frame(TRY_LATER, reason))
            transport.close()
            return
        peer = transport.get_extra_info("peername")
        socket = WebSocket(
            transport, self._new_parser(), self._limits, self._budget, self._write_batch, self._sockets.discard,
            behind_proxy=peer is not None and in_networks(peer[0], self._trusted),
        )  # fmt: skip
        socket.binary_texts = decision.binary
        socket.open(self._endpoint, handshake)
        self._sockets.add(socket, handshake.address)
        if received:
            socket.data_received(received)

    def _proxy_reader(self, required: bool, client_ready: ClientReady, tls: ServerTls | None) -> ProxyProtocolReader:
        ready = client_ready if tls is None else self._after_handshake(tls, client_ready)
        return ProxyProtocolReader(self._trusted, required, ready, self._proxy_readers, self._head_seconds)

    def _after_handshake(self, tls: ServerTls, client_ready: ClientReady) -> ClientReady:
        """Let a TLS handshake follow. The header of the PROXY protocol precedes this handshake."""

        def start_handshake(transport: asyncio.Transport, address: str, received: bytes) -> None:
            if self._reason_to_reject(self._tls_handshakes, address):
                transport.abort()
                return
            secure = TlsTransport(
                transport, tls.context, lambda done: client_ready(done, address, b""), self._tls_handshakes.discard,
                self._head_seconds,
            )  # fmt: skip
            self._tls_handshakes.add(secure, address)
            if received:
                secure.data_received(received)

        return start_handshake

    def _new_tcp_connection(self, port: TcpPort) -> ProxyProtocolReader:
        return self._proxy_reader(True, partial(self._start_tcp, port.path), port.tls)

    def _start_tcp(self, path: str, transport: asyncio.Transport, address: str, received: bytes) -> None:
        assert self._write_batch is not None
        client = client_address(address, (), ())
        if self._shutdown_rejection() or self._reason_to_reject(self._sockets, client):
            transport.abort()
            return
        host = authority(transport.get_extra_info("sockname")[0], self._port)
        handshake = Handshake(
            path, host, client, secure=self._tls is not None, subprotocols=(), origin="", binary=False
        )
        pacing = self._settings.tcp_pacing_ms / 1000
        limits = self._limits
        splitter = StreamSplitter(limits.transport_frame_bytes, limits.text_frame_bytes + 1)
        connection = TcpConnection(
            transport, splitter, limits, self._budget, pacing, self._write_batch.loop, self._sockets.discard
        )
        connection.open(self._endpoint, handshake)
        self._sockets.add(connection, client)
        if received:
            connection.data_received(received)

    def _reason_to_reject(self, sockets: OpenSockets[C], address: str) -> str:
        assert self._write_batch is not None
        return sockets.reason_to_reject(address, self._write_batch.loop.time())

    def _shutdown_rejection(self) -> Reject | None:
        return None if self._servers else Reject(503, "shutting down, please reconnect")


def _unopened_limits(settings: EdgeSettings, limits: LimitsSettings) -> AddressLimits | None:
    """The limits for connections that are not open as a WebSocket. An address may open twice as many connections as it
    may send requests, because a request over the rate gets a response."""
    rate, burst = 2 * limits.page_requests_per_second, 2 * limits.page_requests_burst
    return AddressLimits(-(-settings.max_connections // _SHARE), rate, burst) if limits.rates else None
