"""A client receives one page of the history. The edge needs several replies of the services for it."""

import pytest

from services.edge.app import Edge
from services.edge.canonical.commands import FetchUnread
from services.edge.canonical.replies import MessagePage
from services.edge.client.client import Client
from services.edge.delivery.quotes import QuoteReader
from services.edge.handlers.accounts import Forwarder
from services.edge.handlers.history import MessageHistory
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHistory, GetUnread, History, SyncChat, Unread
from shared.contract.model import Chat, ChatKind, JoinPolicy
from shared.contract.session import ChatViews, ChatWithMembers, ListChatViews
from tests.support.waiting import until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import FakeSocket, dial, reply_to
from tests.unit.services.edge.fake_services import FakeService
from tests.unit.services.edge.json_dialect import JsonDialect

ME, OTHER, CHAT = AccountId(1), AccountId(2), ChatId(7)
A_REPLY = 3


class PagedMessages(FakeService):
    """A fake message service with at most three messages in a reply. One of an earlier version does not know the field
    `sent`."""

    def __init__(self, cluster: EdgeCluster) -> None:
        super().__init__("message", cluster.nats)
        self._backend = cluster.backend
        self.is_earlier = False
        self.bus.serve(GetHistory.route, self._history, queue="message")
        self.bus.serve(GetUnread.route, self._unread, queue="message")

    async def _history(self, request: GetHistory) -> History:
        await self.record(request)
        messages = self._backend.chats[request.chat].messages
        start = request.start if request.start > 0 else len(messages) + 1 + request.start
        found = messages[start - 1 :: -1] if request.older else messages[start - 1 :]
        found = found[: request.count]
        unread = None if request.read_to is None else (max(0, len(messages) - request.read_to), 0)
        read = min(request.read_to or 0, len(messages))
        return History(found[:A_REPLY], len(messages), more=len(found) > A_REPLY, unread=unread, read=read)

    async def _unread(self, request: GetUnread) -> Unread:
        await self.record(request)
        sent = [] if self.is_earlier else request.sent.get(CHAT, [])
        undelivered = self._backend.undelivered(request.account, CHAT)
        unread = [index for index in undelivered if not any(low <= index <= high for low, high in sent)]
        messages = [self._backend.chats[CHAT].messages[index - 1] for index in unread]
        return Unread(len(unread), messages[: min(A_REPLY, request.count)], {CHAT: (ME, OTHER)})


class PagedChats(FakeService):
    """A fake session service with seven chats, and at most three in a reply."""

    def __init__(self, cluster: EdgeCluster) -> None:
        super().__init__("session", cluster.nats)
        self.bus.serve(ListChatViews.route, self._chats, queue="session")

    async def _chats(self, request: ListChatViews) -> ChatViews:
        await self.record(request)
        numbers = range(request.after + 1, min(request.after + A_REPLY, 7) + 1)
        chats = [
            Chat(id=ChatId(one), kind=ChatKind.GROUP, name="", owner=ME, join_policy=JoinPolicy.OPEN) for one in numbers
        ]
        return ChatViews([ChatWithMembers(chat, []) for chat in chats], more=request.after + A_REPLY < 7)


@pytest.fixture
async def reader(cluster: EdgeCluster) -> PagedMessages:
    """A message service in which eight messages of another account are unread."""
    await cluster.add_edge()
    cluster.backend.add_chat(CHAT, ME, OTHER)
    cluster.backend.commit_texts(CHAT, OTHER, *(f"text {number}" for number in range(1, 9)))
    reader = PagedMessages(cluster)
    await cluster.run(reader.bus)
    return reader


def history(edge: Edge) -> MessageHistory:
    quotes = QuoteReader(edge.bus, "zh")
    return MessageHistory(edge.bus, edge.accounts, edge.chats, edge.read_state, quotes, edge.left_out)


def indexes(page: MessagePage) -> list[int]:
    return [shown.message.index for shown in page.messages]


@pytest.mark.parametrize(("start", "count", "older", "expected", "replies"), [
    (-1, 8, True, [8, 7, 6, 5, 4, 3, 2, 1], 3), (-2, 4, True, [7, 6, 5, 4], 2), (3, 20, True, [3, 2, 1], 1),
    (1, 200, False, [1, 2, 3, 4, 5, 6, 7, 8], 3), (2, 6, False, [2, 3, 4, 5, 6, 7], 2), (8, 1, False, [8], 1),
    (9, 5, False, [], 1),
])  # fmt: skip
async def test_history_is_fetched_over_several_replies(
    cluster: EdgeCluster, reader: PagedMessages, start: int, count: int, older: bool, expected: list[int], replies: int
) -> None:
    page = await history(cluster.edges[0]).fetch(GetHistory(CHAT, start, count, older), ME)
    assert indexes(page) == expected
    assert [shown.summary.nickname for shown in page.messages if shown.summary] == ["name-2"] * len(expected)
    assert len(reader.requests_of(GetHistory)) == replies


