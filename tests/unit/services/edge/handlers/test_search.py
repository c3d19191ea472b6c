"""Tests searches to which no service replies."""

import time

import pytest

from services.edge.app import Edge
from services.edge.handlers.history import ClientSearches
from shared.contract import subjects as on
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message, Text
from shared.contract.search import SearchMessages, SearchPage
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.fake_services import FakeService


@pytest.mark.parametrize(("enabled", "text"), [(False, "switched off on this server"), (True, "not available now")])
async def test_a_search_without_a_service_is_rejected_at_once(edge: Edge, enabled: bool, text: str) -> None:
    began = time.monotonic()
    with pytest.raises(RequestError, match=text) as caught:
        await ClientSearches(edge.bus, edge.chats, enabled).search(SearchMessages("word"), AccountId(1))
    assert caught.value.failure.code is ErrorCode.UNAVAILABLE
    assert time.monotonic() - began < WAIT_SECONDS / 2


async def test_an_incomplete_index_is_searched_if_there_is_no_other(cluster: EdgeCluster) -> None:
    edge, service = await cluster.add_edge(), FakeService("search", cluster.nats)
    complete = FakeService("search", cluster.nats)
    searches = ClientSearches(edge.bus, edge.chats, True)

    async def nothing(_: SearchMessages) -> SearchPage:
        return SearchPage([], 0)

    async def all_messages(_: SearchMessages) -> SearchPage:
        return SearchPage([], 5)

    service.bus.serve(on.SEARCH_INCOMPLETE, nothing, queue="search")
    complete.bus.serve(SearchMessages.route, all_messages, queue="search")
    await cluster.run(service.bus)
    assert (await searches.search(SearchMessages("word"), AccountId(1))).page.indexed_to == 0
    await cluster.run(complete.bus)
    assert (await searches.search(SearchMessages("word"), AccountId(1))).page.indexed_to == 5


async def test_messages_around_a_hit_have_their_recipient(cluster: EdgeCluster) -> None:
    account, other, chat = AccountId(1), AccountId(2), ChatId(7)
    await cluster.add_edge()
    cluster.backend.add_chat(chat, account, other)
    device, service = await cluster.client(account), FakeService("search", cluster.nats)
    await device.until_synced()
    edge = cluster.edges[0]
    sequencer = edge.chats.sequencer(chat)
    assert sequencer is not None
    sequencer.pair = account, other
    around = [Message(chat, 1, MessageId(1), other, 1, pack_segments((Text("text"),)), Nonce(1))]

    async def found(_: SearchMessages) -> SearchPage:
        return SearchPage([], 0, around=around)

    service.bus.serve(SearchMessages.route, found, queue="search")
    await cluster.run(service.bus)
    searches = ClientSearches(edge.bus, edge.chats, True)
    answer = await searches.search(SearchMessages("text", context=1), account)
    assert [(shown.message.index, shown.to) for shown in answer.around] == [(1, account)]
