"""Replicas of message share the partitions of chats.

Tests what standbys save, and what happens when replicas start, stop or die.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack

import pytest

from services.edge.upstream import attempt
from services.message.adapters import leadership
from services.message.adapters.member_list_cache import MemberListCache
from shared.contract.ids import ChatId
from shared.contract.message import GetHeads
from shared.settings import Settings
from shared.settings.messages import MessageSettings
from shared.settings.servers import OpsSettings
from tests.support.servers import NatsServer, ValkeyServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.upstream.posting_edge import PostingEdge, running_edge
from tests.unit.services.message.environment import (
    ANN,
    BOB,
    MessageEnvironment,
    metric_value,
    running_replica,
    second_replica,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("patient_member_lists")

CHATS = [ChatId(number) for number in range(1, 61)]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with which all replicas lead chats, even if there is little to do."""
    return with_leader_cores(settings, 0.0)


def with_leader_cores(settings: Settings, cores: float) -> Settings:
    return settings.model_copy(update={"message": MessageSettings(leader_cores=cores)})


@pytest.fixture
async def edge(env: MessageEnvironment, nats_server: NatsServer) -> AsyncIterator[PostingEdge]:
    """An edge whose account is a member of every chat."""
    for chat in CHATS:
        await env.session.add_members(chat, ANN, BOB)
    async with running_edge(nats_server) as edge:
        yield edge


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A function that makes all member lists older by a number of seconds."""
    age = 0.0

    def wait(seconds: float) -> None:
        nonlocal age
        age += seconds

    defaults = MemberListCache.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "clock", lambda: age)
    return wait


@pytest.fixture
def patient_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edge that does not request another replica because a reply is slow.

    The other replica would request session, too.
    """
    monkeypatch.setattr(attempt, "_LEAST_SECONDS", attempt.MOST_SECONDS)


async def wait_for_leaders(edge: PostingEdge, count: int) -> None:
    await wait_until(lambda: len({edge.leader(chat) for chat in CHATS} - {""}) == count)


async def wait_for_partitions(replicas: Sequence[Settings], *led: int) -> None:
    """Waits until the replicas, in any order, count that they lead these numbers of partitions."""
    async with asyncio.timeout(WAIT_SECONDS):
        while sorted([await metric_value(one, "dragoman_message_partitions") for one in replicas]) != [*led]:
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("patient_edge")
async def test_session_is_requested_once_for_each_chat(
    env: MessageEnvironment, edge: PostingEdge, settings: Settings, wait: Callable[[float], None]
) -> None:
    """This holds for any number of replicas and any time.

    Without leaders, each replica would request the members of each chat, and again after some time.
    """
    async with AsyncExitStack() as stack:
        for replica in (settings, second_replica(settings), second_replica(settings)):
            await stack.enter_async_context(running_replica(replica))
        await wait_for_leaders(edge, 3)
        for _ in range(6):
            await edge.post(CHATS)
            wait(60.0)
        assert len(env.session.requests) == len(CHATS)
        assert edge.requests() == {"leader": 18}


async def test_a_hot_chat_is_served_by_one_replica(
    env: MessageEnvironment, edge: PostingEdge, settings: Settings, nats_server: NatsServer
) -> None:
    """No other replica locks the row of this chat, whatever edge the messages come from."""
    replicas, other = (settings, second_replica(settings)), PostingEdge(nats_server)
    async with running_replica(replicas[0]), running_replica(replicas[1]):
        await other.bus.start()
        await wait_for_leaders(edge, 2)
        await wait_for_leaders(other, 2)
        for _ in range(10):
            await asyncio.gather(edge.post([CHATS[0]] * 5), other.post([CHATS[0]] * 5))
        served = [await metric_value(replica, "dragoman_message_acknowledged_total") for replica in replicas]
        assert sorted(served) == [0, 100]
    await other.publisher.finish(0)
    await other.bus.stop()


@pytest.mark.usefixtures("patient_edge")
async def test_without_redis_session_is_requested_once_a_second_for_each_chat(
    env: MessageEnvironment,
    edge: PostingEdge,
    settings: Settings,
    valkey_server: ValkeyServer,
    wait: Callable[[float], None],
) -> None:
    """Only the leader of a chat requests its members, and only once a second."""
    async with running_replica(settings), running_replica(second_replica(settings)):
        await wait_for_leaders(edge, 2)
        valkey_server.kill()
        for _ in range(3):
            wait(1.1)
            for _ in range(4):
                await edge.post(CHATS)
        assert len(env.session.requests) == 3 * len(CHATS)


