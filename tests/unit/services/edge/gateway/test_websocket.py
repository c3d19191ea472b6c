"""Tests one WebSocket with the parsers of both libraries."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import connect as connect_in_thread

from services.edge.canonical.frames import Binary, Frame
from services.edge.canonical.transport import Accept
from services.edge.gateway import Gateway
from tests.unit.services.edge.gateway.conftest import MESSAGE_BYTES, Start
from tests.unit.services.edge.gateway.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawPeer, closing, masked
from tests.unit.services.edge.gateway.recording_endpoint import RecordingClient, RecordingEndpoint

LARGE = b"x" * 200_000


def dial(gateway: Gateway, path: str = "/", **options: object) -> connect:
    return connect(f"ws://127.0.0.1:{gateway.port}{path}", proxy=None, max_size=None, **options)  # type: ignore[arg-type]


async def echo(client: RecordingClient) -> None:
    client.on_frame = lambda frame: client.socket.send((frame,))


async def test_messages_of_all_sizes_pass_both_ways(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    async with dial(gateway) as ws:
        await echo(await endpoint.client())
        for size in (0, 1, 125, 126, 4096, 65_535, 65_536, 300_000, MESSAGE_BYTES, 10):
            await ws.send(text := "x" * size)
            assert await ws.recv() == text
        for message in ("你好，世界 🌍", b"\x00\xff", b""):
            await ws.send(message)
            assert await ws.recv() == message
    events = (await endpoint.client()).events
    assert events[-5:] == ["你好，世界 🌍".encode(), Binary(b"\x00\xff"), Binary(b""), "peer_closing", "closed"]


async def test_bytes_arrive_one_by_one(peer: RawPeer, client: RecordingClient) -> None:
    for byte in masked(TEXT, b"x" * 130) + masked(BINARY, b"y"):
        peer.send(bytes((byte,)))
        await asyncio.sleep(0)
    await client.until(b"x" * 130, Binary(b"y"))


async def test_fragments_are_joined_around_control_frames(peer: RawPeer, client: RecordingClient) -> None:
    text = "你好".encode()
    peer.send(masked(TEXT, text[:2], final=False), masked(PING, b"are you there"))
    assert await peer.frame() == (PONG, b"are you there")
    peer.send(masked(CONTINUATION, b"", final=False), masked(PONG), masked(CONTINUATION, text[2:]))
    await client.until("pong", text)
    peer.send(masked(BINARY, b"a", final=False), masked(CONTINUATION), masked(TEXT, b"next"))
    await client.until("pong", text, Binary(b"a"), b"next")


async def test_a_frame_inside_a_payload_is_data(peer: RawPeer, client: RecordingClient) -> None:
    start, inside = b"x" * 200, masked(TEXT, b"inside")
    size = (len(start) + len(inside)).to_bytes(2, "big")
    peer.send(masked(PING), b"\x82\xfe" + size + bytes(4) + start)
    assert await peer.frame() == (PONG, b"")
    peer.send(inside)
    await client.until(Binary(start + inside))


async def test_a_message_inside_a_fragmented_one_is_detected_across_reads(
    peer: RawPeer, client: RecordingClient
) -> None:
    peer.send(masked(TEXT, b"begun", final=False), masked(PING))
    assert await peer.frame() == (PONG, b"")
    peer.send(masked(TEXT, b"another"))
    assert (await peer.closed_with())[0] == 1002
    await client.until("peer_closing")


async def test_writes_of_one_tick_leave_together_and_in_order(peer: RawPeer, endpoint: RecordingEndpoint) -> None:
    socket = (await endpoint.client()).socket
    socket.send((b"one", Binary(b"two")))
    socket.ping()
    socket.send((b"three",))
    assert socket.unsent() == sum(map(len, (b"one", b"two", b"three"))) + 4 * 2
    assert await peer.some() == b"\x81\x03one\x82\x03two\x89\x00\x81\x05three"
    assert socket.unsent() == 0


async def test_messages_sent_at_once_follow_the_handshake(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    endpoint.decision = Accept("ourchat.v2")
    endpoint.on_connected = lambda client: client.socket.send((b"welcome",))
    async with dial(gateway, subprotocols=["native", "ourchat.v2"]) as ws:
        assert ws.subprotocol == "ourchat.v2"
        assert await ws.recv() == "welcome"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(masked(TEXT, b"x", reserved=0x40), 1002, id="reserved bit 1"),
        pytest.param(masked(TEXT, b"x", reserved=0x10), 1002, id="reserved bit 3"),
        pytest.param(b"\x81\x01x", 1002, id="not masked"),
        pytest.param(masked(3, b"x"), 1002, id="unknown data frame"),
        pytest.param(masked(0xB, b"x"), 1002, id="unknown control frame"),
        pytest.param(masked(PING, b"x" * 126), 1002, id="long control frame"),
        pytest.param(masked(PING, b"x", final=False), 1002, id="fragmented control frame"),
        pytest.param(masked(CONTINUATION, b"x"), 1002, id="continuation of nothing"),
        pytest.param(masked(TEXT, b"x", final=False) + masked(TEXT, b"y"), 1002, id="message within a message"),
        pytest.param(masked(CLOSE, b"x"), 1002, id="half a close code"),
        pytest.param(closing(1005), 1002, id="reserved close code"),
        pytest.param(closing(999), 1002, id="unknown close code"),
        pytest.param(masked(CLOSE, b"\x03\xe8\xff"), 1007, id="close reason that is no text"),
        pytest.param(masked(TEXT, b"\xff"), 1007, id="no text"),
        pytest.param(masked(TEXT, b"\xed\xa0\x80"), 1007, id="half a surrogate pair"),
        pytest.param(masked(TEXT, b"\xe4\xbd") + masked(TEXT, b"\xa0"), 1007, id="half a character"),
        pytest.param(masked(TEXT, b"\xe4", final=False) + masked(CONTINUATION, b"a"), 1007, id="no text, in fragments"),
        pytest.param(b"\x81\xff" + (MESSAGE_BYTES + 1).to_bytes(8, "big"), 1009, id="too large"),
        pytest.param(b"\x82\xff" + (1 << 62).to_bytes(8, "big"), 1009, id="enormous"),
        pytest.param(b"\x81\xfe\x00\x05", 1002, id="a size in too many bytes"),
        pytest.param(b"\x81\xff" + (5).to_bytes(8, "big"), 1002, id="a size in far too many bytes"),
        pytest.param(b"\x81\xff\x80" + bytes(7), 1002, id="a size beyond 63 bits"),
    ],
)
async def test_a_protocol_violation_closes_with_a_code_and_reason(
    peer: RawPeer, client: RecordingClient, data: bytes, code: int
) -> None:
    peer.send(masked(TEXT, b"before"), data, masked(TEXT, b"after"))
    closed_code, reason = await peer.closed_with()
    assert closed_code == code
    assert reason
    assert await peer.rest() == b""
    await client.until(b"before", "peer_closing")
    peer.end_writing()
    await client.until(b"before", "peer_closing", "closed")


async def test_a_flood_in_fragments_ends_with_a_close_frame(gateway: Gateway) -> None:
    """The client receives the close frame, and not a reset, although it still sends."""

    def flood() -> Close | None:
        with connect_in_thread(f"ws://127.0.0.1:{gateway.port}/", proxy=None, ping_interval=None) as ws:
            with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 -- either call may raise
                ws.send("x" * (1 << 16) for _ in range(16 << 4))
                ws.recv(timeout=5)
            return closed.value.rcvd

    closed_code = await asyncio.to_thread(flood)
    assert closed_code is not None
    assert closed_code.code == 1009
    assert closed_code.reason


async def test_the_connection_stays_open_until_the_peer_stops_sending(
    peer: RawPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the edge has closed its side, a load balancer resets a client that still sends."""
    monkeypatch.setattr("services.edge.gateway.websocket._QUIET_SECONDS", 0.8)
    peer.send(b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"mask")
    assert (await peer.closed_with())[0] == 1009
    rest = asyncio.create_task(peer.rest())
    for _ in range(12):
        peer.send(b"x" * 1000)
        await asyncio.sleep(0.1)
        assert not rest.done()
    assert await rest == b""


