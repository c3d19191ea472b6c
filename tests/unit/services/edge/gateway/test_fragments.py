"""Frames are assembled into messages, and messages are framed."""

import pytest

from services.edge.gateway.framing import (
    CONTINUATION,
    TEXT,
    FragmentAssembler,
    ParsedFrame,
    ProtocolViolation,
    close_echo,
    close_frame,
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


def test_a_long_reason_is_cut_between_characters() -> None:
    assert close_frame(1000, "x" * 123)[4:] == b"x" * 123
    assert close_frame(1000, "x" * 124)[4:] == b"x" * 123
    assert close_frame(1000, "x" + "好" * 41)[4:].decode() == "x" + "好" * 40


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_close_codes_are_echoed(code: int) -> None:
    assert close_echo(code.to_bytes(2, "big") + b"why") == b"\x88\x02" + code.to_bytes(2, "big")


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
