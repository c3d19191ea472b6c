"""Messages are sent to the leaders of their chats. If a leader does not reply, they are sent to another replica."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from prometheus_client import CollectorRegistry

from services.edge.upstream import attempt, publisher
from shared.bus.client import Bus, Responder
from shared.contract import subjects
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import ChatId, MessageId, Nonce
from shared.contract.message import Posted, PostMessages, PostResults
from shared.partitions import STOPPING
from tests.support.servers import NatsServer
from tests.unit.services.edge.upstream.posting_edge import PostingEdge, running_edge

CHATS = [ChatId(number) for number in range(1, 31)]


class OwnerStub:
    """A fake replica of message that confirms each draft while it is not frozen. It notes the chats of requests."""

    def __init__(self, server: NatsServer, name: str, *, leads: bool = True) -> None:
        self.name = name
        self.bus = Bus(server.settings("message"), "message", CollectorRegistry())
        self.requests: list[list[ChatId]] = []
        self.nonces: list[Nonce] = []
        self.frozen = False
        self.delay = 0.0
        self.failure: Failure | None = None
        self.bus.serve_deferred(PostMessages.route, self._receive, queue="message")
        if leads:
            self.bus.serve_deferred(subjects.post(name), self._receive)

    def _receive(self, request: PostMessages, responder: Responder) -> None:
        self.requests.append([draft.chat for draft in request.drafts])
        self.nonces += [draft.nonce for draft in request.drafts]
        if not self.frozen:
            self._replying = asyncio.ensure_future(self._reply(request, responder))

    async def _reply(self, request: PostMessages, responder: Responder) -> None:
        await asyncio.sleep(self.delay)
        if self.failure is not None:
            await responder.reply_error(self.failure)
        else:
            await responder.reply(PostResults([Posted(MessageId(1), 1, 1)] * len(request.drafts), {}))


def names(replicas: Sequence[OwnerStub]) -> list[str]:
    return [replica.name for replica in replicas]


@pytest.fixture
async def edge(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PostingEdge]:
    monkeypatch.setattr(attempt, "_PAUSE_SECONDS", 0.01)
    async with running_edge(nats_server) as edge:
        yield edge


@pytest.fixture
async def replicas(nats_server: NatsServer) -> AsyncIterator[list[OwnerStub]]:
    replicas = [OwnerStub(nats_server, name) for name in ("a", "b", "c")]
    await asyncio.gather(*[replica.bus.start() for replica in replicas])
    yield replicas
    await asyncio.gather(*[replica.bus.stop() for replica in replicas])


async def test_the_messages_of_a_tick_make_one_request_to_each_leader(
    edge: PostingEdge, replicas: list[OwnerStub]
) -> None:
    edge.hear(*names(replicas))
    await edge.post(CHATS)
    await edge.post(CHATS)
    assert [len(replica.requests) for replica in replicas] == [2, 2, 2]
    for replica in replicas:
        first, second = replica.requests
        assert first == second
    assert sorted(chat for replica in replicas for chat in replica.requests[0]) == CHATS
    assert edge.requests() == {"leader": 6}


async def test_two_edges_that_know_the_same_replicas_agree(
    edge: PostingEdge, replicas: list[OwnerStub], nats_server: NatsServer
) -> None:
    other = PostingEdge(nats_server)
    await other.bus.start()
    edge.hear(*names(replicas))
    other.hear(*reversed(names(replicas)))
    await edge.post(CHATS)
    await other.post(CHATS)
    assert all(first == second for first, second in [replica.requests for replica in replicas])
    await other.bus.stop()


async def test_the_leader_after_a_dead_one_is_requested_at_once(edge: PostingEdge, replicas: list[OwnerStub]) -> None:
    edge.hear(*names(replicas))
    await replicas[0].bus.stop()
    assert await edge.post(CHATS) < 0.4
    assert edge.requests() == {"leader": 3, "other": 1}
    await edge.post(CHATS)
    assert edge.requests() == {"leader": 5, "other": 1}


async def test_a_frozen_leader_delays_its_chats_by_a_fraction_of_a_second_and_once(
    edge: PostingEdge, replicas: list[OwnerStub]
) -> None:
    """The other replica gets the same nonces. So if the frozen one commits late, no message is stored twice."""
    edge.hear(*names(replicas))
    frozen = replicas[0]
    frozen.frozen = True
    assert 0.4 < await edge.post(CHATS) < 2.0
    assert edge.requests() == {"leader": 3, "other": 1}
    taken_over = {nonce for replica in replicas[1:] for nonce in replica.nonces}
    assert taken_over >= set(frozen.nonces)
    assert await edge.post(CHATS) < 0.4
    assert len(frozen.requests) == 1


async def test_a_late_reply_counts(edge: PostingEdge, replicas: list[OwnerStub]) -> None:
    """The late reply shows that its replica works. The replica is no longer suspended, and gets more time."""
    frozen, slow, gone = replicas
    edge.hear(*names(replicas))
    edge.hear(gone.name, partitions=STOPPING)
    own = [chat for chat in CHATS if edge.leader(chat) == slow.name]
    frozen.frozen, slow.delay = True, 1.0
    assert await edge.post(own) < 1.8
    assert {edge.leader(chat) for chat in own} == {slow.name}
    assert await edge.post(own) < 1.8
    assert slow.requests == [own, own]


async def test_dead_leaders_leave_the_messages_to_any_replica(
    edge: PostingEdge, replicas: list[OwnerStub], nats_server: NatsServer
) -> None:
    edge.hear(*names(replicas))
    for replica in replicas:
        await replica.bus.stop()
    alive = OwnerStub(nats_server, "old", leads=False)
    await alive.bus.start()
    assert await edge.post(CHATS) < 2.0
    assert sorted(chat for chats in alive.requests for chat in chats) == CHATS
    await alive.bus.stop()


async def test_the_replica_after_a_leader_that_cannot_store_messages_is_requested(
    edge: PostingEdge, replicas: list[OwnerStub]
) -> None:
    """The queue group does not get the requests, because the replica may have joined it again."""
    edge.hear(*names(replicas))
    replicas[0].failure = Failure(ErrorCode.UNAVAILABLE, "no database")
    for _ in range(5):
        assert await edge.post(CHATS) < 1.0
    assert len(replicas[0].requests) == 5
    assert edge.requests() == {"leader": 15, "other": 5}


async def test_a_replica_that_leaves_gets_nothing_any_more(edge: PostingEdge, replicas: list[OwnerStub]) -> None:
    edge.hear(*names(replicas))
    edge.hear(replicas[2].name, partitions=STOPPING)
    await edge.post(CHATS)
    assert [len(replica.requests) for replica in replicas] == [1, 1, 0]
    edge.hear(replicas[2].name)
    await edge.post(CHATS)
    assert len(replicas[2].requests) == 1


async def test_a_busy_leader_delays_the_messages_of_no_other(
    edge: PostingEdge, replicas: list[OwnerStub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "_GATHER_SECONDS", 60.0)
    edge.hear(*names(replicas))
    frozen = replicas[0]
    frozen.frozen = True
    chats = {name: [chat for chat in CHATS if edge.leader(chat) == name] for name in names(replicas)}
    waiting = [asyncio.create_task(edge.post(chats[frozen.name][:1])) for _ in range(3)]
    while len(frozen.requests) < 3:
        await asyncio.sleep(0.01)
    gathered = asyncio.create_task(edge.post(chats[frozen.name][:1]))
    assert await edge.post(chats["b"]) < 0.4
    assert len(frozen.requests) == 3
    await asyncio.gather(*waiting, gathered)
