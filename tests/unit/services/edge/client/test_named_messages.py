"""Messages that a client has named by a nonce may be repeated, on one connection and on several at the same time."""

import asyncio
import json
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace

from services.edge.app import Edge
from services.edge.client.posts import nonce_of
from shared.contract.body import RECALLED_BODY
from shared.contract.edge import DeliveryBatch
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.message import PostMessages
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import dial

ROOM = 7


class NativeClient:
    def __init__(self, edge: Edge) -> None:
        self.socket = dial(edge.endpoint, "/ws/native")
        self._ids = count(1)

    def send(self, **members: object) -> int:
        number = next(self._ids)
        self.socket.client.frame_received(json.dumps({"id": number, **members}).encode())
        return number

    async def reply(self, number: int) -> dict[str, Any]:
        await self.socket.until(lambda: number in self.replies)
        return self.replies[number]

    @property
    def replies(self) -> dict[int, dict[str, Any]]:
        frames = map(json.loads, self.socket.received)
        return {frame["re"]: frame for frame in frames if "re" in frame}

    @property
    def events(self) -> list[dict[str, Any]]:
        return [frame for frame in map(json.loads, self.socket.received) if "ev" in frame]


async def connect(cluster: EdgeCluster, account: int = 1, edge: Edge | None = None) -> NativeClient:
    client = NativeClient(edge or cluster.edges[0])
    secret = {"scheme": "plain", "value": "right"}
    assert "error" not in await client.reply(client.send(op="login", identifier=str(account), secret=secret))
    return client


def draft(nonce: str, text: str = "hello") -> dict[str, Any]:
    return {"op": "send", "chat": ROOM, "text": text, "nonce": nonce}


def test_nonces_of_uuids_of_one_time_are_neighbours() -> None:
    """In an index, such nonces are neighbours. A name has another nonce in another chat."""
    ms = 0x01A20ACC8CDB
    names = [f"01a20acc-8cdb-7{tail:03x}-8a8b-0aedf58854da" for tail in range(100)]
    nonces = {nonce_of(AccountId(1), ChatId(chat), name) for chat in (5, 6) for name in names}
    assert len(nonces) == 200
    assert {nonce >> 32 for nonce in nonces} == {ms % 2**31}
    assert all(0 <= nonce < 2**63 for nonce in nonces)


@pytest.mark.parametrize(
    "name", ["", "n", "01a20acc-8cdb-4000-8a8b-0aedf58854da", "01a20acc-8cdb-7000-8a8b-0aedf58854da-1"]
)
def test_nonces_of_other_texts_are_spread(name: str) -> None:
    near, far = (nonce_of(AccountId(1), ChatId(chat), name) for chat in (5, 6))
    assert near >> 32 != far >> 32


async def test_one_message_is_posted_under_a_nonce(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    room = cluster.backend.add_chat(ROOM, 1, 2)
    client = await connect(cluster)
    sent = [client.send(**draft("n")), client.send(**draft("m")), client.send(**draft("n")), client.send(**draft("m"))]
    assert [(await client.reply(number))["index"] for number in sent] == [1, 2, 1, 2]
    assert (room.head, [event["ev"] for event in client.events if event["ev"] == "message"]) == (2, [])


async def test_a_message_that_another_connection_is_posting_may_be_sent_again(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    room = cluster.backend.add_chat(ROOM, 1, 2)
    one, other = await connect(cluster), await connect(cluster)
    gate = cluster.message.block(PostMessages)
    first = one.send(**draft("n"))
    await cluster.message.until_received(1)
    error = (await other.reply(other.send(**draft("n"))))["error"]
    assert (error["code"], error["unknown"]) == ("unavailable", True)
    gate.set()
    assert (await one.reply(first))["index"] == 1
    assert (await other.reply(other.send(**draft("n"))))["index"] == 1
    assert (await other.reply(other.send(**draft("m"))))["index"] == 2
    assert room.head == 2


async def test_of_two_messages_with_one_nonce_in_a_pipeline_only_the_stored_one_is_acknowledged(
    cluster: EdgeCluster,
) -> None:
    """The reply of the message service to the first message arrives while the second one is in flight."""
    await cluster.add_edge()
    room = cluster.backend.add_chat(ROOM, 1, 2)
    client = await connect(cluster)
    first, gate = asyncio.Event(), asyncio.Event()

    async def late() -> bool:
        if not first.is_set():
            first.set()
            await gate.wait()
        return True

    cluster.message.on_reply = late
    one = client.send(**draft("n", "one"))
    assert (await client.reply(one))["index"] == 1
    block = cluster.message.block(PostMessages)
    other = client.send(**draft("n", "other"))
    await cluster.message.until_received(2)
    gate.set()
    await cluster.message.until_replied()
    block.set()
    assert (await client.reply(other))["error"]["code"] == "conflict"
    assert room.head == 1


async def test_of_two_messages_with_one_nonce_from_two_edges_only_the_stored_one_is_acknowledged(
    cluster: EdgeCluster,
) -> None:
    edges = [await cluster.add_edge(), await cluster.add_edge()]
    room = cluster.backend.add_chat(ROOM, 1, 2)
    clients = [await connect(cluster, edge=edge) for edge in edges]
    gate = cluster.message.block(PostMessages)
    sent = [client.send(**draft("n", text)) for client, text in zip(clients, ("one", "other"), strict=True)]
    await cluster.message.until_received(2)
    gate.set()
    replies = [await client.reply(number) for client, number in zip(clients, sent, strict=True)]
    assert sorted("error" in reply for reply in replies) == [False, True]
    rejected = 0 if "error" in replies[0] else 1
    assert replies[rejected]["error"]["code"] == "conflict"
    await clients[rejected].socket.until(lambda: "message" in [event["ev"] for event in clients[rejected].events])
    (stored,) = (event for event in clients[rejected].events if event["ev"] == "message")
    assert stored["segments"] == [{"t": "text", "text": ("other", "one")[rejected]}]
    assert room.head == 1


async def test_a_message_that_changes_before_it_is_delivered_is_acknowledged(cluster: EdgeCluster) -> None:
    """The text of the message then differs from the sent text, as if another message had the same nonce."""
    await cluster.add_edge()
    cluster.backend.add_chat(ROOM, 1, 2)
    client = await connect(cluster)

    def recall(node: NodeId, batch: DeliveryBatch) -> list[DeliveryBatch]:
        deliveries = [replace(one, message=replace(one.message, body=RECALLED_BODY)) for one in batch.deliveries]
        return [replace(batch, deliveries=deliveries)]

    cluster.message.on_batch = recall
    assert (await client.reply(client.send(**draft("n"))))["index"] == 1
