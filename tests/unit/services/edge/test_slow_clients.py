"""Clients with slow connections use a real WebSocket."""

import asyncio

import msgspec

from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.gateway.raw import PING, TEXT, RawPeer, masked

PIECES = 60
EVERY_SECONDS = 0.05


async def test_a_client_is_not_dropped_for_a_pong_that_waits_behind_its_own_frame(cluster: EdgeCluster) -> None:
    """A client cannot send a pong within another frame. A large frame takes longer than a pong may take."""
    gateway = await cluster.open_gateway(ping_interval_seconds=0.1, pong_timeout_seconds=0.9)
    frame = masked(TEXT, msgspec.json.encode({"op": "ping", "id": 1, "text": "x" * 60_000}))
    size = len(frame) // PIECES + 1
    async with await RawPeer.dial(gateway.port) as peer:
        await peer.upgrade("/ws/native")
        for start in range(0, len(frame), size):
            peer.send(frame[start : start + size])
            await asyncio.sleep(EVERY_SECONDS)
        assert await peer.frame() == (PING, b"")
        assert b'"re":1' in (await peer.frame())[1]
