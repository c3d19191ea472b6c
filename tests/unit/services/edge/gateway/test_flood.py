"""Some input is not counted by a request limit. Tests the rules for it, and how they affect a connection."""

import asyncio
from typing import Any

import pytest

from local.ports import free_port
from services.edge.gateway import Gateway
from services.edge.gateway.flood import PART_BYTES, SMALL_FRAGMENT_BYTES, FloodGuard
from services.edge.gateway.framing import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    FrameTruncator,
    ParsedFrame,
    ProtocolViolation,
)
from shared.settings.limits import LimitsSettings
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.gateway.conftest import Start
from tests.unit.services.edge.gateway.raw import RawPeer, masked
from tests.unit.services.edge.gateway.recording_endpoint import RecordingEndpoint

LIMITS = LimitsSettings(control_frames_per_second=10, control_frames_burst=5, received_bytes_per_second=1_000)
SMALL = {
    "pings": ParsedFrame(PING, True, b""),
    "unsolicited pongs": ParsedFrame(PONG, True, b"x"),
    "empty fragments": ParsedFrame(CONTINUATION, False, b""),
    "small fragments": ParsedFrame(TEXT, False, b"x" * (SMALL_FRAGMENT_BYTES - 1)),
}


def passed(guard: FloodGuard, frame: ParsedFrame, number: int, now: float = 0.0) -> int:
    """Returns how many of the frames pass before the violation."""
    for count in range(number):
        try:
            guard.check(frame, now)
        except ProtocolViolation:
            return count
    return number


@pytest.mark.parametrize("kind", SMALL)
def test_frames_pass_up_to_the_burst_and_then_at_the_rate(kind: str) -> None:
    guard = FloodGuard(LIMITS)
    assert passed(guard, SMALL[kind], 9) == 5
    assert passed(guard, SMALL[kind], 9, now=0.3) == 3


def test_large_fragments_and_pongs_to_our_pings_do_not_count() -> None:
    guard = FloodGuard(LIMITS)
    assert passed(guard, ParsedFrame(CONTINUATION, False, bytes(SMALL_FRAGMENT_BYTES)), 1_000) == 1_000
    for _ in range(20):
        guard.ping_sent()
    assert passed(guard, SMALL["unsolicited pongs"], 30) == 25


def test_without_rates_everything_passes() -> None:
    guard = FloodGuard(LIMITS.model_copy(update={"rates": False}))
    assert passed(guard, SMALL["pings"], 1_000) == 1_000
    assert guard.pause_seconds(10**9, 0.0) == 0.0


def test_bytes_beyond_two_seconds_of_the_rate_cost_a_pause() -> None:
    guard = FloodGuard(LIMITS)
    assert [guard.pause_seconds(1_000, 0.0) for _ in range(4)] == [0.0, 0.0, 1.0, 2.0]
    assert guard.pause_seconds(1_000, 2.5) == pytest.approx(0.5)
    assert guard.pause_seconds(1_000, 100.0) == 0.0


@pytest.mark.parametrize("flood", [masked(PING), masked(PONG, b"x"), masked(CONTINUATION, b"", final=False)])
async def test_a_flood_closes_its_connection_alone(start: Start, endpoint: RecordingEndpoint, flood: bytes) -> None:
    gateway = await start(limits={"control_frames_burst": 50})
    async with await RawPeer.open(gateway.port) as bystander, await RawPeer.open(gateway.port) as peer:
        peer.send(masked(TEXT, b"x" * 200, final=False), flood * 200)
        while (answer := await peer.frame())[0] == PONG:
            pass
        assert (answer[0], answer[1][:2]) == (CLOSE, (1008).to_bytes(2, "big"))
        bystander.send(masked(PING, b"still here"))
        assert await bystander.frame() == (PONG, b"still here")


