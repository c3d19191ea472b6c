"""A chat is marked as read. The edge requests the number of unread messages only if it cannot compute it."""

import pytest

from services.edge.canonical.commands import MarkChatRead
from services.edge.canonical.replies import ChatMarkedRead
from services.edge.handlers.history import ChatReads
from shared.contract.ephemeral import ReadPlace
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHistory, History
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.fake_services import FakeService

ME, OTHER, CHAT = AccountId(1), AccountId(2), ChatId(7)
HEAD, LEFT, CONNECTION = 4, (2, 1), 5


@pytest.mark.parametrize(("is_here", "index", "counts", "expected", "requests", "unread"), [
    (True, 4, True, (0, 0), 0, []),  # message 4 is the last one that has reached this edge
    (True, 4, False, (0, 0), 0, []),
    (True, 2, True, LEFT, 1, [3, 4]),
    (True, 2, False, None, 0, [3, 4]),
    (True, 9, True, LEFT, 1, []),  # these messages were read on another edge, or are not posted yet
    (True, 9, False, LEFT, 1, []),
    (False, 4, True, LEFT, 1, []),  # this edge cannot tell whether the account is a member
    (False, 2, False, LEFT, 1, [3, 4]),
])  # fmt: skip
async def test_only_an_unknown_reply_is_requested(
    cluster: EdgeCluster,
    is_here: bool,
    index: int,
    counts: bool,
    expected: tuple[int, int] | None,
    requests: int,
    unread: list[int],
) -> None:
    edge = await cluster.add_edge()
    noticed: list[ReadPlace] = []
    cluster.backend.add_chat(CHAT, ME, OTHER)
    cluster.backend.commit_texts(CHAT, OTHER, "a", "b", "c", "d")
    service = FakeService("message", cluster.nats)

    async def history(request: GetHistory) -> History:
        await service.record(request)
        return History([], HEAD, unread=LEFT, read=min(HEAD, request.read_to or 0))

    service.bus.serve(GetHistory.route, history, queue="message")
    await cluster.run(service.bus)
    await (await cluster.client(ME if is_here else OTHER)).until_synced()
    reads = ChatReads(edge.bus, edge.accounts, edge.chats, edge.read_state, edge._ephemeral.reads)

    assert await reads.mark(MarkChatRead(CHAT, index, counts), ME, CONNECTION) == ChatMarkedRead(
        expected, None if expected is None else min(index, HEAD)
    )
    assert len(service.requests_of(GetHistory)) == requests
    edge.read_state.on_committed = noticed.extend
    await edge.read_state.flush()
    assert noticed == [ReadPlace(ME, CHAT, min(index, HEAD), CONNECTION)]
    assert cluster.backend.unread(ME, CHAT) == unread


async def test_the_reply_is_the_state_and_not_the_requested_index(cluster: EdgeCluster) -> None:
    """A connection on another edge has just marked more messages as read than this request."""
    cluster.backend.add_chat(CHAT, ME, OTHER)
    cluster.backend.commit_texts(CHAT, OTHER, "a", "b", "c", "d")
    service = FakeService("message", cluster.nats)

    async def history(request: GetHistory) -> History:
        read = max(request.read_to or 0, cluster.backend.cursor(ME, CHAT).read_index)
        return History([], HEAD, unread=(HEAD - read, 0), read=read)

    service.bus.serve(GetHistory.route, history, queue="message")
    await cluster.run(service.bus)
    here, there = await cluster.add_edge(), await cluster.add_edge()
    for edge in (here, there):
        await (await cluster.client(ME, edge)).until_synced()
    there.read_state.mark_read(ReadPlace(ME, CHAT, 3, CONNECTION))
    reads = ChatReads(here.bus, here.accounts, here.chats, here.read_state, here._ephemeral.reads)
    assert await reads.mark(MarkChatRead(CHAT, 2, counts=True), ME, CONNECTION) == ChatMarkedRead((1, 0), 3)
