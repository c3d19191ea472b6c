"""Clients have slow connections, or send far more than the edge reads, by a real WebSocket."""

import asyncio
from typing import Any

import msgspec
from websockets.asyncio.client import connect

from shared.contract.ids import ChatId
from shared.contract.message import MarkRead
from shared.contract.session import GetAccount
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.gateway.raw import PING, TEXT, RawPeer, masked
from tests.unit.services.edge.handlers.test_history import PagedMessages
from tests.unit.services.edge.json_dialect import frame

PIECES = 60
EVERY_SECONDS = 0.05


async def test_a_client_is_not_dropped_for_a_pong_that_waits_behind_its_own_frame(cluster: EdgeCluster) -> None:
    """A client cannot send a pong within another frame. A large frame takes longer than a pong may take."""
    gateway = await cluster.open_gateway(ping_interval_seconds=0.1, pong_timeout_seconds=0.9)
    slow = masked(TEXT, msgspec.json.encode({"op": "ping", "id": 1, "text": "x" * 60_000}))
    size = len(slow) // PIECES + 1
    async with await RawPeer.dial(gateway.port) as peer:
        await peer.upgrade("/ws/native")
        for start in range(0, len(slow), size):
            peer.send(slow[start : start + size])
            await asyncio.sleep(EVERY_SECONDS)
        assert await peer.frame() == (PING, b"")
        assert b'"re":1' in (await peer.frame())[1]


async def test_confirmations_behind_unread_frames_are_seen(cluster: EdgeCluster) -> None:
    """A client sends far more than the edge reads. After that, it answers pings."""
    cluster.backend.add_chat(7, 1, 2)
    gateway = await cluster.open_gateway(confirm_interval_seconds=0.2, incoming_frames=16)
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/lines") as client:
        await client.send(frame(ref=0, do="login", account=1).decode())
        await client.recv()
        gate = cluster.session.block(GetAccount)
        for ref in range(1, 101):
            await client.send(frame(ref=ref, do="account", account=2).decode())
        await cluster.session.until_requested(GetAccount)
        await cluster.message.send_texts(7, 2, "news")
        await cluster.message.until_requested(MarkRead)
        assert cluster.backend.undelivered(1, 7) == []
        gate.set()
        replies: list[dict[str, Any]] = []
        while len(replies) < 100:
            fields = msgspec.json.decode(await client.recv())
            replies += [fields] if "re" in fields else []
    accepted = [reply["re"] for reply in replies if "ok" in reply]
    assert accepted == sorted(accepted)
    assert 16 <= len(accepted) < 100
    assert {reply["error"] for reply in replies if "ok" not in reply} == {"rate_limited"}


async def test_a_client_that_reads_gets_all_messages_that_it_fetches(cluster: EdgeCluster) -> None:
    """They are more than may wait for one connection."""
    gateway = await cluster.open_gateway(outgoing_bytes=1024 * 1024)
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.commit_texts(ChatId(7), 1, *("x" * 16_000 for _ in range(600)))
    await cluster.run(PagedMessages(cluster).bus)
    async with connect(f"ws://127.0.0.1:{gateway.port}/ws/pipe") as client:
        await client.send("login|2|right")
        await client.recv()
        await client.send("get_unread_message|")
        assert len([await client.recv() for _ in range(600)]) == 600
        await client.send("get_unread_friend_request|")
        await client.recv()
