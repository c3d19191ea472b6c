"""Tests the parser of frames. Its input is cut anywhere, and connections take turns."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.edge.gateway.framing import ParsedFrame, parse_single_close, parse_text
from services.edge.gateway.parser import FrameParserPool
from tests.unit.services.edge.gateway.raw import BINARY, CLOSE, PING, PONG, TEXT, masked

LIMIT = 100_000

sizes = st.sampled_from([0, 1, 125, 126, 4000, 5000, 65_535, 65_536, LIMIT])
data_frames = st.builds(
    lambda size, opcode: ParsedFrame(opcode, True, b"x" * size), sizes, st.sampled_from([TEXT, BINARY])
)
control_frames = st.builds(
    lambda payload, opcode: ParsedFrame(opcode, True, payload), st.binary(max_size=125), st.sampled_from([PING, PONG])
)
streams = st.lists(data_frames | control_frames, max_size=12).map(
    lambda frames: [*frames, ParsedFrame(CLOSE, True, b"\x03\xe8bye")]
)


def wire(frames: list[ParsedFrame]) -> bytes:
    return b"".join(masked(frame.opcode, frame.payload, final=frame.final) for frame in frames)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(
    several=st.lists(streams, min_size=1, max_size=4),
    cuts=st.lists(st.integers(min_value=0), max_size=12),
    order=st.randoms(use_true_random=False),
)
async def test_every_connection_gets_its_own_frames(
    several: list[list[ParsedFrame]], cuts: list[int], order: Random
) -> None:
    new_parser = FrameParserPool(LIMIT)
    connections = [(new_parser(), iter(pieces(wire(frames), cuts)), list[ParsedFrame]()) for frames in several]
    order_of_feeds = [number for number in range(len(several)) for _ in range(len(cuts) + 1)]
    order.shuffle(order_of_feeds)
    for number in order_of_feeds:
        parser, parts, received = connections[number]
        received += parser.feed(memoryview(next(parts)))
        assert parser.violation is None
    assert [received for _, _, received in connections] == several


@given(garbage=st.binary(max_size=300), cut=st.integers(min_value=0, max_value=300))
async def test_garbage_does_not_affect_other_connections(garbage: bytes, cut: int) -> None:
    new_parser = FrameParserPool(LIMIT)
    parser, other = new_parser(), new_parser()
    for part in (garbage[:cut], garbage[cut:]):
        if parser.violation is None:
            parser.feed(memoryview(part))
    if parser.violation is not None:
        assert parser.violation.code in (1002, 1007, 1009)
    assert other.feed(memoryview(masked(TEXT, b"fine"))) == [ParsedFrame(TEXT, True, b"fine")]


async def test_frames_before_a_violation_are_returned() -> None:
    new_parser = FrameParserPool(LIMIT)
    parser = new_parser()
    assert parser.feed(memoryview(masked(TEXT, b"good") + b"\x81\x01x")) == [ParsedFrame(TEXT, True, b"good")]
    assert parser.violation is not None
    assert parser.violation.code == 1002


# Fast paths

near_texts = st.builds(
    lambda payload, opcode, final, reserved: masked(opcode, payload, final=final, reserved=reserved),
    st.sampled_from([0, 1, 124, 125, 126, 127, 130, 131, 132, 133, 134, 300, 65_535, 65_536])
    .flatmap(lambda size: st.sampled_from([b"x" * size, b"\xe4" * size, "é".encode() * (size // 2)])),
    st.sampled_from([TEXT, TEXT, BINARY, PING]),
    st.sampled_from([True, True, False]),
    st.sampled_from([0, 0, 0x40]),
)  # fmt: skip


@settings(max_examples=100)
@given(data=near_texts, start=st.binary(max_size=8), cut=st.integers(-3, 3), limit=st.sampled_from([1, 125, LIMIT]))
async def test_the_fast_path_for_texts_agrees_with_the_parser(data: bytes, start: bytes, cut: int, limit: int) -> None:
    for read in (data, start + data, start + data[len(start) :], data[:cut], data + data[:cut]):
        for before in (b"", b"\x81\x80\x00"):
            text, end = parse_text(before + read, len(before), limit)
            if end:
                frame = (before + read)[len(before) : end]
                parser = FrameParserPool(limit)()
                assert parser.feed(memoryview(frame)) == [ParsedFrame(TEXT, True, text)]
                assert parser.violation is None
                assert parser.is_idle


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 132, 65_535])
def test_a_text_takes_the_fast_path(size: int) -> None:
    frame = masked(TEXT, b"x" * size)
    assert parse_text(frame, 0, size) == (b"x" * size, len(frame))
    assert parse_text(b"ab" + frame + b"c", 2, size) == (b"x" * size, 2 + len(frame))
    assert parse_text(frame, 0, size - 1)[1] == 0
    assert parse_text(frame[:-1], 0, size)[1] == 0
    assert parse_text(frame, len(frame), size)[1] == 0


@pytest.mark.parametrize("size", [124, 125])
def test_a_length_in_a_longer_form_takes_no_fast_path(size: int) -> None:
    assert parse_text(b"\x81\xfe" + size.to_bytes(2, "big") + bytes(4) + b"x" * size, 0, LIMIT)[1] == 0


near_closes = st.builds(
    lambda code, reason, opcode, final, reserved: masked(opcode, code + reason, final=final, reserved=reserved),
    st.sampled_from([b"", b"\x03", *(code.to_bytes(2, "big") for code in (0, 999, 1000, 1005, 1014, 1015, 3000))]),
    st.sampled_from([b"", b"bye", b"\xff", "é".encode(), b"x" * 123, b"x" * 124]),
    st.sampled_from([CLOSE, CLOSE, CLOSE, PING, TEXT]),
    st.sampled_from([True, True, False]),
    st.sampled_from([0, 0, 0x40]),
)  # fmt: skip


@settings(max_examples=100)
@given(data=near_closes, start=st.binary(max_size=8), cut=st.integers(-3, 3))
async def test_the_fast_path_for_close_frames_agrees_with_the_parser(data: bytes, start: bytes, cut: int) -> None:
    for read in (data, start + data, start + data[len(start) :], data[:cut], data + data[:cut]):
        payload = parse_single_close(read)
        if payload is not None:
            parser = FrameParserPool(LIMIT)()
            assert parser.feed(memoryview(read)) == [ParsedFrame(CLOSE, True, payload)]
            assert parser.violation is None


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x0b\xb8see you", b"\x03\xe8" + b"x" * 123])
def test_a_single_close_frame_takes_the_fast_path(payload: bytes) -> None:
    assert parse_single_close(masked(CLOSE, payload)) == payload
