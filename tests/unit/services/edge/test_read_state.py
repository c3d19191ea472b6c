"""Only messages that have arrived are marked. An account leaves presence only after its read state is committed."""

import asyncio
from typing import Any, NoReturn

import pytest
from redis.exceptions import RedisError

from services.edge.app import Edge
from services.edge.confirmations import confirmation
from services.message.domain import Cursor
from shared.bus.failures import Unavailable
from shared.contract.edge import FlushReadState, ReadStateFlushed
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, DeviceId, NodeId
from shared.contract.message import DevicePosition, MarkRead, ReadRange
from shared.contract.subjects import flush
from shared.settings.edge import EdgeSettings
from shared.tasks import operation
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient
from tests.unit.services.edge.json_dialect import JsonDialect


@pytest.fixture
async def alice(cluster: EdgeCluster) -> EdgeClient:
    """Alice, whose edge sends pings only when a test wants it."""
    (alice,) = await cluster.chat(1, 2, online=[1], confirm_interval_seconds=1000.0)
    return alice


async def test_a_connection_with_unconfirmed_pushes_is_pinged(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.chat(1, 2, online=[1], confirm_interval_seconds=0.2)
    await cluster.push(2, "a", to=alice)
    await cluster.message.until_requested(MarkRead)
    assert cluster.backend.undelivered(1, 7) == []
    assert alice.socket.pings == 1


async def test_a_tick_pings_no_more_connections_for_their_pushes_than_are_due_on_average(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmation, "_FEW_PINGS", 1)
    await cluster.add_edge(confirm_interval_seconds=1.5)
    cluster.backend.add_chat(7, *range(1, 9))
    clients = await cluster.synced_clients(*range(1, 9))
    for client in clients:
        client.socket.mute = True
        client.client.confirmation.last_ping = 0.0
    await cluster.message.send_texts(7, 1, "a")
    for client in clients:
        await client.socket.until(lambda client=client: client.socket.pings > 0)  # type: ignore[misc]
    pinged = sorted(client.client.confirmation.last_ping for client in clients)
    assert pinged[4] - pinged[3] > 0.4


@pytest.mark.parametrize(
    ("connections", "interval", "pings"), [(20, 3.0, 500), (20_000, 3.0, 5_000), (20_000, 0.2, 30_000), (0, 0.0, 500)]
)
def test_pings_of_many_connections_are_spread(connections: int, interval: float, pings: int) -> None:
    settings = EdgeSettings(confirm_interval_seconds=interval)
    assert confirmation.confirms_per_tick(connections, 0.5, settings) == pings


async def test_behind_a_proxy_the_pushes_of_a_tick_are_pinged_at_its_end(cluster: EdgeCluster) -> None:
    """Later pushes are pinged after the pong, because only one ping may wait for its pong."""
    await cluster.add_edge(confirm_interval_seconds=1000.0)
    cluster.backend.add_chat(7, 1, 2)
    alice = await EdgeClient(cluster.edges[0].endpoint, behind_proxy=True).login(1)
    await alice.until_synced()
    alice.socket.mute = True
    await cluster.push(2, "a", "b", to=alice)
    await alice.socket.until(lambda: alice.socket.pings > 0)
    await cluster.push(2, "c", to=alice)
    await cluster.push(2, "d", to=alice)
    for pings, unread in ((1, [3, 4]), (2, [])):
        assert alice.socket.pings == pings
        alice.socket.pong()
        assert await cluster.edges[0].read_state.flush()
        assert cluster.backend.undelivered(1, 7) == unread
    assert alice.socket.pings == 2


@pytest.mark.parametrize(
    ("is_page", "by_client", "handling_seconds", "unread"),
    [(True, True, 1000.0, [2]), (True, True, 0.0, []), (True, False, 1000.0, []), (False, True, 1000.0, [])],
)
async def test_a_page_that_closes_may_not_have_handled_what_came_last(
    cluster: EdgeCluster, is_page: bool, by_client: bool, handling_seconds: float, unread: list[int]
) -> None:
    await cluster.add_edge(confirm_interval_seconds=1000.0, handling_seconds=handling_seconds)
    cluster.backend.add_chat(7, 1, 2)
    alice = await EdgeClient(cluster.edges[0].endpoint, is_page=is_page).login(1)
    await alice.until_synced()
    await cluster.push(2, "a", to=alice)
    await alice.client.confirm_all()
    await cluster.push(2, "b", to=alice)
    if by_client:
        alice.socket.leave()
    else:
        alice.client.close(1012, "bye")
        await alice.socket.until(lambda: alice.socket.ended)
    assert await cluster.edges[0].read_state.flush()
    assert cluster.backend.undelivered(1, 7) == unread


@pytest.mark.parametrize("deaf", [False, True])
async def test_messages_that_may_not_have_arrived_stay_unread(
    cluster: EdgeCluster, alice: EdgeClient, deaf: bool
) -> None:
    """The connection breaks, or ends while the client has unread bytes."""
    await cluster.push(2, "a", to=alice)
    alice.socket.deaf = deaf
    await cluster.message.send_texts(7, 2, "b")
    await alice.socket.until(lambda: alice.socket.sent_bytes > len(alice.socket.received[-1]))
    if deaf:
        alice.socket.leave()
    else:
        alice.socket.vanish()
    assert await cluster.edges[0].read_state.flush()
    assert 2 in cluster.backend.undelivered(1, 7)


async def test_after_our_close_the_end_of_the_socket_decides(cluster: EdgeCluster, alice: EdgeClient) -> None:
    alice.socket.mute = True
    await cluster.push(2, "a", to=alice)
    alice.client.close(1012, "bye")
    await cluster.message.send_texts(7, 2, "b")
    assert await cluster.edges[0].read_state.flush()
    assert cluster.backend.undelivered(1, 7) == [1, 2]
    alice.socket.leave()
    assert await cluster.edges[0].read_state.flush()
    assert cluster.backend.undelivered(1, 7) == [2]


async def test_what_has_arrived_is_read_although_our_last_line_resets_the_connection(
    cluster: EdgeCluster, alice: EdgeClient
) -> None:
    alice.socket.confirms_by_kernel, alice.socket.mute = True, True
    await cluster.push(2, "a", to=alice)
    alice.client.close(1000, "bye")
    alice.socket.vanish()
    assert await cluster.edges[0].read_state.flush()
    assert cluster.backend.undelivered(1, 7) == []


async def test_held_messages_are_not_read(cluster: EdgeCluster, alice: EdgeClient) -> None:
    alice.send(do="hold", chat=7, until=asyncio.get_running_loop().time() + 1000)
    await alice.request(do="status")
    await cluster.session.create(8, 2, 1)
    await cluster.message.send_texts(7, 2, "a")
    await cluster.message.send_texts(8, 2, "marker")
    await alice.until_texts(8, "marker")
    await alice.client.confirm_all()
    alice.socket.leave()
    assert await cluster.edges[0].read_state.flush()
    assert cluster.backend.undelivered(1, 7) == [1]


async def test_an_account_leaves_presence_after_its_read_state_is_committed(
    cluster: EdgeCluster, alice: EdgeClient
) -> None:
    edge = cluster.edges[0]
    await cluster.push(2, "a", to=alice)
    gate = cluster.message.block(MarkRead)
    alice.socket.leave()
    await cluster.message.until_requested(MarkRead)
    assert await cluster.nodes_of(1) == [edge.id]
    gate.set()
    assert await edge.read_state.flush()
    assert await cluster.nodes_of(1) == []


async def test_an_account_that_departs_again_during_a_commit_stays_in_presence_until_the_next(
    cluster: EdgeCluster, alice: EdgeClient
) -> None:
    edge = cluster.edges[0]
    await cluster.push(2, "a", to=alice)
    gate = cluster.message.block(MarkRead)
    alice.socket.leave()
    flushed = asyncio.create_task(edge.read_state.flush())
    await cluster.message.until_requested(MarkRead)
    local = edge.accounts.attach(AccountId(1), alice.client, 0.0)
    edge.read_state.mark_delivered(AccountId(1), {ChatId(7): [(2, 2)]})
    edge.accounts.detach(local, alice.client)
    gate.set()
    assert await flushed
    assert edge.accounts.is_leaving(AccountId(1)), "the second delivery is not committed"
    assert await edge.read_state.flush()
    assert not edge.accounts.is_leaving(AccountId(1))


async def test_a_failed_commit_of_read_state_is_retried(
    cluster: EdgeCluster, alice: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.confirmations.read_state._COMMIT_SECONDS", 0.3)
    edge = cluster.edges[0]
    await cluster.push(2, "a", to=alice)
    await cluster.message.stop()
    alice.socket.leave()
    assert not await edge.read_state.flush()
    assert await cluster.nodes_of(1) == [edge.id]
    await cluster.add_message_replica()
    assert await edge.read_state.flush()
    assert cluster.backend.undelivered(1, 7) == []
    assert await cluster.nodes_of(1) == []


async def test_the_last_flush_waits_for_a_message_service_that_restarts(
    cluster: EdgeCluster, alice: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.confirmations.read_state._COMMIT_SECONDS", 0.3)
    await cluster.push(2, "a", to=alice)
    await cluster.message.stop()
    draining = asyncio.create_task(cluster.edges[0].drain())
    await alice.socket.until(lambda: alice.socket.ended)
    await asyncio.sleep(0.5)
    await cluster.add_message_replica()
    await draining
    assert cluster.backend.undelivered(1, 7) == []


async def test_the_read_state_of_departed_accounts_is_committed_at_once(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The accounts that have left may soon log in on another node."""
    monkeypatch.setattr("services.edge.confirmations.read_state._BATCH_SECONDS", 1000.0)
    (alice,) = await cluster.chat(1, 2, online=[1], confirm_interval_seconds=1000.0)
    await cluster.push(2, "a", to=alice)
    alice.client.confirmation.ping(0.0)
    await cluster.message.until_requested(MarkRead)
    await cluster.push(2, "b", to=alice)
    alice.socket.leave()
    await cluster.message.until_requested(MarkRead, 2)
    assert cluster.backend.undelivered(1, 7) == []


async def test_posted_messages_wait_for_what_arrives_between(cluster: EdgeCluster, alice: EdgeClient) -> None:
    """If the posted messages were committed separately, each commit would have as many ranges as there are messages."""
    bob = await cluster.client(2)
    await bob.until_synced()
    for number in range(3):
        assert await alice.post(7, "mine") == 2 * number + 1
        await cluster.push(2, f"theirs {number}", to=alice)
    await bob.post(7, "an end")
    bob.client.confirmation.ping(0.0)
    await cluster.message.until_requested(MarkRead)
    assert cluster.backend.cursor(1, 7) == Cursor()  # type: ignore[arg-type]
    alice.client.confirmation.ping(0.0)
    await cluster.message.until_requested(MarkRead, 2)
    assert cluster.message.requests_of(MarkRead)[1].ranges == [ReadRange(AccountId(1), ChatId(7), 1, 7, 5)]


async def test_posted_messages_do_not_wait_long(
    cluster: EdgeCluster, alice: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await alice.post(7, "mine")
    assert cluster.message.requests_of(MarkRead) == []
    monkeypatch.setattr("services.edge.confirmations.read_state._POSTED_SECONDS", 0.1)
    await cluster.message.until_requested(MarkRead)
    assert cluster.backend.cursor(1, 7) == Cursor(1, read_index=1)  # type: ignore[arg-type]


async def test_read_state_confirmed_during_a_flush_waits_for_the_next(cluster: EdgeCluster, alice: EdgeClient) -> None:
    """New read state always arrives under load. A flush must end nevertheless."""
    edge = cluster.edges[0]
    await cluster.push(2, "a", "b", to=alice)
    gate = cluster.message.block(MarkRead)
    edge.read_state.mark_delivered(AccountId(1), {ChatId(7): [(1, 1)]})
    flushing = asyncio.create_task(edge.read_state.flush())
    await cluster.message.until_requested(MarkRead)
    edge.read_state.mark_delivered(AccountId(1), {ChatId(7): [(2, 2)]})
    gate.set()
    assert await flushing
    assert cluster.backend.undelivered(1, 7) == [2]
    assert await edge.read_state.flush()
    assert cluster.backend.undelivered(1, 7) == []


@pytest.mark.parametrize(
    ("step", "failure"),
    [
        ("shared.bus.client.Bus.send", Unavailable("message.read")),
        ("shared.presence.store.Presence.leave", RedisError()),
    ],
)
async def test_a_cancelled_flush_loses_nothing(
    cluster: EdgeCluster, alice: EdgeClient, monkeypatch: pytest.MonkeyPatch, step: str, failure: Exception
) -> None:
    """The flush is cancelled, as it is when a login stops waiting for it."""
    edge, reached, released = cluster.edges[0], asyncio.Event(), asyncio.Event()

    async def wait(*_: object, **__: object) -> None:
        reached.set()
        await released.wait()
        raise failure

    await cluster.push(2, "a", to=alice)
    with monkeypatch.context() as stuck:
        stuck.setattr(step, wait)
        alice.socket.leave()
        flushing = asyncio.create_task(edge.read_state.flush())
        await reached.wait()
        flushing.cancel()
        await asyncio.wait([flushing])
        released.set()
    assert await edge.read_state.flush()
    assert cluster.backend.undelivered(1, 7) == []
    assert await cluster.nodes_of(1) == []


async def test_a_login_does_not_wait_for_other_accounts_read_state(cluster: EdgeCluster, alice: EdgeClient) -> None:
    await cluster.push(2, "a", to=alice)
    gate = cluster.message.block(MarkRead)
    cluster.edges[0].read_state.mark_delivered(AccountId(1), {ChatId(7): [(1, 1)]})
    await cluster.message.until_requested(MarkRead)
    bob = await cluster.client(2)
    await bob.until_synced()
    gate.set()


async def test_a_login_does_not_wait_until_others_have_left_presence(
    cluster: EdgeCluster, alice: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Redis, each attempt to leave presence takes half a second and fails."""
    edge, leaving, released = cluster.edges[0], asyncio.Event(), asyncio.Event()

    async def wait(*_: object) -> None:
        leaving.set()
        await released.wait()
        raise RedisError

    bob = await cluster.client(2)
    await cluster.push(2, "a", to=alice)
    with monkeypatch.context() as stuck:
        stuck.setattr("shared.presence.store.Presence.leave", wait)
        bob.socket.leave()
        async with asyncio.timeout(WAIT_SECONDS):
            await leaving.wait()
            await edge.read_state.flush_account(AccountId(1), [])
        assert cluster.backend.undelivered(1, 7) == []
        released.set()
    assert await edge.read_state.flush()
    assert await cluster.nodes_of(2) == []


async def test_what_is_being_committed_is_waited_for_although_another_account_logs_in(
    cluster: EdgeCluster, alice: EdgeClient
) -> None:
    read_state = cluster.edges[0].read_state
    await cluster.push(2, "a", to=alice)
    gate = cluster.message.block(MarkRead)
    first = asyncio.create_task(read_state.flush_account(AccountId(1), []))
    await cluster.message.until_requested(MarkRead)
    read_state.mark_posted(AccountId(2), ChatId(7), [1], 1)
    second = asyncio.create_task(read_state.flush_account(AccountId(2), []))
    await asyncio.wait({first, second}, timeout=0.1)
    assert read_state.is_waiting(AccountId(1))
    gate.set()
    await asyncio.gather(first, second)
    assert not read_state.is_waiting(AccountId(1))
    assert cluster.backend.undelivered(1, 7) == []


async def test_an_absent_node_is_not_requested_for_every_account(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge, requested = await cluster.add_edge(), list[str]()
    send_request = edge.bus.request

    async def noted(route: Any, *request: Any, **how: Any) -> Any:
        requested.append(route.label)
        return await send_request(route, *request, **how)

    monkeypatch.setattr(edge.bus, "request", noted)
    for account in range(5):
        await edge.read_state.flush_account(AccountId(account), [NodeId("gone")])
    assert requested.count("edge.*.flush") == 1
    monkeypatch.setattr("services.edge.confirmations.read_state._ABSENT_SECONDS", 0.0)
    edge.read_state._absent.clear()
    for account in range(2):
        await edge.read_state.flush_account(AccountId(account), [NodeId("gone")])
    assert requested.count("edge.*.flush") == 3


async def test_another_node_requests_a_flush(cluster: EdgeCluster, alice: EdgeClient) -> None:
    here, there = cluster.edges[0], await cluster.add_edge()
    await cluster.push(2, "a", to=alice)
    flushed = await there.bus.request(flush(here.id), FlushReadState(alice.client.connection.account))
    assert flushed == ReadStateFlushed(here.id, present=True)
    assert cluster.backend.undelivered(1, 7) == []
    assert await there.bus.request(flush(here.id), FlushReadState(AccountId(99))) == ReadStateFlushed(
        here.id, present=False
    )


@pytest.mark.parametrize("answers", [True, False])
async def test_confirming_all_takes_a_second_at_most_and_covers_pushes_after_a_ping(
    cluster: EdgeCluster, alice: EdgeClient, answers: bool
) -> None:
    alice.socket.mute = True
    alice.client.confirmation.ping(0.0)
    await cluster.push(2, "a", to=alice)
    started = asyncio.get_running_loop().time()
    settling = asyncio.create_task(alice.client.confirm_all())
    await asyncio.sleep(0)
    alice.socket.mute = not answers
    if answers:
        alice.socket.pong()
    await settling
    assert asyncio.get_running_loop().time() - started < 1.0
    assert await cluster.edges[0].read_state.flush()
    assert cluster.backend.undelivered(1, 7) == ([] if answers else [1])


async def test_a_disconnect_ends_the_wait_for_confirmation(cluster: EdgeCluster, alice: EdgeClient) -> None:
    alice.socket.mute = True
    await cluster.push(2, "a", to=alice)
    settling = asyncio.create_task(alice.client.confirm_all())
    await asyncio.sleep(0)
    alice.socket.leave()
    started = asyncio.get_running_loop().time()
    await settling
    assert asyncio.get_running_loop().time() - started < 0.5


async def test_an_account_that_moved_while_presence_was_lost_receives_nothing_twice(
    cluster: EdgeCluster, alice: EdgeClient
) -> None:
    """The previous node is not known, and it needs a moment for its commit."""
    there = await cluster.add_edge(lease_seconds=1000.0)
    await there.lease.beat()
    await cluster.push(2, "a", to=alice)
    cluster.valkey.flush()
    alice.socket.leave()
    again = await cluster.client(1, there)
    await again.until_synced()
    assert cluster.backend.undelivered(1, 7) == []
    assert again.texts(7) == []


async def test_a_flush_ends_after_the_operation(edge: Edge) -> None:
    """The time limit of the flush does not apply to the work that must be committed before."""
    async with asyncio.timeout(WAIT_SECONDS):
        with operation(0.0):
            await edge.read_state.flush_account(AccountId(1), [NodeId("gone")])


@pytest.mark.parametrize("unreadable", ["", "sync", "chat"])
async def test_a_device_has_not_received_what_could_not_be_read(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, unreadable: str
) -> None:
    """A position includes all earlier messages, so a later message then moves no position."""
    monkeypatch.setattr(JsonDialect, "device", "phone")
    edge = await cluster.add_edge()
    cluster.backend.messages_per_page = 1
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.commit_texts(7, 2, "a", "b")
    if unreadable == "sync":
        monkeypatch.setattr(cluster.backend, "sync", rejected)
    elif unreadable:
        cluster.message.unreadable.add(ChatId(7))
    alice = await cluster.client(1)
    await alice.until_synced()
    cluster.message.unreadable.clear()
    await cluster.push(2, "c", to=alice)
    await alice.client.confirm_all()
    assert await edge.read_state.flush()
    positions = [one for request in cluster.message.requests_of(MarkRead) for one in request.positions]
    assert (DevicePosition(AccountId(1), DeviceId(1), ChatId(7), 3) in positions) is not bool(unreadable)


def rejected(_: object) -> NoReturn:
    raise RequestError(ErrorCode.INVALID, "a row of this account cannot be read")
