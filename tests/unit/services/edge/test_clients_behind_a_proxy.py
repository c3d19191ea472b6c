"""Clients are behind a trusted proxy, which acknowledges bytes in their place. So only pongs confirm pushes.

If the proxy is not trusted, its clients count as one client, and the edge logs this.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect

from tests.support.proxy import TcpProxy
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.http.http_client import fetch
from tests.unit.services.edge.json_dialect import frame

ALICE, BOB, ROOM = 1, 2, 7


@pytest.fixture
async def proxy(cluster: EdgeCluster) -> TcpProxy:
    """A proxy before an edge that sends no regular pings."""
    cluster.backend.add_chat(ROOM, ALICE, BOB)
    gateway = await cluster.open_gateway(trusted_proxies=["127.0.0.0/8"], confirm_interval_seconds=1000.0)
    proxy = TcpProxy(gateway.port)
    await proxy.start()
    cluster.stack.push_async_callback(proxy.close)
    return proxy


async def receive(socket: ClientConnection, field: str) -> Any:
    """Returns the next frame with this field."""
    async with asyncio.timeout(WAIT_SECONDS):
        while field not in (seen := msgspec.json.decode(await socket.recv())):
            pass
    return seen[field]


@asynccontextmanager
async def alice(proxy: TcpProxy) -> AsyncIterator[ClientConnection]:
    """Alice, who is logged in. At the end she closes the connection without waiting for the reply."""
    async with connect(f"ws://127.0.0.1:{proxy.port}/ws/lines", proxy=None, close_timeout=0.05) as socket:
        await socket.send(frame(ref=1, do="login", account=ALICE).decode())
        assert await receive(socket, "ok") == ALICE
        yield socket


async def test_messages_that_the_proxy_holds_at_the_client_s_close_stay_unread(
    cluster: EdgeCluster, proxy: TcpProxy
) -> None:
    edge = cluster.edges[0]
    async with alice(proxy):
        (client,) = edge.endpoint.clients.values()
        before = client.socket.sent_bytes
        proxy.down.time_out()
        await cluster.message.send_texts(ROOM, BOB, "held")
        await until(lambda: client.socket.sent_bytes != before)
    await until(lambda: not edge.endpoint.clients)
    assert await edge.read_state.flush()
    assert cluster.backend.undelivered(ALICE, ROOM) == [1]
    proxy.clear()
    async with alice(proxy) as socket:
        assert (await receive(socket, "message"))[-1] == "held"


async def test_a_proxy_that_is_not_trusted_is_counted_and_logged_once(cluster: EdgeCluster) -> None:
    """WebSockets and requests that come through the proxy both count. Those of clients without a proxy do not."""
    gateway = await cluster.open_gateway()
    url = f"ws://127.0.0.1:{gateway.port}/"
    with capture_logs() as logs:
        async with connect(url, proxy=None, additional_headers={"X-Forwarded-For": "192.0.2.1"}):
            pass
        await fetch(
            gateway.port, "POST", "/api/v1/hello", b"{}", Content_Type="application/json", X_Forwarded_For="::2"
        )
        async with connect(url, proxy=None):
            pass
    assert cluster.edges[0].context.metrics.untrusted_proxies._value.get() == 2
    [line] = [line for line in logs if line["log_level"] == "warning"]
    assert (line["address"], line["setting"]) == ("127.0.0.1", "edge.trusted_proxies")
