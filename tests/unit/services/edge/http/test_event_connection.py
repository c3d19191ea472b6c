"""A stream of events counts as a connection of its address, as a WebSocket does."""

import asyncio

import pytest

from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.gateway.raw import RawPeer
from tests.unit.services.edge.http.conftest import HttpSite
from tests.unit.services.edge.http.test_operations import EchoServer, open_stream, server

__all__ = ["server"]


pytestmark = pytest.mark.parametrize(
    "sections",
    [{"limits": {"rates": True, "connections_per_address": 2}, "edge": {"trusted_proxies": ["127.0.0.0/8"]}}],
)
"""At most two connections are permitted for each address. A proxy names the addresses."""


async def is_admitted(site: HttpSite, address: str) -> bool:
    async with await RawPeer.dial(site.port) as peer:
        return (await open_stream(peer, X_Forwarded_For=address)).status == 200


async def test_streams_and_web_sockets_of_an_address_are_counted_together(site: HttpSite, server: EchoServer) -> None:
    async with await RawPeer.dial(site.port) as stream, await RawPeer.dial(site.port) as other:
        assert (await open_stream(stream, X_Forwarded_For="192.0.2.1")).status == 200
        async with await RawPeer.open(site.port, "/", "X-Forwarded-For: 192.0.2.1"):
            assert not await is_admitted(site, "192.0.2.1")
            assert await is_admitted(site, "192.0.2.2")
        async with asyncio.timeout(WAIT_SECONDS):
            while (await open_stream(other, X_Forwarded_For="192.0.2.1")).status != 200:
                await asyncio.sleep(0.01)
        async with await RawPeer.open(site.port, "/", "X-Forwarded-For: 192.0.2.1") as socket:
            assert await socket.closed_with() == (1013, "too many connections from this address")
        site.endpoint.clients[0].socket.close(1012, "restarting")
        async with asyncio.timeout(WAIT_SECONDS):
            while not await is_admitted(site, "192.0.2.1"):
                await asyncio.sleep(0.01)
