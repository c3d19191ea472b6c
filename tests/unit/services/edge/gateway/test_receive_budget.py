"""The memory for incomplete messages has a limit for all connections together."""

import asyncio

import pytest

from services.edge.gateway.framing import CLOSE, CONTINUATION, PING, PONG, TEXT, TRY_LATER
from services.edge.gateway.parser import FrameParserPool
from services.edge.gateway.stream_splitter import StreamSplitter
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.gateway.conftest import Start
from tests.unit.services.edge.gateway.raw import RawPeer, masked
from tests.unit.services.edge.gateway.recording_endpoint import RecordingEndpoint

LIMITS = {"receiving_bytes": 100_000, "rates": False}
LARGE = b"x" * 80_000
BEGUN = {
    "a frame": (masked(TEXT, LARGE)[:-1], masked(TEXT, LARGE)[-1:]),
    "fragments": (masked(TEXT, LARGE, final=False), masked(CONTINUATION, b"")),
}
"""For each kind, the beginning of a message, and its end."""


async def test_the_parser_counts_the_bytes_of_an_incomplete_frame() -> None:
    parser = FrameParserPool(200_000)()
    frame = masked(TEXT, LARGE)
    for _ in range(2):
        assert parser.buffered == 0
        assert parser.feed(memoryview(frame[:50_000])) == []
        assert parser.buffered >= 50_000 - len(frame) + len(LARGE)
        assert len(parser.feed(memoryview(frame[50_000:]))) == 1
    parser.feed(memoryview(frame + frame[:3_000]))
    assert 2_900 < parser.buffered <= 3_000


def test_a_stream_counts_the_bytes_of_an_incomplete_value() -> None:
    splitter = StreamSplitter(1_000)
    splitter.feed(memoryview(b'{"a":1}{"b":'))
    assert splitter.buffered == len(b'{"b":')


@pytest.mark.parametrize(("begun", "rest"), BEGUN.values(), ids=BEGUN)
async def test_beyond_the_budget_the_next_sender_is_closed(
    start: Start, endpoint: RecordingEndpoint, begun: bytes, rest: bytes
) -> None:
    """An earlier sender completes its message, and then there is space again."""
    gateway = await start(limits=LIMITS)
    async with await RawPeer.open(gateway.port) as first, await RawPeer.dial(gateway.port) as second:
        client = await endpoint.client()
        await second.upgrade()
        first.send(begun)
        async with asyncio.timeout(WAIT_SECONDS):
            while gateway._budget.held < len(LARGE) - 1:
                second.send(masked(PING, b"wait"))
                assert await second.frame() == (PONG, b"wait")
        second.send(masked(TEXT, LARGE)[:40_000])
        code, payload = await second.frame()
        assert (code, payload[:2]) == (CLOSE, TRY_LATER.to_bytes(2, "big"))
        first.send(rest)
        await client.until(LARGE)
    async with await RawPeer.open(gateway.port) as third:
        client = await endpoint.client(2)
        third.send(masked(TEXT, LARGE))
        await client.until(LARGE)
        assert gateway._budget.held == 0
