"""A stream of events counts as a connection of its address, as a WebSocket does."""

import asyncio
from typing import Any

import pytest

from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.gateway.raw import RawPeer
from tests.unit.services.edge.http.conftest import HttpSite
from tests.unit.services.edge.http.http_client import HttpReply, head_of, request
from tests.unit.services.edge.http.test_operations import EchoServer, server

__all__ = ["server"]

REASON = "too many connections from this address"


@pytest.fixture
def sections() -> dict[str, Any]:
    """Settings with at most two connections for each address. A proxy names the addresses."""
    return {"limits": {"rates": True, "connections_per_address": 2}, "edge": {"trusted_proxies": ["127.0.0.0/8"]}}


async def open_stream(peer: RawPeer, address: str) -> HttpReply:
    peer.send(request("GET", "/api/v1/events", Authorization="Bearer token-1", X_Forwarded_For=address))
    return await head_of(peer)


async def is_admitted(site: HttpSite, address: str) -> bool:
    async with await RawPeer.dial(site.port) as peer:
        return (await open_stream(peer, address)).status == 200


async def test_streams_and_web_sockets_of_an_address_are_counted_together(site: HttpSite, server: EchoServer) -> None:
    async with (
        await RawPeer.dial(site.port) as stream,
        await RawPeer.dial(site.port) as socket,
        await RawPeer.dial(site.port) as rejected,
        await RawPeer.dial(site.port) as other,
    ):
        assert (await open_stream(stream, "192.0.2.1")).status == 200
        await socket.upgrade("/", "X-Forwarded-For: 192.0.2.1")
        assert (await open_stream(rejected, "192.0.2.1")).status == 429
        assert (await open_stream(other, "192.0.2.2")).status == 200
        assert len(site.endpoint.clients) == 3


async def test_a_stream_leaves_no_place_for_web_sockets_until_it_ends(site: HttpSite, server: EchoServer) -> None:
    async with (
        await RawPeer.dial(site.port) as first,
        await RawPeer.dial(site.port) as second,
        await RawPeer.dial(site.port) as socket,
    ):
        for stream in (first, second):
            assert (await open_stream(stream, "192.0.2.1")).status == 200
        await socket.upgrade("/", "X-Forwarded-For: 192.0.2.1")
        assert await socket.closed_with() == (1013, REASON)
        site.endpoint.clients[0].socket.close(1012, "restarting")
        async with asyncio.timeout(WAIT_SECONDS):
            while not await is_admitted(site, "192.0.2.1"):
                await asyncio.sleep(0.01)