async def test_a_replica_that_comes_or_goes_moves_only_its_own_chats(
    env: MessageEnvironment, edge: PostingEdge, settings: Settings
) -> None:
    """A replica that stops announces this, so it gets no more requests."""
    async with running_replica(settings), running_replica(second_replica(settings)):
        await wait_for_leaders(edge, 2)
        await edge.post(CHATS)
        before = {chat: edge.leader(chat) for chat in CHATS}
        async with running_replica(second_replica(settings)):
            await wait_for_leaders(edge, 3)
            moved = {chat for chat in CHATS if edge.leader(chat) != before[chat]}
            await edge.post(CHATS)
            assert sorted(request.chat for request in env.session.requests[len(CHATS) :]) == sorted(moved)
        assert {chat: edge.leader(chat) for chat in CHATS} == before
        await edge.post(CHATS)
        assert len(env.session.requests) == len(CHATS) + len(moved)
        assert set(edge.requests()) == {"leader"}


async def test_the_last_of_several_replicas_is_requested_through_the_queue_group(
    env: MessageEnvironment, edge: PostingEdge, settings: Settings
) -> None:
    async with running_replica(settings):
        async with running_replica(second_replica(settings)):
            await wait_for_leaders(edge, 2)
            await edge.post(CHATS)
        await edge.post(CHATS)
        requests = edge.requests()
        requests.pop("other", None)  # on a slow machine, a leader may not reply in time
        assert requests == {"leader": 2, "any": 1}


async def test_edges_that_disagree_on_the_leaders_only_cost_time(
    env: MessageEnvironment, edge: PostingEdge, settings: Settings, nats_server: NatsServer
) -> None:
    """Two replicas append to the same chats at the same time."""
    other = PostingEdge(nats_server)
    async with running_replica(settings), running_replica(second_replica(settings)):
        await wait_for_leaders(edge, 2)
        await other.bus.start()
        await wait_for_leaders(other, 2)
        leader = other.leader(CHATS[0])
        other.leaders.silent(leader, asyncio.get_running_loop().time())
        assert other.leader(CHATS[0]) != leader
        for _ in range(5):
            await asyncio.gather(edge.post(CHATS), other.post(CHATS))
        heads = await env.session.bus.send(GetHeads(CHATS))
        assert set(heads.heads.values()) == {10}
    await other.publisher.finish(0)
    await other.bus.stop()


async def test_the_partitions_are_shared_out_completely(
    env: MessageEnvironment, edge: PostingEdge, settings: Settings
) -> None:
    replicas = settings, second_replica(settings)
    async with running_replica(replicas[0]):
        await env.wait_for_replicas()
        assert await metric_value(replicas[0], "dragoman_message_partitions") == 256
        async with running_replica(replicas[1]):
            await wait_for_leaders(edge, 2)
            async with asyncio.timeout(WAIT_SECONDS):
                while (led := [await metric_value(one, "dragoman_message_partitions") for one in replicas])[1] == 256:
                    await asyncio.sleep(0.05)
        assert sum(led) == 256


async def test_a_standby_leads_no_chats_until_the_leader_stops(
    env: MessageEnvironment, edge: PostingEdge, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that hears of the other one late leads chats until then. Here it does not lead them for longer.

    On a loaded machine, the edge waits long enough for a leader, so that it sends no messages to the standby.
    """
    monkeypatch.setattr(leadership, "_LONGER_SECONDS", 0.0)
    monkeypatch.setattr(attempt, "_LEAST_SECONDS", attempt.MOST_SECONDS)
    replicas = [with_leader_cores(one, 100.0) for one in (settings, second_replica(settings))]
    async with AsyncExitStack() as stack:
        stopping = [await stack.enter_async_context(running_replica(one)) for one in replicas]
        await env.wait_for_replicas(2)
        leader = min(beat.replica for beat in env.edges.heartbeats)
        await wait_until(lambda: {edge.leader(chat) for chat in CHATS} == {leader})
        await wait_for_partitions(replicas, 0, 256)
        await edge.post(CHATS)
        served = [await metric_value(one, "dragoman_message_acknowledged_total") for one in replicas]
        assert sorted(served) == [0, len(CHATS)]
        stopping[served.index(len(CHATS))].set()
        await wait_until(lambda: any(beat.leaving for beat in env.edges.heartbeats))
        await edge.post(CHATS)
        heads = await env.session.bus.send(GetHeads(CHATS))
        assert set(heads.heads.values()) == {2}


async def test_replicas_with_another_number_of_partitions_are_left_to_the_queue_group(
    env: MessageEnvironment, edge: PostingEdge, settings: Settings, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    other = settings.model_copy(
        update={"message": MessageSettings(partitions=128), "ops": OpsSettings(port=second_replica(settings).ops.port)}
    )
    async with running_replica(settings), running_replica(other):
        await env.wait_for_replicas(2)
        await edge.post(CHATS)
        assert edge.requests() == {"any": 1}
        warning = "another replica has a different number of partitions"
        # An earlier test may have configured the logger, which keeps its configuration.
        await wait_until(lambda: warning in capsys.readouterr().out + caplog.text)
