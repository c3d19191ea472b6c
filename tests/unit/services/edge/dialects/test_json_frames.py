import json
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.edge.canonical.frames import Binary
from services.edge.dialects.base import DecodeError
from services.edge.dialects.json_frames import WireId, decode_as, integer, read_object
from services.edge.dialects.wire_ids import parse_id
from shared.contract.errors import ErrorCode
from shared.settings.limits import LimitsSettings

LIMITS = LimitsSettings()
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)


def nested(depth: int) -> bytes:
    """Returns an object in which brackets of both kinds are nested to this depth."""
    inside = depth - 1
    opened = "".join('{"k":' if level % 2 else "[" for level in range(inside))
    closed = "".join("}" if level % 2 else "]" for level in reversed(range(inside)))
    return f'{{"x":{opened}5{closed}}}'.encode()


def rejected(frame: bytes, limits: LimitsSettings = LIMITS) -> DecodeError:
    with pytest.raises(DecodeError) as error:
        read_object(frame, limits)
    assert 0 < len(error.value.failure.text) < 300
    return error.value


@given(st.dictionaries(TEXTS, VALUES), st.booleans(), st.sampled_from([None, 2]), st.sampled_from(["", "\n", " \r\n"]))
def test_any_valid_object_is_read_unchanged(value: dict[str, Any], ascii: bool, indent: int | None, end: str) -> None:
    text = json.dumps(value, ensure_ascii=ascii, indent=indent) + end
    assert read_object(text.encode(), LIMITS) == value


@given(st.binary())
@example(b'{"a":"\\')
@example(b'"')
def test_any_bytes_are_an_object_or_rejected(frame: bytes) -> None:
    try:
        value = read_object(frame, LIMITS)
    except DecodeError:
        return
    assert value == json.loads(frame)


@given(st.text('[]{}":,\\ 5nu0', max_size=40))
def test_other_parsers_read_the_same(text: str) -> None:
    """The parser accepts no frame that another JSON parser rejects or reads in another way."""
    try:
        value = read_object(text.encode(), LIMITS)
    except DecodeError:
        return
    assert json.loads(text) == value


@pytest.mark.parametrize("depth", [1, 2, 31, 32])
def test_objects_may_be_nested_up_to_the_limit(depth: int) -> None:
    assert read_object(nested(depth), LIMITS) == json.loads(nested(depth))


@pytest.mark.parametrize("frame", [nested(33), nested(34), nested(20_000)[:65_000], b'{"x":' * 10_000, b"[" * 60_000])
def test_deeper_objects_are_rejected(frame: bytes) -> None:
    rejected(frame)


def test_brackets_in_strings_are_no_nesting() -> None:
    value = {"x": "[{" * 1000, '"[': '\\"[[['}
    assert read_object(json.dumps(value).encode(), LIMITS) == value


@pytest.mark.parametrize("frame", [
    b'{"a":1,"a":1}', b'{"x":[{"a":1,"\\u0061":2}]}', b'{"a":{},"b":{"c":"a:b","c":":"}}',
])  # fmt: skip
def test_a_duplicate_key_is_rejected(frame: bytes) -> None:
    assert "twice" in rejected(frame).failure.text


@pytest.mark.parametrize("frame", [
    b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":1e999}', b'{"a":' + b"9" * 5000 + b"}",
    b'{"a":"\\ud800"}', b'{"a":"\\ud800\\u0041"}', b'{"a":"\\udc00"}', b'{"\\udfff":1}', b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\xff"}', b'{"a":"\0"}', b'\0{"a":1}', b'{"a":"\\u0000"}', b'{"\\u0000":1}', b'{"a":"x\\\\\\u0000"}',
    b"\xef\xbb\xbf{}", b'{"a":1,}', b"{'a':1}", b'{"a":01}', b"{}{}", b"{} x", b"", b"\n", b"[]", b"null", b"5", b'"x"',
])  # fmt: skip
def test_an_invalid_object_is_rejected(frame: bytes) -> None:
    assert rejected(frame).failure.code is ErrorCode.INVALID


def test_a_backslash_before_u0000_is_text() -> None:
    assert read_object(b'{"a":"\\\\u0000"}', LIMITS) == {"a": "\\u0000"}


def test_the_size_of_a_frame_is_limited_inclusively() -> None:
    limits = LimitsSettings(text_frame_bytes=20)
    assert read_object(b'{"x":"%s"}' % (b"x" * 12), limits)
    assert rejected(b'{"x":"%s"}' % (b"x" * 13), limits).failure.code is ErrorCode.TOO_LARGE


def test_a_binary_frame_is_rejected() -> None:
    with pytest.raises(DecodeError):
        read_object(Binary(b"{}"), LIMITS)


class Shape(msgspec.Struct):
    account: WireId
    text: str = ""
    small: Annotated[int, msgspec.Meta(le=5)] = 0


@pytest.mark.parametrize(("written", "number"), [
    (1, 1), ("1", 1), ("0000000012", 12), (2**63 - 1, 2**63 - 1), (str(2**63 - 1), 2**63 - 1), ("0" * 63 + "7", 7),
])  # fmt: skip
def test_ids_are_integers_or_decimal_strings(written: object, number: int) -> None:
    assert decode_as({"account": written}, Shape).account.number == parse_id(written) == number


@pytest.mark.parametrize("written", [
    0, -1, 2**63, "0", "", "-1", "+1", " 1", "1 ", "1.0", 1.0, True, False, None, [], {}, "x", "٣", "１", str(2**63),
    "0" * 64 + "7", "9" * 60_000, "1_0",
])  # fmt: skip
def test_nothing_else_is_an_id(written: object) -> None:
    assert parse_id(written) is None
    with pytest.raises(DecodeError, match="account"):
        decode_as({"account": written}, Shape)


@pytest.mark.parametrize(("members", "culprit"), [
    ({}, "account"), ({"account": 1, "text": 5}, "text"), ({"account": 1, "text": None}, "text"),
    ({"account": 1, "small": 6}, "small"), ({"account": 1, "small": True}, "small"),
    ({"account": 1, "small": 1.5}, "small"),
])  # fmt: skip
def test_an_error_names_the_member(members: dict[str, Any], culprit: str) -> None:
    with pytest.raises(DecodeError, match=culprit):
        decode_as(members, Shape)


def test_unknown_members_are_ignored() -> None:
    shape = decode_as({"account": 1, "colour": []}, Shape)
    assert (shape.account.number, shape.text, shape.small) == (1, "", 0)


@pytest.mark.parametrize("value", [None, "12", True, 12.0, [12], {}])
def test_an_integer_is_an_integer(value: object) -> None:
    assert integer({"code": 12}, "code") == 12
    with pytest.raises(DecodeError, match="code"):
        integer({"code": value}, "code")
