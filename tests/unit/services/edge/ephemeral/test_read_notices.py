"""What an account reads on one connection is shown on its others, on two edges."""

from collections.abc import AsyncIterator

import pytest

from services.edge.ephemeral import read_notices
from shared.contract.ephemeral import ReadPlace
from shared.contract.ids import AccountId, ChatId
from tests.unit.services.edge.client.test_named_messages import NativeClient, connect
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient
from tests.unit.services.edge.handlers.test_history import PagedMessages

ANN, BOB, CHAT, OTHER = AccountId(1), AccountId(2), ChatId(5), ChatId(6)


@pytest.fixture
async def ann(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NativeClient]:
    """Logged in at the first of two edges."""
    monkeypatch.setattr(read_notices, "_GATHER_SECONDS", 0.2)
    await cluster.add_edge()
    for chat in (CHAT, OTHER):
        cluster.backend.add_chat(chat, ANN, BOB)
        cluster.backend.commit_texts(chat, BOB, "one", "two", "three")
    pages = PagedMessages(cluster)
    await pages.bus.start()
    yield await connect(cluster)
    await pages.bus.stop()


def shown(client: EdgeClient) -> list[object]:
    return [one["value"] for one in client.seen if one.get("event") == "ChatRead"]


async def read(client: NativeClient, chat: int, index: int) -> None:
    assert await client.reply(number := client.send(op="read", chat=chat, index=index)) == {"re": number}


async def test_other_connections_of_the_account_alone_are_notified(cluster: EdgeCluster, ann: NativeClient) -> None:
    second = await cluster.add_edge()
    clients = [await cluster.client(ANN, edge) for edge in (cluster.edges[0], second)]
    bob = await cluster.client(BOB, second)
    await read(ann, CHAT, 2)
    for client in clients:
        await client.until_event("ChatRead", [CHAT, 2])
    await read(ann, OTHER, 99)
    for client in clients:
        await client.until_event("ChatRead", [OTHER, 3])
        assert shown(client) == [[CHAT, 2], [OTHER, 3]]
    assert (shown(bob), [one for one in ann.events if one["ev"] == "read"]) == ([], [])


async def test_the_highest_place_of_a_moment_is_shown(cluster: EdgeCluster, ann: NativeClient) -> None:
    client = await cluster.client(ANN)
    for index in (1, 3, 2):
        cluster.edges[0]._ephemeral.reads.announce(ReadPlace(ANN, CHAT, index, 0))
    await client.until_event("ChatRead", [CHAT, 3])
    await read(ann, OTHER, 1)
    await client.until_event("ChatRead", [OTHER, 1])
    assert shown(client) == [[CHAT, 3], [OTHER, 1]]
