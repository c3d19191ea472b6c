"""Who is let in, how long a connection may be silent, and how an edge ends."""

import asyncio

import pytest

from services.edge.canonical.transport import Accept, Handshake, Reject
from shared.contract.message import PostMessages
from shared.contract.session import GetAccount
from tests.unit.services.edge.conftest import Town
from tests.unit.services.edge.devices import Device


@pytest.mark.parametrize(
    ("path", "subprotocols", "answer"),
    [
        ("/", (), Accept()), ("/ws", (), Accept()), ("/ws/ourchat-v2", (), Accept()),
        ("/", ("ourchat.v2",), Accept("ourchat.v2")), ("/ws", ("x", "lines"), Accept("lines")),
        ("/ws/ourchat-v2", ("ourchat.v2",), Accept("ourchat.v2")), ("/ws/ourchat-v2", ("lines",), Accept()),
        ("/", ("unknown",), Accept()),
    ],
)  # fmt: skip
async def test_the_dialect_is_told_by_path_or_subprotocol(
    town: Town, path: str, subprotocols: tuple[str, ...], answer: Accept
) -> None:
    edge = await town.edge()
    assert edge.endpoint.accept(Handshake(path, "", "", False, subprotocols, "")) == answer


async def test_other_paths_are_not_found(town: Town) -> None:
    rejection = (await town.edge()).endpoint.accept(Handshake("/else", "", "", False, (), ""))
    assert isinstance(rejection, Reject)
    assert rejection.status == 404
    assert "/ws/lines" in rejection.text


async def test_a_connection_without_a_frame_is_closed(town: Town) -> None:
    edge = await town.edge(first_frame_seconds=0.1, unauthenticated_seconds=1000.0)
    silent, talking = Device(edge.endpoint), Device(edge.endpoint)
    await talking.ask(do="status")
    await silent.wire.until(lambda: silent.wire.ended)
    assert silent.wire.closed_with == (1008, "no valid frame in time")
    assert talking.wire.closed_with is None


async def test_silent_peers_are_pinged_and_dropped_without_a_pong(town: Town) -> None:
    edge = await town.edge(ping_interval_seconds=0.3, pong_timeout_seconds=0.5)
    alive, dead, paused = Device(edge.endpoint), Device(edge.endpoint), Device(edge.endpoint)
    for device in (alive, dead, paused):
        await device.ask(do="status")
    await asyncio.sleep(0.01)  # the last turn is over
    dead.wire.mute = paused.wire.mute = True
    paused.client.inbound.paused = True
    await dead.wire.until(lambda: dead.wire.ended)
    await alive.wire.until(lambda: alive.wire.pings > 2)
    # The pong of the third may wait in what we do not read.
    assert [device.wire.ended for device in (alive, paused)] == [False, False]


async def test_who_sends_more_than_is_done_is_not_read_for_a_while(town: Town) -> None:
    await town.edge(incoming_frames=10)
    alice = await town.device(1)
    gate = town.session.close(GetAccount)
    asked = [alice.say(do="account", account=2) for _ in range(12)]
    read = [alice.wire.reading]
    gate.set()
    await alice.answer(asked[-1])
    assert [*read, alice.wire.reading] == [False, True]
    assert alice.answered[-12:] == asked


# The end


async def test_drained_clients_are_answered_then_closed_and_their_read_state_is_committed(town: Town) -> None:
    edge = await town.edge()
    town.world.room(7, 1, 2)
    alice, bob = await town.device(1), await town.device(2)
    await town.message.say(7, 2, "news")
    await alice.until_texts(7, "news")
    gate = town.message.close(PostMessages)
    said = alice.say(do="post", chat=7, text="last words")
    await town.message.until_asked(PostMessages)
    draining = asyncio.create_task(edge.drain())
    await bob.wire.until(lambda: bob.wire.ended)
    assert not alice.wire.reading
    assert alice.wire.closed_with is None
    gate.set()
    await draining
    assert alice.answers[said] == [7, 2]
    for device in (alice, bob):
        assert device.wire.closed_with == (1012, "restarting, please reconnect")
    assert town.world.unread(1, 7) == []
    assert await town.where(1) == []


async def test_many_clients_are_told_one_after_the_other(town: Town) -> None:
    edge = await town.edge(drain_seconds=0.5)
    ends: list[float] = []
    devices = [Device(edge.endpoint) for _ in range(60)]
    started = asyncio.get_running_loop().time()
    draining = asyncio.create_task(edge.drain())
    for device in devices:
        await device.wire.until(lambda device=device: device.wire.ended)  # type: ignore[misc]
        ends.append(asyncio.get_running_loop().time() - started)
    await draining
    assert 0.3 < max(ends) < 2.0
    assert len(edge.endpoint.clients) == 0


@pytest.mark.parametrize("deaf", [True, False])
async def test_who_does_not_go_is_dropped(town: Town, monkeypatch: pytest.MonkeyPatch, deaf: bool) -> None:
    """A client whose request is never answered, and one that does not answer the close frame."""
    monkeypatch.setattr("services.edge.client.endpoint._REPLY_SECONDS", 0.1)
    monkeypatch.setattr("services.edge.client.endpoint._CLOSE_SECONDS", 0.1)
    edge = await town.edge()
    alice = await town.device(1)
    gate = town.session.close(GetAccount)
    alice.say(do="account", account=2)
    await town.session.until_asked(GetAccount)
    alice.wire.deaf = deaf
    async with asyncio.timeout(5):
        await edge.drain()
    gate.set()
    assert alice.wire.ended
    assert len(edge.accounts) == 0
