"""If a frame is rejected before it is decoded, the error reply still names its request."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.canonical.frames import Binary, Frame
from services.edge.client.inbox import WAITED
from services.edge.dialects.base import ConnectionInfo, DecodeError, Dialect
from services.edge.dialects.native import Native
from services.edge.dialects.pipe import Pipe
from shared.settings.limits import LimitsSettings

DEEP = "[" * 40 + "]" * 40
HOSTILE = {
    "a lone surrogate": r'{"op":"send","id":7,"chat":5,"text":"\ud800","nonce":"n"}',
    "U+0000": r'{"op":"send","id":7,"chat":5,"text":"a\u0000b","nonce":"n"}',
    "a bare control character": '{"op":"send","id":7,"chat":5,"text":"a\x01b","nonce":"n"}',
    "NaN": '{"op":"send","id":7,"chat":NaN,"text":"a","nonce":"n"}',
    "a wrong type": '{"op":"send","id":7,"chat":"5","text":"a","nonce":"n"}',
    "no operation": '{"id":7}',
    "an operation that is no text": '{"op":[],"id":7}',
    "too deep": f'{{"op":"send","id":7,"chat":5,"segments":{DEEP},"nonce":"n"}}',
    "a key twice": '{"op":"send","chat":5,"chat":6,"text":"a","nonce":"n","id":7}',
    "too large, the id last": json.dumps({"op": "send", "chat": 5, "text": "a" * 65_536, "nonce": "n", "id": 7}),
    "a number that is too large": '{"op":"send","id":7,"chat":1e999,"text":"a","nonce":"n"}',
    "cut": '{"op":"send","id":7,"chat":5,"text":"a',
    "another id inside": r'{"op":"send","segments":[{"t":"emoji","id":3},{"t":"text","text":"\ud800"}],"id":7}',
    "an id in a text": r'{"text":"{\"id\":3}","x":NaN,"id":7}',
}


def native() -> Native:
    return Native(ConnectionInfo(LimitsSettings(), "http://chat.example"))


def named(dialect: Dialect, frame: str | bytes) -> object:
    """Returns the request that the error for this frame names."""
    with pytest.raises(DecodeError) as rejected:
        dialect.decode(frame.encode() if isinstance(frame, str) else frame, 100.0)
    (error,) = dialect.encode_error(None, rejected.value.failure, rejected.value.context)
    assert isinstance(error, bytes)
    return json.loads(error)["re"]


@pytest.mark.parametrize("frame", HOSTILE.values(), ids=HOSTILE)
def test_whatever_is_wrong_with_a_frame_its_error_has_its_id(frame: str) -> None:
    assert named(native(), frame) == 7


def test_a_text_is_an_id_too() -> None:
    assert named(native(), '{"op":"send","id":"m-\u00e9","chat":NaN}') == "m-é"
    assert named(native(), b'{"op":"send","id":7,"chat":5,"text":"\xff\xfe"}') == 7


@pytest.mark.parametrize(
    "frame",
    ["hello", "[7]", '{"id":', '{"id":-7,"x":NaN}', '{"id":1.5,"x":NaN}', r'{"id":"\ud800","x":1}', '{"x":{"id":7}'],
)
def test_what_has_no_id_is_answered_without_one(frame: str) -> None:
    assert named(native(), frame) is None


@given(st.binary(max_size=60) | st.text('"id:{}[],\\ 7', max_size=40).map(str.encode))
def test_any_bytes_are_identified_or_not(frame: bytes) -> None:
    native().encode_error(None, WAITED, native().identify(frame))
    pipe().encode_error(None, WAITED, pipe().identify(frame))


@given(st.one_of(st.integers(0, 2**53 - 1), st.text(min_size=1, max_size=64)), st.dictionaries(st.text(), st.text()))
def test_the_id_of_a_valid_frame_is_found(id: int | str, others: dict[str, str]) -> None:
    frame = json.dumps({**{name: value for name, value in others.items() if name != "id"}, "id": id})
    (error,) = native().encode_error(None, WAITED, native().identify(frame.encode()))
    assert isinstance(error, bytes)
    assert json.loads(error)["re"] == id


def pipe() -> Pipe:
    return Pipe(ConnectionInfo(LimitsSettings(), "http://chat.example"))


def test_pipe_names_the_command() -> None:
    errors: dict[Frame, bytes] = {
        b"send_message|0|1|2|0|hello|token": b"send_message_error|",
        b"forget_passwd|x": b"up_pass_error|",
        b"fly|x": b"error|",
        b"\xff": b"error|",
        Binary(b"send_message|"): b"error|",
    }
    for frame, error in errors.items():
        (shown,) = pipe().encode_error(None, WAITED, pipe().identify(frame))
        assert isinstance(shown, bytes)
        assert shown.startswith(error)
