import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
import uvloop

from services.edge.gateway import Gateway
from services.edge.gateway.open_sockets import client_sockets
from services.edge.gateway.tls import ServerTls
from shared.settings.edge import EdgeSettings
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.gateway.raw import RawPeer
from tests.unit.services.edge.gateway.recording_endpoint import RecordingClient, RecordingEndpoint

MESSAGE_BYTES = 2 * 1024 * 1024


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop of the edge, because the gateway depends on the moment when its transports write and close."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def endpoint() -> RecordingEndpoint:
    return RecordingEndpoint()


async def serve_hello(
    scope: Mapping[str, Any], _receive: object, send: Callable[[Mapping[str, Any]], Awaitable[None]]
) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


Start = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def start(endpoint: RecordingEndpoint) -> AsyncIterator[Start]:
    """A function that starts gateways. They end with the test. Other keyword arguments are settings of the edge."""
    gateways: list[Gateway] = []

    async def start(
        head_seconds: float = 10.0,
        limits: Mapping[str, Any] | None = None,
        tls: ServerTls | None = None,
        app: Any = serve_hello,
        **settings: Any,
    ) -> Gateway:
        edge = EdgeSettings(**{"port": 0, **settings})
        sizes = LimitsSettings(**{"transport_frame_bytes": MESSAGE_BYTES, **(limits or {})})
        gateway = Gateway(edge, sizes, endpoint, app, client_sockets(edge, sizes), tls, head_seconds)
        await gateway.start()
        gateways.append(gateway)
        return gateway

    yield start
    for gateway in gateways:
        await gateway.close()


@pytest.fixture
async def gateway(start: Start) -> Gateway:
    return await start()


@pytest.fixture
async def peer(gateway: Gateway) -> AsyncIterator[RawPeer]:
    """A client on a plain TCP socket, after a valid handshake."""
    async with await RawPeer.open(gateway.port) as peer:
        yield peer


@pytest.fixture
async def client(peer: RawPeer, endpoint: RecordingEndpoint) -> RecordingClient:
    """The edge's side of `peer`."""
    return await endpoint.client()


@pytest.fixture
async def stalled_peer(gateway: Gateway) -> AsyncIterator[RawPeer]:
    """A client like `peer`, but with a small buffer, and without reading."""
    async with await RawPeer.open(gateway.port, receive_buffer=4096) as peer:
        peer.stop_reading()
        yield peer
