"""The message service is overloaded. Excess messages are rejected soon and in order, and nothing else is affected."""

import asyncio
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect

from services.edge.client import inbox
from shared.contract.message import MarkRead, PostMessages
from shared.contract.session import GetAccount
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.json_dialect import frame

TIMES = 60
_EVERY_SECONDS = 0.02


async def test_replies_keep_their_order_and_accepted_messages_are_delivered(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "_QUEUE_DELAY_LIMIT_SECONDS", 0.1)
    alice, bob = await cluster.chat(1, 2)
    record, before = cluster.message.record, len(alice.replied_refs)

    async def slowly(request: object) -> None:
        await asyncio.sleep(0.2 if isinstance(request, PostMessages) else 0.0)
        await record(request)

    monkeypatch.setattr(cluster.message, "record", slowly)
    references = []
    for number in range(TIMES):
        references.append(alice.send(do="post", chat=7, text=f"{number}"))
        await asyncio.sleep(_EVERY_SECONDS)
    await alice.socket.until(lambda: len(alice.replied_refs) == before + TIMES)
    assert alice.replied_refs[before:] == references
    replies = [alice.replies[reference] for reference in references]
    accepted = [str(number) for number, reply in enumerate(replies) if reply != "unavailable"]
    assert 0 < len(accepted) < TIMES
    await bob.until_texts(7, *accepted)
    monkeypatch.setattr(cluster.message, "record", record)
    assert await alice.post(7, "later") == len(accepted) + 1


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
