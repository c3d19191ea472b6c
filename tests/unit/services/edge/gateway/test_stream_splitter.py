"""The splitter finds the same frames in a stream, however the stream is divided into packets."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.gateway.stream_splitter import StreamSplitter

LIMIT = 1000

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
containers = st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[low:high] for low, high in pairwise(bounds)]


def frames(*packets: bytes, limit: int = LIMIT) -> tuple[list[bytes], StreamSplitter]:
    splitter = StreamSplitter(limit)
    found: list[bytes] = []
    for packet in packets:
        if splitter.violation is None:
            found += splitter.feed(memoryview(packet))
    return found, splitter


@given(
    first=containers,
    others=st.lists(values),
    space=st.sampled_from(["", " ", "\n", "\r\n\t "]),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
    cuts=st.lists(st.integers(0, 1 << 20)),
)
def test_any_split_of_any_values_gives_the_same_values(
    first: object, others: list[object], space: str, ascii_only: bool, indent: int | None, cuts: list[int]
) -> None:
    texts = [json.dumps(value, ensure_ascii=ascii_only, indent=indent) for value in (first, *others)]
    apart = [text if text[0] in '[{"' else f" {text} " for text in texts]  # two words need a space between them
    data = space.join(apart).encode(errors="surrogatepass")
    found, splitter = frames(*pieces(data, cuts), limit=1 << 30)
    assert found == [text.encode(errors="surrogatepass") for text in texts]
    assert splitter.violation is None
    assert splitter.remainder() == []


@given(
    lines=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1).map(lambda text: f"pipe|{text}|")
    ),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    cuts=st.lists(st.integers(0, 1 << 20)),
)
def test_any_split_of_any_lines_gives_the_same_lines(lines: list[str], end: str, cuts: list[int]) -> None:
    data = "".join(line + end for line in lines).encode()
    found, splitter = frames(*pieces(data, cuts), limit=1 << 30)
    assert [frame.rstrip(b"\r") for frame in found] == [line.rstrip("\r").encode() for line in lines]
    assert splitter.violation is None


@given(st.lists(st.binary(max_size=40), max_size=10), st.lists(st.integers(0, 1 << 10)))
def test_any_bytes_are_split_the_same_in_any_packets(packets: list[bytes], cuts: list[int]) -> None:
    data = b"".join(packets)
    at_once, whole = frames(data)
    in_pieces, split_up = frames(*pieces(data, cuts))
    broken = whole.violation is not None
    assert (split_up.violation is not None) == broken
    assert in_pieces[: len(in_pieces) - broken] == at_once[: len(at_once) - broken]
    assert broken or whole.remainder() == split_up.remainder()


@pytest.mark.parametrize(
    "value",
    [b'{"a":"}"}', b'["]\\"]"]', b'{"a":"\\\\"}', b'{"\\u007b":[{}]}', b'{"a":abc}', b'{"a" 1,,}', b'{"a":"\xff\xc3"}'],
)
def test_quotes_escapes_and_errors_inside_a_value_do_not_hide_its_end(value: bytes) -> None:
    for cut in range(len(value) + 1):
        assert frames(value[:cut], value[cut:] + b"{}")[0] == [value, b"{}"]


def test_values_without_brackets() -> None:
    assert frames(b'{}12 "a b" nul -1.5e+3{}true"x"')[0] == [
        b"{}", b"12", b'"a b"', b"nul", b"-1.5e+3", b"{}", b"true", b'"x"',
    ]  # fmt: skip


def test_deep_nesting() -> None:
    deep = b"[" * 400 + b"]" * 400
    assert frames(deep + b"{}")[0] == [deep, b"{}"]


@pytest.mark.parametrize("garbage", [b"}", b",{}", b"\x00", b"\xff\xd8\xff", b'{"a":[1}', b"[}]", b"|"])
def test_malformed_data_are_the_last_frame_and_not_json(garbage: bytes) -> None:
    found, splitter = frames(b"{}" + garbage + b'{"code":12}')
    assert splitter.violation is not None
    assert found[0] == b"{}"
    assert len(found) == 2
    with pytest.raises(ValueError, match=r"."):
        json.loads(found[1])


@pytest.mark.parametrize(("before", "after"), [(b'{"', b'"}'), (b"login|", b"")])
def test_size_is_limited(before: bytes, after: bytes) -> None:
    right = before + b"x" * (LIMIT - len(before + after)) + after
    assert frames(right + b"\n")[0] == [right]
    for packets in ((b"x".join((right[:10], right[10:])) + b"\n",), (right[:10], b"x", right[10:], b"\n")):
        found, splitter = frames(*packets)
        assert splitter.violation is not None
        assert [len(frame) for frame in found] == [LIMIT]
    unfinished = before + b"x" * (LIMIT + 1)
    assert frames(unfinished)[1].violation is not None


def test_the_remainder_at_the_end_of_the_stream() -> None:
    for data, rest in ((b'{}{"a":', b'{"a":'), (b"login|a", b"login|a"), (b"{} 12", b"12"), (b"{}\n", b"")):
        assert frames(data)[1].remainder() == ([rest] if rest else [])


def test_no_text_breaks_a_line() -> None:
    breaks = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
    lines = frames(b"login|a|b\n")[1]
    sent = lines.to_wire(f"message|0|1|2|a{breaks}b".encode(), b"\n")
    assert sent.decode() == f"message|0|1|2|a{' ' * len(breaks)}b\n"
    values = frames(b"{}")[1]
    text = json.dumps({"text": f"a{breaks}你b"}, ensure_ascii=False)
    sent = values.to_wire(text.encode(), b"\n")
    assert sent.decode().splitlines() == [sent.decode().removesuffix("\n")]
    assert json.loads(sent) == {"text": f"a{breaks}你b"}


@pytest.mark.parametrize(
    ("frame", "following"),
    [(b'{"x":"' + b'a\\"[' * 100 + b'","y":[' + b"1," * 100 + b"1]}", b'{"z":1}'), (b"pipe|" + b"x" * 700, b"next|")],
)
def test_of_a_longer_frame_the_beginning_remains(frame: bytes, following: bytes) -> None:
    """A frame that arrives in one packet may stay whole. The next frame is found at its right place."""
    stream = frame + b"\n" + following + b"\n"
    for step in (1, 7, 100, len(stream)):
        splitter, found, most = StreamSplitter(LIMIT, kept=50), list[bytes](), 0
        for at in range(0, len(stream), step):
            found += splitter.feed(memoryview(stream[at : at + step]))
            most = max(most, len(splitter._buffer))
        first, second = found
        assert (first[:50], second) == (frame[:50], following)
        assert 50 <= len(first) <= max(51 + step, len(frame) if step > len(frame) else 0)
        assert most <= 51


def test_the_whole_of_a_longer_frame_is_counted() -> None:
    splitter = StreamSplitter(LIMIT, kept=50)
    for _ in range(LIMIT // 100):
        assert splitter.feed(memoryview(b"x" * 100)) == []
    splitter.feed(memoryview(b"x"))
    assert splitter.violation is not None
