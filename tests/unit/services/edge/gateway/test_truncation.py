"""Large frames of clients that are not logged in are cut off while they arrive."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.canonical.frames import Binary
from services.edge.gateway import Gateway
from services.edge.gateway.framing import FrameTruncator
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.gateway.conftest import MESSAGE_BYTES, Start
from tests.unit.services.edge.gateway.raw import BINARY, CONTINUATION, PING, PONG, TEXT, RawPeer, masked
from tests.unit.services.edge.gateway.recording_endpoint import RecordingEndpoint

KEPT = LimitsSettings().text_frame_bytes + 1
opcodes = st.sampled_from([TEXT, BINARY, CONTINUATION, PING])
sizes = st.one_of(st.integers(0, 130), st.sampled_from([999, 1_000, 1_001, 5_000, 65_536, 90_000]))


def shortened(opcode: int, payload: bytes) -> bytes:
    """Returns the frame as a truncator lets it pass that keeps 1,000 bytes."""
    return payload if opcode == PING else payload[:1_000]


def payloads(stream: bytes) -> list[tuple[int, bytes]]:
    """Returns the opcodes and the unmasked payloads of complete frames."""
    found = []
    while stream:
        size, at = stream[1] & 0x7F, 2
        if size > 125:
            more = 2 if size == 126 else 8
            size, at = int.from_bytes(stream[2 : 2 + more], "big"), 2 + more
        mask, body = stream[at : at + 4], stream[at + 4 : at + 4 + size]
        found.append((stream[0] & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(body))))
        stream = stream[at + 4 + size :]
    return found


@given(frames=st.lists(st.tuples(opcodes, sizes), max_size=4), steps=st.lists(st.integers(1, 4_000), min_size=1))
def test_any_split_of_the_stream_shortens_the_same_frames(frames: list[tuple[int, int]], steps: list[int]) -> None:
    sent = [(opcode, os.urandom(min(size, 125) if opcode == PING else size)) for opcode, size in frames]
    stream = b"".join(masked(opcode, payload) for opcode, payload in sent)
    truncator, out, at, turn = FrameTruncator(1_000, 1_000_000), b"", 0, 0
    while at < len(stream):
        step = steps[turn % len(steps)] if turn < 50 else len(stream)
        out += truncator.feed(stream[at : at + step])
        at, turn = at + step, turn + 1
    assert payloads(out) == [(opcode, shortened(opcode, payload)) for opcode, payload in sent]
    assert truncator.is_idle


async def test_before_the_login_the_beginning_of_a_large_message_is_reported(
    gateway: Gateway, endpoint: RecordingEndpoint
) -> None:
    endpoint.on_connected = lambda client: setattr(client, "is_logged_in", False)
    large = "中".encode() * 200_000
    async with await RawPeer.open(gateway.port) as peer:
        client = await endpoint.client()
        peer.send(masked(TEXT, large), masked(BINARY, large), masked(TEXT, large[:600], final=False))
        peer.send(masked(CONTINUATION, large[600:]), masked(TEXT, b"small"))
        expected = large[:KEPT]
        await client.until(expected, Binary(expected), expected, b"small")
        client.is_logged_in = True
        peer.send(masked(TEXT, large), masked(PING, b"x"))
        assert await peer.frame() == (PONG, b"x")
        assert client.events[-1] == large


async def test_half_sent_messages_take_no_more_memory_than_a_text_frame(
    start: Start, endpoint: RecordingEndpoint
) -> None:
    """The limit is for the size of one frame, or of many fragments together."""
    gateway = await start(limits={"rates": False})
    endpoint.on_connected = lambda client: setattr(client, "is_logged_in", False)
    async with await RawPeer.dial(gateway.port) as whole, await RawPeer.dial(gateway.port) as parts:
        for peer in (whole, parts):
            await peer.upgrade()
        whole.send(masked(TEXT, b"x" * MESSAGE_BYTES)[:-1])
        parts.send(masked(TEXT, b"", final=False), masked(CONTINUATION, b"y" * 10_000, final=False) * 200)
        parts.send(masked(PING, b"z"))
        assert await parts.frame() == (PONG, b"z")
        websocket = (await endpoint.client(1)).socket
        assert len(websocket._assembler._fragments) == KEPT  # type: ignore[attr-defined]
        whole.send(b"x", masked(PING, b"z"))
        assert await whole.frame() == (PONG, b"z")
        assert [type(event) for event in (await endpoint.client(0)).events] == [bytes]


@pytest.mark.parametrize("fragmented", [False, True])
async def test_a_message_beyond_the_transport_s_limit_still_closes(
    gateway: Gateway, endpoint: RecordingEndpoint, fragmented: bool
) -> None:
    endpoint.on_connected = lambda client: setattr(client, "is_logged_in", False)
    async with await RawPeer.open(gateway.port) as peer:
        if fragmented:
            peer.send(masked(TEXT, b"", final=False), masked(CONTINUATION, b"x" * 1_000_000, final=False) * 3)
        else:
            peer.send(masked(TEXT, b"x" * (MESSAGE_BYTES + 1)))
        assert (await peer.closed_with())[0] == 1009