@pytest.mark.parametrize(("count", "expected"), [(None, 8), (20, 8), (8, 8), (7, 7), (3, 3), (1, 1), (0, 0)])
async def test_unread_messages_are_fetched_over_several_replies(
    cluster: EdgeCluster, reader: PagedMessages, count: int | None, expected: int
) -> None:
    messages = history(cluster.edges[0])
    page = await messages.fetch(FetchUnread(count), ME)
    assert indexes(page) == list(range(1, expected + 1))
    assert [shown.to for shown in page.messages] == [ME] * expected
    again = await messages.fetch(FetchUnread(None), ME, fetched={CHAT: [(1, expected)]})
    assert indexes(again) == list(range(expected + 1, 9))


@pytest.mark.parametrize("arrives", [True, False])
async def test_fetched_messages_are_delivered_when_the_reply_has_arrived(
    cluster: EdgeCluster, reader: PagedMessages, arrives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeSocket, "behind_proxy", True)  # the end of the connection confirms nothing
    wire = dial(cluster.edges[0].endpoint, "/ws/pipe")
    await reply_to(wire, f"login|{ME}|right")
    wire.mute = True
    for shown in ([1, 2, 3, 4], [5, 6, 7, 8], []):
        wire.received.clear()
        wire.client.frame_received(b"get_unread_message|4")
        wire.client.frame_received(b"dance|")  # its reply, an error, comes last
        await wire.until(lambda: any(one.startswith(b"error") for one in wire.received))
        assert [f"text {index}".encode() in b"".join(wire.received) for index in range(1, 9)] == [
            index in shown for index in range(1, 9)
        ]
    if arrives:
        wire.pong()
        wire.pong()
    wire.vanish()
    await cluster.edges[0].read_state.flush()
    assert cluster.backend.undelivered(ME, CHAT) == ([] if arrives else list(range(1, 9)))


async def test_messages_just_read_on_another_node_are_not_unread(cluster: EdgeCluster, reader: PagedMessages) -> None:
    here, there = cluster.edges[0], await cluster.add_edge()
    await cluster.client(ME, there)
    cluster.backend.commit_texts(CHAT, OTHER, "nine", "ten")
    there.read_state.mark_delivered(ME, {CHAT: [(10, 10)]})
    assert indexes(await history(here).fetch(FetchUnread(None), ME)) == [9]


async def test_messages_that_will_be_pushed_are_not_fetched(cluster: EdgeCluster, reader: PagedMessages) -> None:
    device = await cluster.client(ME)
    await device.until_synced()
    cluster.backend.commit_texts(CHAT, OTHER, "nine")
    assert indexes(await history(cluster.edges[0]).fetch(FetchUnread(None), ME)) == []
    await (await cluster.client(OTHER)).post(CHAT, "ten")
    await device.until_texts(CHAT, *(f"text {number}" for number in range(1, 9)), "nine", "ten")


async def test_missed_messages_that_the_client_fetches_are_fetched(
    cluster: EdgeCluster, reader: PagedMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot of the login contains a message for which the chat on this node still waits."""
    monkeypatch.setattr(JsonDialect, "gets_missed", False)
    edge = cluster.edges[0]
    await (await cluster.client(OTHER)).until_synced()
    cluster.message.block(SyncChat)
    cluster.backend.commit_texts(CHAT, OTHER, "nine")
    await cluster.client(ME)
    local = edge.accounts.get(ME)
    assert local is not None
    (client,) = local.recipients
    assert isinstance(client, Client)
    await until(lambda: CHAT in local.chats)
    sequencer = edge.chats.sequencer(CHAT)
    assert sequencer is not None
    assert sequencer.head == 8
    page = await history(edge).fetch(FetchUnread(None), ME, client.session.catch_up.unpushed_to)
    assert indexes(page) == list(range(1, 10))


async def test_a_message_service_of_an_earlier_version_sends_messages_again_and_they_are_returned_once(
    cluster: EdgeCluster, reader: PagedMessages
) -> None:
    reader.is_earlier = True
    page = await history(cluster.edges[0]).fetch(FetchUnread(None), ME)
    assert indexes(page) == [1, 2, 3]


async def test_chats_are_listed_over_several_replies(cluster: EdgeCluster) -> None:
    edge, lister = await cluster.add_edge(), PagedChats(cluster)
    await cluster.run(lister.bus)
    views = await Forwarder(edge.bus).list_chats(ListChatViews(), ME)
    assert [view.chat.id for view in views.chats] == [1, 2, 3, 4, 5, 6, 7]
    requests = lister.requests_of(ListChatViews)
    assert [(request.after, request.actor) for request in requests] == [(0, ME), (3, ME), (6, ME)]
