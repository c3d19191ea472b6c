"""Messages that their client names: repeated on one connection and on several at once."""

import json
from itertools import count
from typing import Any

import pytest

from services.edge.app import Edge
from services.edge.canonical.transport import Handshake
from services.edge.client.posting import nonce_of
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import PostMessages
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import FakeSocket

ROOM = 7


class NativeClient:
    def __init__(self, edge: Edge) -> None:
        self.socket = FakeSocket()
        hello = Handshake("/ws/native", "chat.example", "192.0.2.1", False, (), "")
        self.socket.client = edge.endpoint.connected(hello, self.socket)
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
    """As entries of an index; each is its own, and another one in another chat."""
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


async def test_a_nonce_is_of_one_account_and_chat(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    rooms = [cluster.backend.add_chat(number, 1, 2) for number in (ROOM, 8)]
    client = await connect(cluster)
    await client.reply(client.send(**draft("n")))
    await client.reply(client.send(**{**draft("n"), "chat": 8}))
    assert [room.head for room in rooms] == [1, 1]
    ((one,), (other,)) = (room.messages for room in rooms)
    assert one.nonce != other.nonce


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
