"""Frames are assembled into messages, and messages are framed."""

import pytest

from services.edge.canonical.frames import Binary
from services.edge.gateway.framing import (
    BINARY,
    CONTINUATION,
    PONG,
    TEXT,
    FragmentAssembler,
    ParsedFrame,
    ProtocolViolation,
    close_echo,
    close_frame,
    frame_bytes,
    message_bytes,
)

LIMIT = 100


def violation_code(assembler: FragmentAssembler, *frames: ParsedFrame) -> int:
    """Returns the close code for the last frame. The earlier frames must be accepted."""
    *accepted, last = frames
    for one in accepted:
        assert assembler.add(one) is None
    with pytest.raises(ProtocolViolation) as violation:
        assembler.add(last)
    return violation.value.code


def test_a_whole_message_is_returned_unchanged() -> None:
    assembler = FragmentAssembler(LIMIT)
    assert assembler.add(ParsedFrame(TEXT, True, b"hello")) == b"hello"
    assert assembler.add(ParsedFrame(TEXT, True, "你好".encode())) == "你好".encode()
    assert assembler.add(ParsedFrame(BINARY, True, b"\xff")) == Binary(b"\xff")
    assert assembler.add(ParsedFrame(TEXT, True, b"")) == b""


def test_fragments_are_joined_even_within_a_character() -> None:
    assembler = FragmentAssembler(LIMIT)
    text = "你好".encode()
    assert assembler.add(ParsedFrame(TEXT, False, text[:1])) is None
    assert assembler.add(ParsedFrame(CONTINUATION, False, text[1:4])) is None
    assert assembler.add(ParsedFrame(CONTINUATION, True, text[4:])) == text
    assert assembler.add(ParsedFrame(BINARY, False, b"a")) is None
    assert assembler.add(ParsedFrame(CONTINUATION, True, b"")) == Binary(b"a")
    assert assembler.add(ParsedFrame(TEXT, True, b"next")) == b"next"


def test_text_must_be_utf8() -> None:
    assert violation_code(FragmentAssembler(LIMIT), ParsedFrame(TEXT, True, b"a\xff")) == 1007
    assert violation_code(FragmentAssembler(LIMIT), ParsedFrame(TEXT, True, b"\xed\xa0\x80")) == 1007
    assert (
        violation_code(
            FragmentAssembler(LIMIT), ParsedFrame(TEXT, False, b"\xe4"), ParsedFrame(CONTINUATION, True, b"a")
        )
        == 1007
    )


def test_fragments_must_be_in_order() -> None:
    assert violation_code(FragmentAssembler(LIMIT), ParsedFrame(CONTINUATION, True, b"a")) == 1002
    assert (
        violation_code(FragmentAssembler(LIMIT), ParsedFrame(TEXT, False, b"a"), ParsedFrame(TEXT, True, b"b")) == 1002
    )


def test_the_limit_is_inclusive_and_counts_all_fragments() -> None:
    assembler = FragmentAssembler(LIMIT)
    assert assembler.add(ParsedFrame(TEXT, False, b"x" * 60)) is None
    assert assembler.add(ParsedFrame(CONTINUATION, True, b"x" * 40)) == b"x" * 100
    assert (
        violation_code(assembler, ParsedFrame(TEXT, False, b"x" * 60), ParsedFrame(CONTINUATION, False, b"x" * 41))
        == 1009
    )


@pytest.mark.parametrize(
    ("size", "head"),
    [(0, "8100"), (125, "817d"), (126, "817e007e"), (65_535, "817effff"), (65_536, "817f0000000000010000")],
)
def test_lengths_are_written_in_their_shortest_form(size: int, head: str) -> None:
    assert message_bytes(b"x" * size) == bytes.fromhex(head) + b"x" * size


def test_kinds_of_frames() -> None:
    assert message_bytes(Binary(b"x")) == b"\x82\x01x"
    assert frame_bytes(PONG, b"x") == b"\x8a\x01x"
    assert close_frame(1012, "restart") == b"\x88\x09\x03\xf4restart"


def test_a_long_reason_is_cut_between_characters() -> None:
    assert close_frame(1000, "x" * 123)[4:] == b"x" * 123
    assert close_frame(1000, "x" * 124)[4:] == b"x" * 123
    assert close_frame(1000, "x" + "好" * 41)[4:].decode() == "x" + "好" * 40


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_close_codes_are_echoed(code: int) -> None:
    assert close_echo(code.to_bytes(2, "big") + b"why") == b"\x88\x02" + code.to_bytes(2, "big")


def test_a_close_without_a_code_is_echoed_without_one() -> None:
    assert close_echo(b"") == b"\x88\x00"


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_some_close_codes_must_not_be_sent(code: int) -> None:
    with pytest.raises(ProtocolViolation) as violation:
        close_echo(code.to_bytes(2, "big"))
    assert violation.value.code == 1002


def test_of_a_longer_message_the_beginning_remains_and_the_whole_is_counted() -> None:
    """The kept beginning may end within a character. Nothing else in the message may be invalid."""
    text = "你好".encode() * 5
    assembler = FragmentAssembler(LIMIT, kept=10)
    assert assembler.add(ParsedFrame(TEXT, False, text[:7])) is None
    assert assembler.add(ParsedFrame(CONTINUATION, False, text[7:9])) is None
    assert assembler.add(ParsedFrame(CONTINUATION, True, text[9:])) == text[:10]
    assert assembler.add(ParsedFrame(TEXT, True, b"short")) == b"short"
    assert violation_code(assembler, ParsedFrame(TEXT, False, b"a\xff"), ParsedFrame(CONTINUATION, True, text)) == 1007
    assembler = FragmentAssembler(LIMIT, kept=10)
    parts = [ParsedFrame(CONTINUATION, False, b"x" * 40) for _ in range(2)]
    assert violation_code(assembler, ParsedFrame(TEXT, False, b"x" * 40), *parts) == 1009
