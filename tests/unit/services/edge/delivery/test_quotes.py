"""Missed replies get a quote, which has the present text of the quoted message.

If the quote is missing, the reply is not delayed.
"""

import pytest

from services.edge.app import Edge
from services.edge.delivery.quotes import QuoteReader
from shared.contract.body import RECALLED_BODY, pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft, GetHistory, GetQuoted, History, Quoted
from shared.contract.model import Message, Quote, Text
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.fake_services import FakeService

ALICE, BOB, CHAT = AccountId(1), AccountId(2), ChatId(7)
SECONDS = 5.0


class QuotedMessages(FakeService):
    """A message replica that serves quotes. The other replicas are of the previous version and do not."""

    def __init__(self, cluster: EdgeCluster) -> None:
        super().__init__("message", cluster.nats)
        self._room = cluster.backend.chats[CHAT]
        self.bus.serve(GetQuoted.route, self._quoted, queue="message")
        self.bus.serve(GetHistory.route, self._history, queue="message")

    async def _quoted(self, request: GetQuoted) -> Quoted:
        await self.record(request)
        return Quoted([self._room.messages[index - 1] for index in request.indexes])

    async def _history(self, request: GetHistory) -> History:
        if request.actor not in self._room.members:
            raise RequestError(ErrorCode.FORBIDDEN, "not a member")
        return History(self._room.messages[: request.start][-1:], self._room.head)


@pytest.fixture
async def quoted(cluster: EdgeCluster) -> QuotedMessages:
    """Makes two messages of Bob, and a reply to the first one."""
    make_reply(cluster)
    service = QuotedMessages(cluster)
    await cluster.run(service.bus)
    return service


def make_reply(cluster: EdgeCluster) -> None:
    cluster.backend.add_chat(CHAT, ALICE, BOB)
    cluster.session.nicknames[BOB] = "Bob"
    cluster.backend.commit_texts(CHAT, BOB, "first", "second")
    commit_reply(cluster, "yes")


def commit_reply(cluster: EdgeCluster, text: str) -> None:
    nonce = Nonce(len(cluster.backend.chats[CHAT].messages))
    cluster.backend.commit(Draft(BOB, CHAT, nonce, 2**62, pack_segments((Text(text),), reply_to=1)))


async def test_missed_replies_are_quoted_as_the_message_is_now(cluster: EdgeCluster, quoted: QuotedMessages) -> None:
    (alice,) = await cluster.enter(ALICE)
    assert alice.texts(CHAT) == ["first", "second", "> Bob: first\nyes"]
    first = cluster.backend.chats[CHAT].messages[0]
    cluster.backend.chats[CHAT].messages[0] = Message(
        first.chat, first.index, first.id, first.sender, first.time, RECALLED_BODY, first.nonce
    )
    commit_reply(cluster, "no")
    await cluster.message.send_texts(CHAT, BOB, "last")
    await alice.until_texts(CHAT, "first", "second", "> Bob: first\nyes", "> Bob: [撤回]\nno", "last")
    assert [request.indexes for request in quoted.requests_of(GetQuoted)] == [[1], [1]]


async def test_without_quotes_replies_are_shown_all_the_same(cluster: EdgeCluster) -> None:
    """Replicas of the previous version do not serve quotes."""
    make_reply(cluster)
    (alice,) = await cluster.enter(ALICE)
    assert alice.texts(CHAT) == ["first", "second", "yes"]


async def test_messages_without_replies_need_no_request(cluster: EdgeCluster, quoted: QuotedMessages) -> None:
    edge = await cluster.add_edge()
    reader, messages = QuoteReader(edge.bus, "zh"), cluster.backend.chats[CHAT].messages
    assert await reader.of(messages[:2]) == {}
    assert quoted.requests == []
    assert await reader.of(messages) == {(CHAT, 3): Quote("Bob", "first")}


async def test_a_reply_is_to_a_message_that_its_sender_may_see(edge: Edge, quoted: QuotedMessages) -> None:
    reader = QuoteReader(edge.bus, "zh")
    assert await reader.find(CHAT, 2, ALICE) == Quote("Bob", "second")
    with pytest.raises(RequestError) as error:
        await reader.find(CHAT, 4, ALICE)
    assert (error.value.failure.code, error.value.failure.field) == (ErrorCode.NOT_FOUND, "reply_to")
    assert await reader.find(CHAT, 2, AccountId(99)) is None, "its message is rejected by the message service"