async def test_a_fast_sender_is_read_at_the_rate(start: Start, endpoint: RecordingEndpoint) -> None:
    """All bytes arrive, but not faster than the rate permits."""
    gateway = await start(limits={"received_bytes_per_second": 200_000})
    async with await RawPeer.open(gateway.port) as peer:
        client = await endpoint.client()
        started = asyncio.get_running_loop().time()
        texts = [digit * 100_000 for digit in (b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h", b"i", b"j")]
        peer.send(*(masked(TEXT, text) for text in texts))
        await client.until(*texts)
        assert asyncio.get_running_loop().time() - started > 0.5


async def test_a_client_that_reads_again_does_not_end_the_pause(start: Start, endpoint: RecordingEndpoint) -> None:
    """The client's queue has space again, so it asks to continue reading. But the pause for its rate still lasts."""
    gateway = await start(limits={"received_bytes_per_second": 1_000})
    async with await RawPeer.open(gateway.port) as peer:
        client = await endpoint.client()
        connection: Any = client.socket
        peer.send(masked(TEXT, b"a" * 100_000))
        await until(lambda: connection._throttled is not None)
        connection.pause_reading()
        connection.resume_reading()
        await asyncio.sleep(0.05)
        assert not connection._transport.is_reading()


@pytest.mark.parametrize(
    ("is_tcp", "begin", "part"),
    [(False, masked(TEXT, b"x" * 100)[:20], b"x"), (True, b"a line", b"x"), (True, b"a line\n", b"\n")],
)
async def test_reads_that_complete_nothing_count_at_least_as_small_ones(
    start: Start, endpoint: RecordingEndpoint, is_tcp: bool, begin: bytes, part: bytes
) -> None:
    """The client sends parts of messages, or blanks between them."""
    port = free_port()
    gateway = await start(tcp_port=port, limits={"received_bytes_per_second": PART_BYTES})
    async with await RawPeer.dial(port if is_tcp else gateway.port) as peer:
        if not is_tcp:
            await peer.upgrade()
        connection: Any = (await endpoint.client()).socket
        peer.send(begin)
        for _ in range(10):
            peer.send(part)
            await asyncio.sleep(0.01)
        await until(lambda: connection._throttled is not None)


@pytest.mark.parametrize(
    ("is_tcp", "begin", "meanwhile"),
    [(False, masked(TEXT, b"x" * 200, final=False), masked(PING)), (True, b'[1]\n{"a":', b"1")],
)
async def test_a_message_that_never_ends_ends_its_connection(
    start: Start,
    endpoint: RecordingEndpoint,
    monkeypatch: pytest.MonkeyPatch,
    is_tcp: bool,
    begin: bytes,
    meanwhile: bytes,
) -> None:
    monkeypatch.setattr("services.edge.gateway.transport._MESSAGE_SECONDS", 0.1)
    port = free_port()
    gateway = await start(tcp_port=port)
    async with await RawPeer.dial(port if is_tcp else gateway.port) as peer:
        if not is_tcp:
            await peer.upgrade()
        client = await endpoint.client()
        client.on_end = lambda: client.socket.close(1000, "all is answered")
        peer.send(begin)
        async with asyncio.timeout(WAIT_SECONDS):
            while "peer_closing" not in client.events:
                peer.send(meanwhile)
                await asyncio.sleep(0.02)


async def test_messages_that_follow_each_other_may_last(
    start: Start, endpoint: RecordingEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is always an incomplete message, but no message is incomplete for longer than permitted."""
    monkeypatch.setattr("services.edge.gateway.transport._MESSAGE_SECONDS", 0.1)
    gateway = await start()
    async with await RawPeer.open(gateway.port) as peer:
        frame = masked(TEXT, b"x" * 100)
        peer.send(frame[:50])
        for _ in range(20):
            await asyncio.sleep(0.02)
            peer.send(frame[50:] + frame[:50])
        peer.send(frame[50:])
        await (await endpoint.client()).until(*[b"x" * 100] * 21)


async def flood(port: int, address: str) -> None:
    """Sends a flood until the server has closed the connection because of it."""
    async with await RawPeer.open(port, "/", f"X-Forwarded-For: {address}") as peer:
        peer.send(masked(PONG) * 200)
        assert (await peer.closed_with())[0] == 1008


async def test_connections_closed_for_floods_leave_their_address_fewer_new_ones(start: Start) -> None:
    limits = {"control_frames_burst": 50, "new_connections_burst": 120, "new_connections_per_second": 0.001}
    gateway = await start(limits=limits, trusted_proxies=["127.0.0.0/8"])
    await flood(gateway.port, "192.0.2.1")
    await flood(gateway.port, "192.0.2.1")
    dials = 0
    while await answer_to_ping(gateway.port, "192.0.2.1") == PONG:
        dials += 1
    assert dials < 10
    assert await answer_to_ping(gateway.port, "192.0.2.1") == CLOSE
    assert await answer_to_ping(gateway.port, "192.0.2.2") == PONG


async def answer_to_ping(port: int, address: str) -> int:
    """Returns the opcode of the answer."""
    async with await RawPeer.open(port, "/", f"X-Forwarded-For: {address}") as peer:
        peer.send(masked(PING, b"x"))
        return (await peer.frame())[0]


async def test_requests_sent_without_waiting_for_responses_are_few(gateway: Gateway) -> None:
    async with await RawPeer.dial(gateway.port) as peer:
        peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        received = await peer.rest()
    assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 200 OK") <= 10


async def test_a_flood_is_not_parsed_beyond_its_violation(
    start: Start, endpoint: RecordingEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server hardly does any work for the rest of the received bytes, or for bytes that arrive until the client has
    stopped.
    """
    parsed = parsed_bytes(monkeypatch)
    endpoint.on_connected = lambda client: setattr(client, "is_logged_in", False)
    gateway = await start(limits={"control_frames_burst": 50})
    async with await RawPeer.open(gateway.port) as peer:
        for _ in range(5):
            peer.send(masked(PONG) * 20_000)
        assert (await peer.closed_with())[0] == 1008
        peer.send(masked(PONG) * 20_000)
        await peer.rest()
    assert sum(parsed) <= 2 * 1024


def parsed_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns a list of the numbers of bytes that were parsed for clients that are not logged in."""
    parsed: list[int] = []
    feed = FrameTruncator.feed

    def counted(truncator: FrameTruncator, data: bytes) -> bytes:
        parsed.append(len(data))
        return feed(truncator, data)

    monkeypatch.setattr(FrameTruncator, "feed", counted)
    return parsed


async def test_nothing_is_parsed_after_a_client_is_closed_for_its_requests(
    start: Start, endpoint: RecordingEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = parsed_bytes(monkeypatch)
    endpoint.on_connected = lambda client: setattr(client, "is_logged_in", False)
    gateway = await start()
    async with await RawPeer.open(gateway.port) as peer:
        client = await endpoint.client()
        client.socket.count_as_flood()
        client.socket.close(1008, "too many requests")
        assert await peer.closed_with() == (1008, "too many requests")
        for _ in range(3):
            peer.send(masked(TEXT, b"again") * 5_000)
        await peer.rest()
    assert parsed == []
