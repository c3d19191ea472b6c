"""Tests how an edge accepts connections, ends silent ones after a timeout, limits fast senders, and drains."""

import asyncio

import pytest
import structlog

from services.edge.canonical.transport import Accept, Handshake, Reject
from shared.contract.message import PostMessages
from shared.contract.session import GetAccount
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient
from tests.unit.services.edge.json_dialect import frame


async def test_path_or_subprotocol_select_the_dialect_and_other_paths_are_not_found(cluster: EdgeCluster) -> None:
    accept = (await cluster.add_edge()).endpoint.accept
    for path, subprotocols, answer in (
        ("/", (), Accept()), ("/ws", (), Accept()), ("/ws/ourchat-v2", (), Accept()),
        ("/", ("ourchat.v2",), Accept("ourchat.v2")), ("/ws", ("x", "lines"), Accept("lines")),
        ("/ws/ourchat-v2", ("ourchat.v2",), Accept("ourchat.v2")), ("/ws/ourchat-v2", ("lines",), Accept()),
        ("/", ("unknown",), Accept()),
    ):  # fmt: skip
        assert accept(Handshake(path, "", "", False, subprotocols, "")) == answer
    rejection = accept(Handshake("/else", "", "", False, (), ""))
    assert isinstance(rejection, Reject)
    assert rejection.status == 404
    assert "/ws/lines" in rejection.text


async def test_a_page_of_another_origin_is_rejected_and_logged_once_a_second(cluster: EdgeCluster) -> None:
    edge = await cluster.add_edge(allowed_origins=["https://chat.test"])
    foreign, allowed = (
        Handshake("/", "edge.test:8080", "192.0.2.1", False, (), origin)
        for origin in ("https://foreign.test", "https://chat.test")
    )
    assert edge.endpoint.accept(allowed) == Accept()
    with structlog.testing.capture_logs() as logs:
        answers = [edge.endpoint.accept(foreign) for _ in range(3)]
    assert [answer.status for answer in answers if isinstance(answer, Reject)] == [403] * 3
    [line] = logs
    assert (line["origin"], line["setting"]) == ("https://foreign.test", "edge.allowed_origins")
    page = Handshake("/", "chat.test:8080", "192.0.2.1", False, (), "http://chat.test:8080")
    with structlog.testing.capture_logs() as logs:
        assert isinstance((await cluster.add_edge()).endpoint.accept(page), Reject)
    [line] = [line for line in logs if "setting" in line]
    assert (line["host"], line["setting"]) == ("chat.test:8080", "edge.public_url"), "a page of an unknown name"


async def test_a_connection_without_a_frame_is_closed(cluster: EdgeCluster) -> None:
    edge = await cluster.add_edge(first_frame_seconds=0.1, unauthenticated_seconds=1000.0)
    silent, talking = EdgeClient(edge.endpoint), EdgeClient(edge.endpoint)
    await talking.request(do="status")
    await silent.socket.until(lambda: silent.socket.ended)
    assert silent.socket.closed_with == (1008, "no valid frame came in time")
    assert talking.socket.closed_with is None


async def test_silent_peers_are_pinged_and_dropped_without_a_pong(cluster: EdgeCluster) -> None:
    edge = await cluster.add_edge(ping_interval_seconds=0.3, pong_timeout_seconds=0.5)
    alive, dead, paused = EdgeClient(edge.endpoint), EdgeClient(edge.endpoint), EdgeClient(edge.endpoint)
    for device in (alive, dead, paused):
        await device.request(do="status")
    await asyncio.sleep(0.01)  # the edge has finished the last request
    dead.socket.mute = paused.socket.mute = True
    paused.client.inbox.paused = True
    paused.client.inbox.queued_bytes = 2**30
    await dead.socket.until(lambda: dead.socket.ended)
    await alive.socket.until(lambda: alive.socket.pings > 2)
    # Nothing reads from a paused client, so its third pong may still be among the unread bytes.
    assert [device.socket.ended for device in (alive, paused)] == [False, False]


