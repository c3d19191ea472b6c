"""Tests lines with the vectors of ircdocs/parser-tests (CC0; commit 6b417e6), and the limits of this server."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.edge.dialects.base import DecodeError
from services.edge.dialects.irc.lines import LINE_BYTES, cut_text, encode_line, parse_line, read_line, word
from shared.contract.errors import ErrorCode


def vectors(name: str) -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))["tests"]
    return tests


@pytest.mark.parametrize("vector", vectors("msg-split.yaml"), ids=lambda vector: vector["input"][:60])
def test_a_line_is_split(vector: dict[str, Any]) -> None:
    line, atoms = parse_line(vector["input"]), vector["atoms"]
    assert line is not None
    assert (line.command, line.source) == (atoms["verb"], atoms.get("source", ""))
    assert (line.parameters, line.tags) == (atoms.get("params", []), atoms.get("tags", {}))


@pytest.mark.parametrize("vector", vectors("msg-join.yaml"), ids=lambda vector: vector["desc"][:60])
def test_a_line_is_joined(vector: dict[str, Any]) -> None:
    atoms = vector["atoms"]
    *words, last = atoms.get("params") or [None]
    joined = encode_line(atoms["verb"], *words, last=last, source=atoms.get("source", ""), tags=atoms.get("tags"))
    if atoms.get("tags", {}).get("foo") is None:
        assert joined.decode() in vector["matches"]
    line = parse_line(joined.decode())
    assert line is not None
    assert (line.tags, line.source, line.command) == (atoms.get("tags", {}), atoms.get("source", ""), atoms["verb"])
    assert line.parameters == atoms.get("params", [])


def test_a_line_has_510_bytes_and_its_tags_4094() -> None:
    whole = b"@" + b"a" * 4094 + b" " + b"X" * LINE_BYTES
    assert read_line(whole + b"\r\n").command == "X" * LINE_BYTES
    for long in (b"X" * (LINE_BYTES + 1), b"@" + b"a" * 4095 + b" X"):
        with pytest.raises(DecodeError) as rejected:
            read_line(long)
        assert rejected.value.failure.code is ErrorCode.TOO_LARGE


def test_no_line_gets_longer_on_its_way_to_others() -> None:
    sent = read_line(b"@+x=" + b"\v" * 4091 + b" TAGMSG #x")
    written = encode_line("PRIVMSG", "#x", last="a" * LINE_BYTES, source="ann!u1@x", tags=sent.tags)
    tags, _, rest = written.partition(b" ")
    assert len(tags) <= len("@") + 4094
    assert len(rest) == LINE_BYTES


@pytest.mark.parametrize("line", [b"", b" ", b":source", b"@tag", b"X \xff", b"X \xed\xa0\x80", b"X a\0b", b"X\nY"])
def test_what_is_no_line_is_rejected(line: bytes) -> None:
    with pytest.raises(DecodeError):
        read_line(line)


@given(st.text(), st.integers(8, 400))
def test_a_text_is_cut_and_nothing_else_is_lost(text: str, size: int) -> None:
    pieces = cut_text(text, size)
    assert all(len(piece.encode(errors="replace")) <= size for piece in pieces)
    assert all(len(f"{piece}x".splitlines()) == 1 and "\0" not in piece for piece in pieces)
    kept = "".join(pieces).replace(" ", "")
    assert kept == "".join("".join(text.splitlines()).split("\0")).replace(" ", "")


def test_a_text_is_cut_at_a_space() -> None:
    assert cut_text("one two three", 8) == ["one two", "three"]
    assert cut_text("甲乙丙", 7) == ["甲乙", "丙"]
    assert cut_text("a\n\nb\r\nc", 9) == ["a", "b", "c"]
    assert cut_text("", 9) == cut_text("\n", 9) == [" "]


@given(st.text())
def test_a_word_is_one_parameter(text: str) -> None:
    line = parse_line(f"X {word(text)} :end")
    assert line is not None
    assert len(line.parameters) == 2
