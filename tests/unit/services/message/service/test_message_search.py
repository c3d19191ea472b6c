"""Tests what the service reports about one message, on both databases."""

import pytest

from services.message.service.queries import MessageSearch
from shared.contract.audit import FindMessage
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.model import Role
from shared.contract.session import Member
from shared.database import Database
from shared.settings.messages import MessageSettings
from tests.unit.services.message.service.test_queries import ANN, BOB, CEM, LOFT, ROOM, QueryHarness


@pytest.fixture
def harness(database: Database) -> QueryHarness:
    return QueryHarness(database, MessageSettings(pushed_per_chat=2))


@pytest.fixture
def search(harness: QueryHarness) -> MessageSearch:
    async def nodes(accounts: object) -> dict[AccountId, tuple[NodeId, ...]]:
        return {BOB: (NodeId("edge-1"),)}

    harness.members.append(Member(CEM, Role.MEMBER, 1, 1, 1))
    queries = harness.queries
    return MessageSearch(
        harness.store, queries._member_lists, harness._versions, nodes, MessageSettings(pushed_per_chat=2)
    )


async def test_it_is_found_by_place_id_and_nonce(harness: QueryHarness, search: MessageSearch) -> None:
    await harness.post(ROOM, "12122")
    found = await search.find(FindMessage(ROOM, 4))
    assert (found.chat, found.index, found.sender, found.bytes) == (ROOM, 4, BOB, 1)
    assert found == await search.find(FindMessage(id=found.id)) == await search.find(FindMessage(nonce=found.nonce))
    assert found.nodes == {BOB: ["edge-1"]}
    assert (await search.find(FindMessage(ROOM, 0))).index == 5, "the last one"
    for unknown in (FindMessage(ROOM, 6), FindMessage(id=MessageId(10**6)), FindMessage(nonce=Nonce(10**6))):
        with pytest.raises(RequestError, match="no such message"):
            await search.find(unknown)


async def test_delivery_is_that_of_each_entitled_member(harness: QueryHarness, search: MessageSearch) -> None:
    """Bob sees messages from index 3 on, and those from index 5 on may be unread.

    A login pushes the newest two messages of each chat.
    """
    await harness.post(ROOM, "11131")
    await harness.deliver(ANN, ROOM, (4, 4))
    assert (await search.find(FindMessage(ROOM, 2))).read == {CEM: False}
    assert (await search.find(FindMessage(ROOM, 2))).expired == [CEM]
    found = await search.find(FindMessage(ROOM, 4))
    assert (found.read, found.expired) == ({ANN: True, BOB: True}, [])


async def test_a_chat_without_a_member_list_is_an_error(harness: QueryHarness, search: MessageSearch) -> None:
    await harness.post(ChatId(LOFT), "1")
    with pytest.raises(RequestError, match="no such chat"):
        await search.find(FindMessage(LOFT, 1))