async def test_a_push_and_a_frame_start_the_time_limits_of_a_connection_at_rest(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.chat(1, 2, online=[1], ping_interval_seconds=1000.0, confirm_interval_seconds=100.0)

    def run_timer(seconds: float) -> bool:
        return alice.client.on_timer(cluster.edges[0].context.clock() + seconds, may_confirm=True)

    assert [run_timer(0.0), run_timer(999.0)] == [False, False]
    await cluster.message.send_texts(7, 2, "news")
    await alice.until_texts(7, "news")
    assert run_timer(101.0)
    await alice.request(do="status")
    assert not run_timer(102.0)
    alice.client.frame_received(frame(do="start", number=5, chat=7))
    await alice.request(do="status")
    run_timer(103.0)
    assert {"re": None, "error": "invalid"} in alice.seen, "the upload has been idle for a minute"


async def test_drained_clients_are_answered_then_closed_and_their_read_state_is_committed(cluster: EdgeCluster) -> None:
    alice, bob = await cluster.chat(1, 2)
    await cluster.message.send_texts(7, 2, "news")
    await alice.until_texts(7, "news")
    gate = cluster.message.block(PostMessages)
    sent = alice.send(do="post", chat=7, text="last words")
    await cluster.message.until_requested(PostMessages)
    draining = asyncio.create_task(cluster.edges[0].drain())
    await bob.socket.until(lambda: bob.socket.ended)
    assert not alice.socket.reading
    assert alice.socket.closed_with is None
    gate.set()
    await draining
    assert alice.replies[sent] == [7, 2]
    for device in (alice, bob):
        assert device.socket.closed_with == (1012, "restarting, please reconnect")
    assert cluster.backend.undelivered(1, 7) == []
    assert await cluster.nodes_of(1) == []


async def test_a_client_with_too_much_queued_is_drained_without_reading_more(cluster: EdgeCluster) -> None:
    (alice,) = await cluster.enter(1, incoming_frames=10)
    gate = cluster.session.block(GetAccount)
    sent = [alice.send(do="account", account=2) for _ in range(12)]
    draining = asyncio.create_task(cluster.edges[0].drain())
    await asyncio.sleep(0)
    gate.set()
    await draining
    assert alice.replied_refs[-12:] == sent
    assert alice.socket.closed_with == (1012, "restarting, please reconnect")
    assert not alice.socket.reading


async def test_many_clients_are_drained_over_time(cluster: EdgeCluster) -> None:
    edge = await cluster.add_edge(drain_seconds=0.5)
    ends: list[float] = []
    devices = [EdgeClient(edge.endpoint) for _ in range(60)]
    started = asyncio.get_running_loop().time()
    draining = asyncio.create_task(edge.drain())
    for device in devices:
        await device.socket.until(lambda device=device: device.socket.ended)  # type: ignore[misc]
        ends.append(asyncio.get_running_loop().time() - started)
    await draining
    assert 0.3 < max(ends) < 2.0
    assert len(edge.endpoint.clients) == 0


@pytest.mark.parametrize("deaf", [True, False])
async def test_a_client_that_does_not_close_is_aborted(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    """The client does not close its connection: a reply is never sent, or the client never sends a close frame."""
    monkeypatch.setattr("services.edge.client.endpoint._REPLY_SECONDS", 0.1)
    monkeypatch.setattr("services.edge.client.endpoint._CLOSE_SECONDS", 0.1)
    edge = await cluster.add_edge()
    alice = await cluster.client(1)
    gate = cluster.session.block(GetAccount)
    alice.send(do="account", account=2)
    await cluster.session.until_requested(GetAccount)
    alice.socket.deaf = deaf
    async with asyncio.timeout(WAIT_SECONDS):
        await edge.drain()
    gate.set()
    assert alice.socket.ended
    assert len(edge.accounts) == 0
