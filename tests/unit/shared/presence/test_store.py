"""Tests presence on a real Valkey. Each service has its own permissions."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest
import uvloop
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from services.edge.presence.lease import BEATS_PER_LEASE
from shared.bus.client import pack
from shared.contract.edge import PresenceIncomplete
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.presence import states, store
from shared.presence.scripts import Command, RegisteredAccounts
from shared.presence.states import ACTIVE, OFFLINE, GivenState
from shared.presence.store import Presence, PresenceSnapshot
from shared.settings.edge import EdgeSettings
from tests.support.servers import ValkeyServer
from tests.support.waiting import WAIT_SECONDS

A, B = NodeId("edge-1.a"), NodeId("edge-2.b")
ANN, BOB, CEM = AccountId(1), AccountId(2), AccountId(65)
"""The accounts 1 and 65 are in the same shard."""

Connect = Callable[[str], Presence]


@pytest.fixture
async def connect(valkey_server: ValkeyServer) -> AsyncIterator[Connect]:
    """A function that opens presence for a service. All are closed at the end."""
    opened: list[Presence] = []

    def open_for(service: str) -> Presence:
        opened.append(Presence(valkey_server.settings(service)))
        return opened[-1]

    yield open_for
    for one in opened:
        await one.close()


async def swept(edge: Presence, shard: int) -> int:
    """Removes the accounts of dead nodes from a shard. Returns the number of removed entries."""
    return sum([removed async for removed in edge.sweep(shard)])


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes readers believe a generation at once."""
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)


@pytest.mark.usefixtures("trusting")
async def test_services_see_where_accounts_are(connect: Connect) -> None:
    edge, message = connect("edge"), connect("message")
    await edge.beat(A, 10)
    assert await edge.join(A, [ANN, BOB]) == {ANN: [], BOB: []}
    assert await edge.join(B, [ANN, CEM]) == {ANN: [A], CEM: []}
    found = await message.lookup([ANN, BOB, CEM, AccountId(99)])
    assert found.nodes is not None
    assert {account: set(nodes) for account, nodes in found.nodes.items()} == {ANN: {A, B}, BOB: {A}, CEM: {B}}


@pytest.mark.usefixtures("trusting")
async def test_joining_twice_and_leaving_are_idempotent(connect: Connect) -> None:
    edge, session = connect("edge"), connect("session")
    await edge.beat(A, 10)
    await edge.join(A, [ANN])
    await edge.join(A, [ANN])
    await edge.join(B, [ANN])
    await edge.leave(A, [ANN, BOB])
    assert (await session.lookup([ANN, BOB])).nodes == {ANN: (B,)}
    await edge.leave(B, [ANN])
    await edge.leave(B, [ANN])
    assert (await session.lookup([ANN, BOB])).nodes == {}


async def test_a_young_generation_is_not_believed(connect: Connect) -> None:
    edge, message = connect("edge"), connect("message")
    assert (await message.lookup([ANN])).nodes is None
    await edge.beat(A, 10)
    await edge.join(A, [ANN])
    assert (await message.lookup([ANN])).nodes is None


def test_each_edge_has_beaten_before_a_generation_is_believed() -> None:
    lease_seconds: float = EdgeSettings.model_fields["lease_seconds"].default
    assert store._TRUST_SECONDS >= 1.9 * lease_seconds / BEATS_PER_LEASE


async def test_nodes_are_read_from_a_young_generation(connect: Connect) -> None:
    edge, other = connect("edge"), connect("edge")
    await edge.beat(A, 10)
    await edge.join(A, [ANN])
    assert await other.nodes([ANN, BOB]) == {ANN: (A,), BOB: ()}


@pytest.mark.usefixtures("trusting")
async def test_losing_everything_shows_and_heals(valkey_server: ValkeyServer, connect: Connect) -> None:
    edge, message = connect("edge"), connect("message")
    first = await edge.beat(A, 10)
    assert not first.held
    await edge.join(A, [ANN])
    assert await edge.beat(A, 10) == (True, first.generation)
    valkey_server.flush()
    assert (await message.lookup([ANN])).nodes is None
    after = await edge.beat(A, 10)
    assert not after.held
    assert after.generation != first.generation
    await edge.join(A, [ANN])
    assert (await message.lookup([ANN])).nodes == {ANN: (A,)}