async def test_a_peer_that_does_not_stop_sending_is_dropped(peer: RawPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.edge.gateway.websocket._DRAIN_SECONDS", 0.2)
    peer.send(b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"mask")
    assert (await peer.closed_with())[0] == 1009
    rest = asyncio.create_task(peer.rest())
    while not rest.done():
        peer.send(b"x" * 1000)
        await asyncio.sleep(0.01)
    assert await rest == b""


async def test_pongs_to_a_peer_that_does_not_read_are_bounded(start: Start, endpoint: RecordingEndpoint) -> None:
    gateway = await start(limits={"rates": False})
    async with await RawPeer.open(gateway.port, receive_buffer=4096) as peer:
        peer.stop_reading()
        client = await endpoint.client()
        peer.send(masked(PING, b"x" * 125) * 50_000, masked(TEXT, b"last"))
        await client.until(b"last")
        assert 0 < client.socket.unsent() < 128 * 1024


async def test_a_failing_client_is_closed_with_1011(peer: RawPeer, client: RecordingClient) -> None:

    def fail(frame: Frame) -> None:
        raise ZeroDivisionError

    client.on_frame = fail
    with capture_logs() as logs:
        peer.send(masked(TEXT, b"x"))
        assert await peer.closed_with() == (1011, "internal error")
    await client.until(b"x", "peer_closing")
    assert [entry["event"] for entry in logs] == ["client failed"]


async def test_a_pause_holds_back_received_data(peer: RawPeer, client: RecordingClient) -> None:
    numbers = [b"%06d" % number for number in range(20_000)]
    client.on_frame = lambda frame: client.socket.pause_reading() if len(client.events) == 10 else None
    peer.send(*(masked(TEXT, number) for number in numbers), masked(PING))
    await client.until(*numbers[:10])
    await asyncio.sleep(0.05)
    assert client.events == numbers[:10]
    client.socket.resume_reading()
    await client.until(*numbers)
    assert await peer.frame() == (PONG, b"")


async def test_a_pause_reaches_the_peer(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    async with dial(gateway, ping_interval=None) as ws:
        client = await endpoint.client()
        client.socket.pause_reading()
        sending = asyncio.create_task(ws.send(b"x" * (1 << 20)))
        more = [asyncio.create_task(ws.send(LARGE)) for _ in range(100)]
        await asyncio.sleep(0.1)
        assert not all(task.done() for task in more)
        client.socket.resume_reading()
        await asyncio.gather(sending, *more)
        await client.until(Binary(b"x" * (1 << 20)), *[Binary(LARGE)] * 100)


async def test_closing_ends_a_pause(peer: RawPeer, client: RecordingClient) -> None:
    client.socket.pause_reading()
    peer.send(masked(TEXT, b"unheard"))
    client.socket.close(1012, "restart")
    assert await peer.closed_with() == (1012, "restart")
    peer.send(closing(1012))
    await client.until("peer_closing", "closed")


async def test_a_close_is_echoed(peer: RawPeer, client: RecordingClient) -> None:
    client.socket.send((b"last words",))
    peer.send(masked(TEXT, b"bye"), closing(3001, "done"), masked(TEXT, b"unheard"))
    assert await peer.frame() == (TEXT, b"last words")
    assert await peer.closed_with() == (3001, "")
    assert await peer.rest() == b""
    await client.until(b"bye", "peer_closing", "closed")


async def test_a_message_that_arrives_with_a_close_frame_is_handled_before_the_end(
    peer: RawPeer, client: RecordingClient
) -> None:
    """Clients handle their messages at the end of an iteration of the event loop."""

    def handle_later(_: Frame) -> None:
        asyncio.get_running_loop().call_soon(client.pong_received)

    client.on_frame = handle_later
    peer.send(masked(TEXT, b"last words") + closing(1000))
    await client.until(b"last words", "pong", "peer_closing", "closed")


async def test_a_close_without_a_code_is_echoed_without_one(peer: RawPeer) -> None:
    peer.send(masked(CLOSE))
    assert await peer.frame() == (CLOSE, b"")


async def test_the_server_closes(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    async with dial(gateway) as ws:
        client = await endpoint.client()
        client.socket.send((LARGE, LARGE))
        client.socket.close(1012, "restart " + "好" * 50)
        client.socket.send((b"too late",))
        client.socket.close(1000, "again")
        assert [len(await ws.recv()), len(await ws.recv())] == [len(LARGE), len(LARGE)]
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert closed.value.rcvd.reason == "restart " + "好" * 38
    await client.until("peer_closing", "closed")


async def test_after_our_close_only_pongs_are_reported(peer: RawPeer, client: RecordingClient) -> None:
    client.socket.ping()
    client.socket.close(1000, "")
    peer.send(masked(TEXT, b"unheard"), masked(PONG), masked(PING), closing(1000))
    await client.until("pong", "peer_closing", "closed")
    assert await peer.rest() == b"\x89\x00\x88\x02\x03\xe8"


async def test_a_peer_that_does_not_answer_a_close_is_dropped(
    peer: RawPeer, client: RecordingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.gateway.transport._CLOSING_SECONDS", 2)
    client.socket.send((b"news",))
    client.socket.close(1000, "")
    assert await peer.frame() == (TEXT, b"news")
    assert await peer.closed_with() == (1000, "")
    started = asyncio.get_running_loop().time()
    assert await peer.rest() == b""
    assert asyncio.get_running_loop().time() - started > 1
    await client.until("peer_closing", "closed")
    assert client.unacknowledged_at["peer_closing"] == 0


@pytest.mark.parametrize("end", [lambda peer: None, lambda peer: peer.send(closing(1000)), RawPeer.end_writing])
async def test_a_peer_that_does_not_read_is_dropped_soon(
    stalled_peer: RawPeer, endpoint: RecordingEndpoint, end: Callable[[RawPeer], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.gateway.transport._CLOSING_SECONDS", 60)
    client = await endpoint.client()
    client.socket.send((LARGE,) * 20)
    end(stalled_peer)
    client.socket.close(1013, "too slow")
    await client.until_closed()


async def test_a_slow_peer_that_reads_receives_everything_and_the_close_frame(
    stalled_peer: RawPeer, endpoint: RecordingEndpoint
) -> None:
    client = await endpoint.client()
    client.socket.send((LARGE,) * 5)
    client.socket.close(1013, "too slow")
    assert client.socket.unsent() > 2 * len(LARGE)
    stalled_peer.start_reading()
    for _ in range(5):
        assert await stalled_peer.frame() == (TEXT, LARGE)
    assert await stalled_peer.closed_with() == (1013, "too slow")


async def test_the_end_of_the_stream(peer: RawPeer, client: RecordingClient) -> None:
    client.socket.send((b"still read",))
    peer.send(masked(TEXT, b"half a frame")[:5])
    peer.end_writing()
    assert await peer.rest() == b"\x81\x0astill read"
    await client.until("peer_closing", "closed")


async def test_an_abort_is_reported_later_and_once(peer: RawPeer, client: RecordingClient) -> None:
    client.on_frame = lambda frame: client.socket.abort()
    peer.send(masked(TEXT, b"one"), masked(TEXT, b"two"), closing(1000))
    await client.until(b"one", "closed")
    assert await peer.rest() == b""


async def test_an_abort_within_connected(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    endpoint.on_connected = lambda client: client.socket.abort()
    async with await RawPeer.open(gateway.port) as peer:
        assert await peer.rest() == b""
    await (await endpoint.client()).until("closed")


async def test_calls_after_the_end_do_nothing(peer: RawPeer, client: RecordingClient) -> None:
    peer.send(closing(1000))
    await client.until("peer_closing", "closed")
    await client.use_after_the_end()


async def test_an_idle_socket_has_no_task_and_no_timer(peer: RawPeer, endpoint: RecordingEndpoint) -> None:
    await endpoint.client()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_peer_that_does_not_read_delays_no_other(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    async with await RawPeer.open(gateway.port, receive_buffer=4096) as slow, dial(gateway) as other:
        slow.stop_reading()
        victim = await endpoint.client(0)
        await echo(await endpoint.client(1))
        for number in range(50):
            victim.socket.send((LARGE,))
            await other.send(str(number))
            assert await other.recv() == str(number)
        assert victim.socket.unsent() > 40 * len(LARGE)
        victim.socket.abort()
        await victim.until("closed")
        assert victim.socket.unsent() == 0
        await other.send("still here")
        assert await other.recv() == "still here"