async def test_versions_are_published_and_never_go_back(connect: Connect) -> None:
    session, message = connect("session"), connect("message")
    await session.publish_versions({ChatId(1): 3, ChatId(65): 1, ChatId(2): 7})
    await session.publish_versions({ChatId(1): 2, ChatId(65): 2})
    found = await message.lookup(chats=[ChatId(1), ChatId(2), ChatId(65), ChatId(4)])
    assert found.versions == {1: 3, 2: 7, 65: 2}


@pytest.mark.usefixtures("trusting")
async def test_a_sweep_removes_only_what_the_dead_left(connect: Connect) -> None:
    edge, message = connect("edge"), connect("message")
    await edge.beat(A, 10)
    await edge.join(A, [ANN])
    await edge.join(B, [ANN, CEM, BOB])
    assert await edge.alive(A)
    assert not await edge.alive(B)
    assert await swept(edge, 1) == 2
    assert (await message.lookup([ANN, CEM, BOB])).nodes == {ANN: (A,), BOB: (B,)}
    await edge.release_lease(A)
    assert await swept(edge, 1) == 1


@pytest.mark.usefixtures("trusting")
async def test_a_node_that_comes_back_during_a_sweep_keeps_what_it_registers(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the sweep removes the accounts, another sweep has removed them, and the node has registered one account
    again.
    """
    edge, other, message, sweeper = connect("edge"), connect("edge"), connect("message"), connect("edge")
    await edge.join(A, [ANN, CEM])
    execute = sweeper._round_trips.execute

    async def come_back_before(commands: Iterable[Command]) -> list[Any]:
        questions = list(commands)
        if questions[0][0] == "EVAL":
            assert await swept(other, 1) in (2, 0)
            await edge.beat(A, 10)
            await edge.join(A, [ANN])
        return await execute(questions)

    monkeypatch.setattr(sweeper._round_trips, "execute", come_back_before)
    assert await swept(sweeper, 1) == 0
    assert (await message.lookup([ANN, CEM])).nodes == {ANN: (A,)}


async def test_nothing_is_left_of_a_dead_node(valkey_server: ValkeyServer, connect: Connect) -> None:
    edge = connect("edge")
    await edge.join(A, [ANN])
    await edge.join(B, [BOB])
    await edge.leave(B, [BOB])
    assert [await swept(edge, shard) for shard in (1, 2)] == [1, 0]
    async with Redis.from_url(valkey_server.settings("edge").url.get_secret_value()) as redis:
        assert [await redis.hgetall(f"presence:{{{shard}}}") for shard in (1, 2)] == [{}, {}]


@pytest.mark.usefixtures("trusting")
async def test_without_redis_presence_is_unknown_and_edges_learn_it(
    valkey_server: ValkeyServer, connect: Connect
) -> None:
    edge, message = connect("edge"), connect("message")
    await edge.beat(A, 10)
    await edge.join(A, [ANN])
    await message.lookup([ANN])
    valkey_server.kill()
    assert await message.lookup([ANN], [ChatId(1)]) == PresenceSnapshot(None, {})
    with pytest.raises(RedisError):
        await edge.join(A, [BOB])
    with pytest.raises(RedisError):
        await message.check()
    valkey_server.start()
    assert not (await edge.beat(A, 10)).held
    await edge.join(A, [ANN])
    await edge.check()
    assert (await connect("message").lookup([ANN])).nodes == {ANN: (A,)}


async def test_a_node_knows_that_others_may_be_forgotten(
    valkey_server: ValkeyServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = connect("edge"), connect("edge")
    await there.join(B, [ANN])
    assert not there.has_lost_state, "not even known yet"
    for edge, node in ((here, A), (there, B)):
        await edge.beat(node, 10)
        await edge.join(node, [ANN])
        assert not edge.has_lost_state
    valkey_server.flush()
    assert not (await here.beat(A, 10)).held
    assert await here.join(A, [ANN]) == {ANN: []}
    await there.join(B, [BOB])
    assert (here.has_lost_state, there.has_lost_state) == (True, True)
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)
    await there.beat(B, 10)
    assert (here.has_lost_state, there.has_lost_state) == (True, False)
    third = connect("edge")
    await third.beat(A, 10)
    assert not third.has_lost_state
    valkey_server.kill()
    with pytest.raises(RedisError):
        await there.join(B, [BOB])
    with pytest.raises(RedisError):
        await third.nodes([ANN])
    assert (there.has_lost_state, third.has_lost_state) == (True, True)


async def test_connections_that_a_restart_has_closed_fail_nobody(valkey_server: ValkeyServer, connect: Connect) -> None:
    edge, session = connect("edge"), connect("session")
    await edge.beat(A, 10)
    await edge.check()
    await session.publish_versions({ChatId(1): 1})
    await session.lookup([ANN])
    valkey_server.restart()
    async with Redis.from_url(valkey_server.keeper_url) as keeper:
        await keeper.ping()
    assert not (await edge.beat(A, 10)).held
    await edge.release_lease(A)
    await session.publish_versions({ChatId(1): 2})
    assert (await session.lookup(chats=[ChatId(1)])).versions == {ChatId(1): 2}


async def test_a_frozen_redis_costs_its_timeout_once(valkey_server: ValkeyServer) -> None:
    message = Presence(valkey_server.settings("message").model_copy(update={"timeout_seconds": 1.0}))
    valkey_server.pause()
    async with asyncio.timeout(WAIT_SECONDS):
        assert [(await message.lookup([ANN])).nodes for _ in range(100)] == [None] * 100
    valkey_server.resume()
    await message.close()


@pytest.mark.usefixtures("trusting")
async def test_replies_that_nobody_has_read_answer_nothing_else(
    valkey_server: ValkeyServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.presence.store._BROKEN_SECONDS", 0.0)
    edge, message = connect("edge"), connect("message")
    await edge.beat(A, 10)
    await edge.join(A, [BOB])
    async with Redis.from_url(valkey_server.keeper_url) as keeper:
        await keeper.set("presence:{1}", "no hash")
        assert (await message.lookup([ANN, BOB])).nodes is None
        await keeper.delete("presence:{1}")
    assert (await message.lookup([ANN, BOB])).nodes == {BOB: (A,)}


@pytest.mark.parametrize(
    ("service", "command"),
    [
        ("edge", "FLUSHALL"),
        ("edge", "KEYS *"),
        ("edge", "CONFIG GET maxmemory"),
        ("edge", "SET limit:x 1"),
        ("edge", "HSET version:{1} 1 9"),
        ("message", "HSET presence:{1} 1 x"),
        ("message", "SET generation x"),
        ("message", "SET sweeper x"),
        ("message", "HSCAN presence:{1} 0"),
        ("session", "HSET presence:{1} 1 x"),
        ("session", "DEL version:{1}"),
        ("auth", "GET generation"),
        ("auth", "HGET presence:{1} 1"),
        ("auth", "ACL WHOAMI"),
    ],
)
async def test_no_service_may_do_more_than_it_needs(valkey_server: ValkeyServer, service: str, command: str) -> None:
    async with Redis.from_url(valkey_server.settings(service).url.get_secret_value()) as client:
        with pytest.raises(NoPermissionError):
            await client.execute_command(*command.split())  # type: ignore[no-untyped-call]


async def test_answers_are_timed_and_silence_is_counted(valkey_server: ValkeyServer) -> None:
    registry = CollectorRegistry()
    edge = Presence(valkey_server.settings("edge"), registry)
    await edge.join(A, [ANN])
    await edge.lookup([ANN])
    valkey_server.kill()
    with pytest.raises(RedisError):
        await edge.join(A, [ANN])
    assert (await edge.lookup([ANN])).nodes is None
    await edge.close()
    for call in ("join", "look_up"):
        assert registry.get_sample_value("dragoman_presence_seconds_count", {"call": call}) == 2
        assert registry.get_sample_value("dragoman_presence_failures_total", {"call": call}) == 1


async def test_marks_show_exactly_what_is_registered(connect: Connect) -> None:
    edge, other = connect("edge"), connect("edge")
    registered, choose = RegisteredAccounts(), random.Random(1)
    assert registered.differing(await edge.marks(A)) == []
    numbers = [*range(1, 60), 2**31, 10**15 + 7, 2**53 + 1, 2**63 - 1]
    for _ in range(60):
        accounts = [AccountId(choose.choice(numbers)) for _ in range(4)]
        if choose.random() < 0.6:
            await edge.join(A, accounts)
            registered.add(accounts)
        else:
            await edge.leave(A, accounts)
            registered.remove(accounts)
        await other.join(B, accounts)
        assert registered.differing(await edge.marks(A)) == []
    await edge.join(A, [AccountId(100)])
    assert registered.differing(await edge.marks(A)) == [4]


async def test_a_repair_gives_way_to_a_sweep(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep happens after the edge has read the shard and before it repairs the shard."""
    edge, other = connect("edge"), connect("edge")
    await edge.join(A, [ANN])
    execute = edge._round_trips.execute

    async def swept_before(commands: Iterable[Command]) -> list[Any]:
        questions = list(commands)
        if questions[0][0] == "EVAL":
            assert await swept(other, 1) == 1
        return await execute(questions)

    monkeypatch.setattr(edge._round_trips, "execute", swept_before)
    assert await edge.repair(A, 1, [ANN, CEM]) == [CEM]
    monkeypatch.undo()
    assert await edge.nodes([ANN, CEM]) == {ANN: (), CEM: ()}
    assert await edge.repair(A, 1, [ANN, CEM]) == [ANN, CEM]
    assert await edge.nodes([ANN, CEM]) == {ANN: (A,), CEM: (A,)}


async def test_a_repair_replaces_a_lost_mark(valkey_server: ValkeyServer, connect: Connect) -> None:
    edge, registered = connect("edge"), RegisteredAccounts()
    await edge.join(A, [ANN, CEM])
    registered.add([ANN, CEM])
    async with Redis.from_url(valkey_server.keeper_url) as keeper:
        await keeper.hdel("presence:{1}", f"@{A}")
    assert registered.differing(await edge.marks(A)) == [1]
    assert await edge.repair(A, 1, [ANN, CEM]) == []
    assert registered.differing(await edge.marks(A)) == []


async def test_a_dead_node_of_the_former_version_is_swept(valkey_server: ValkeyServer, connect: Connect) -> None:
    """In the previous version, the mark of a node has no count and no sum."""
    edge = connect("edge")
    await edge.join(A, [ANN])
    async with Redis.from_url(valkey_server.keeper_url) as keeper:
        await keeper.hset("presence:{1}", mapping={str(CEM): B, f"@{B}": "0123456789abcdef"})
    await edge.beat(A, 10)
    assert await swept(edge, 1) == 1
    assert await edge.nodes([ANN, CEM]) == {ANN: (A,), CEM: ()}


@pytest.mark.usefixtures("trusting")
async def test_a_generation_that_no_edge_refreshes_is_not_believed(connect: Connect) -> None:
    """The readers still use a previous primary, which the edges do not use any more."""
    edge, message = connect("edge"), connect("message")
    await edge.beat(A, 0.3)
    assert (await message.lookup([ANN])).nodes == {}
    await asyncio.sleep(0.4)
    assert (await message.lookup([ANN])).nodes is None


@pytest.mark.usefixtures("trusting")
async def test_a_node_without_redis_counts_as_a_node_of_the_accounts_that_it_names(connect: Connect) -> None:
    edge, message = connect("edge"), connect("message")
    await edge.beat(A, 10)
    await edge.join(A, [ANN])

    def announce(node: NodeId, seconds: float) -> None:
        message.receive_incomplete(pack(PresenceIncomplete(node, int(seconds * 1000), [ANN, BOB])))

    announce(A, 10)
    announce(B, 10)
    assert (await message.lookup([ANN, BOB])).nodes == {ANN: (A, B), BOB: (A, B)}
    assert message.has_lost_state
    announce(A, 0)
    announce(B, 0.1)
    assert (await message.lookup([BOB])).nodes == {BOB: (B,)}
    await asyncio.sleep(0.15)
    assert (await message.lookup([ANN, BOB])).nodes == {ANN: (A,)}


async def test_after_its_end_it_connects_no_more(valkey_server: ValkeyServer) -> None:
    edge = Presence(valkey_server.settings("edge"))
    await edge.check()
    await edge.close()
    for call in (edge.check(), edge.beat(A, 10)):
        with pytest.raises(RedisError, match="closed"):
            await call
    assert (await edge.lookup([ANN])).nodes is None


def test_a_connection_that_has_just_been_reset_is_a_failure_of_redis(valkey_server: ValkeyServer) -> None:
    """On the event loop of the product (uvloop), the transport then raises its own kind of error."""

    async def lose_connection() -> None:
        edge = Presence(valkey_server.settings("edge"))
        await edge.beat(A, 10)
        (connection,) = edge._round_trips._idle
        send = connection.send_packed_command

        async def reset_then(command: bytes) -> None:
            connection._writer.transport.abort()  # type: ignore[union-attr]
            await asyncio.sleep(0.05)
            connection.send_packed_command = send  # type: ignore[method-assign]
            await send(command)

        connection.send_packed_command = reset_then  # type: ignore[assignment, method-assign]
        with pytest.raises(RedisError):
            await edge.join(A, [ANN])
        assert await edge.join(A, [ANN]) == {ANN: []}
        await edge.close()

    uvloop.run(lose_connection())


async def test_states_count_on_the_node_that_they_came_from(connect: Connect) -> None:
    edge, given = connect("edge"), GivenState("busy", 7)
    await edge.join(A, [ANN, CEM])
    assert await edge.states([ANN, BOB, CEM]) == {ANN: ACTIVE, BOB: OFFLINE, CEM: ACTIVE}
    await edge.change_states([states.set_state(A, ANN, given), states.set_state(B, CEM, given)])
    assert await edge.states([ANN, CEM]) == {ANN: given, CEM: ACTIVE}
    await edge.leave(A, [ANN])
    assert await edge.states([ANN]) == {ANN: OFFLINE}
    assert await edge.states([]) == {}


async def test_a_text_counts_beside_the_state_that_it_was_given_with(connect: Connect) -> None:
    edge, given = connect("edge"), GivenState("busy", 7, "a call  with two spaces")
    await edge.join(A, [ANN, CEM])
    await edge.change_states([states.set_state(A, ANN, given), states.set_state(A, CEM, given)])
    assert await edge.states([ANN, BOB, CEM]) == {ANN: given, BOB: OFFLINE, CEM: given}
    await edge.change_states([states.set_state(A, ANN, GivenState("busy", 8))])
    assert await edge.states([ANN]) == {ANN: GivenState("busy", 8)}
    await edge.change_states([states.withdraw(A, CEM, given)])
    assert await edge.states([CEM]) == {CEM: ACTIVE}
    await edge.change_states([states.restore(A, CEM, given)])
    assert await edge.states([CEM]) == {CEM: given}


async def test_a_state_is_neither_withdrawn_nor_restored_over_a_later_one(connect: Connect) -> None:
    edge, first, second = connect("edge"), GivenState("busy", 7), GivenState("away", 8)
    await edge.join(A, [ANN])
    await edge.change_states([states.set_state(A, ANN, first), states.set_state(A, ANN, second)])
    await edge.change_states([states.withdraw(A, ANN, first), states.restore(A, ANN, first)])
    assert await edge.states([ANN]) == {ANN: second}
    await edge.change_states([states.withdraw(A, ANN, second)])
    assert await edge.states([ANN]) == {ANN: ACTIVE}
    await edge.change_states([states.restore(A, ANN, first)])
    assert await edge.states([ANN]) == {ANN: first}
