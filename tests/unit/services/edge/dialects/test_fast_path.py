"""The fast path for decoding and the general code have the same result for every frame."""

import json
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.canonical.frames import Binary, Frame
from services.edge.dialects import json_frames
from services.edge.dialects.base import Action, DecodeError, Dialect
from services.edge.dialects.fast_reader import FastReader
from services.edge.dialects.registry import Entry
from shared.contract.errors import Failure
from shared.contract.ids import AccountId
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.all_dialects import ALL_DIALECTS
from tests.unit.services.edge.dialects.driving import ENTRIES, cases, connect, each_dialect, log_in, only_request

ME = AccountId(12)
SHORT_TEXTS = {
    "ourchat-v0": b'{"code":0,"data":{"cid":5,"sender_id":"0000000012","msg":"hi"}}',
    "ourchat-v1": b'{"code":0,"time":0,"data":{"sender":{"ocid":12,"group_id":5},"msg":"hi"}}',
    "ourchat-v2": b'{"code":0,"time":1,"sender":{"ocid":"0000000012","session_id":"5"},"msg":[{"type":0,"text":"hi"}]}',
    "service": b'{"service_code":5,"content":{"token":"t","chat":5,"msg":"hi"}}',
    "native": b'{"op":"send","id":1,"chat":5,"text":"hi","nonce":"n"}',
}
"""For each dialect with a fast path, a frame with a short text."""
FAST = [entry for entry in ALL_DIALECTS if entry.name in SHORT_TEXTS]
TEXTS = [
    rb"x", rb"\u4e2d\n\t\/", "中文😀".encode(), rb"\"quoted\"", rb"\\", rb"\\\"", rb"\u0000", rb"\\u0000", rb"", b"\0",
    rb"\ud800", rb"\ud83d\ude00", b"\xff", b"\xed\xa0\x80", rb"\x", b"[[[[", b'a":"b', b"\n", rb"\u0022",
]  # fmt: skip
each = pytest.mark.parametrize("entry", FAST, ids=lambda entry: str(entry.name))

Decoded = Sequence[Action] | tuple[Failure, object]


def decoded(dialect: Dialect, frame: Frame) -> Decoded:
    try:
        return dialect.decode(frame, 0.0)
    except DecodeError as error:
        return error.failure, error.context


def check_both_agree(entry: Entry, frame: Frame) -> None:
    for account in (None, ME):
        dialect = connect(entry)
        if account is not None:
            log_in(dialect, account)
        quick = decoded(dialect, frame)
        with patch.object(FastReader, "read", return_value=None):
            assert decoded(dialect, frame) == quick


@each_dialect
def test_every_fast_path_is_checked(entry: Entry) -> None:
    """Every dialect that has a FastReader has a frame in the table above."""
    with patch.object(FastReader, "read", return_value=None) as read:
        for case in cases(entry):
            if not case.is_own:
                case.make()
    assert read.called == (entry.name in SHORT_TEXTS)


@each
@pytest.mark.parametrize("depth", [31, 33, 990, 1_023, 1_025, 2_000, 7_000])
def test_deep_nesting_is_malformed_on_the_fast_path_as_well(entry: Entry, depth: int) -> None:
    """The deep nesting is in a member that the fast path skips, or in one that it reads."""
    nested = b"[" * depth + b"]" * depth
    skipped = SHORT_TEXTS[entry.name].replace(b"{", b'{"x":' + nested + b",", 1)
    for frame in (skipped, SHORT_TEXTS[entry.name].replace(b'"hi"', nested)):
        check_both_agree(entry, frame)


@each
def test_a_short_text_takes_the_fast_path(entry: Entry) -> None:
    dialect = connect(entry)
    log_in(dialect, ME)
    # only the general code uses this function, so None shows that the fast path ran
    with patch.object(json_frames, "_STRINGS", None):
        for text in (b"hi", rb"\u4e2d\"\n", "中文".encode()):
            request = only_request(dialect, SHORT_TEXTS[entry.name].replace(b"hi", text))
            assert type(request.command).__name__ == "PostMessage"


@pytest.mark.parametrize(
    "ids", [b'"ocid":"12","group_id":5', b'"ocid":12,"group_id":"5"', b'"ocid":"12","group_id":"5"']
)
def test_ids_of_v1_may_be_texts_on_the_fast_path(ids: bytes) -> None:
    dialect = connect(ENTRIES["ourchat-v1"])
    log_in(dialect, ME)
    with patch.object(json_frames, "_STRINGS", None):
        only_request(dialect, SHORT_TEXTS["ourchat-v1"].replace(b'"ocid":12,"group_id":5', ids))


@pytest.mark.parametrize("frame", [
    b'{"code":0,"sender":{"session_id":"5"},"msg":[{"type":0,"text":"hi"}]}',
    b'{"code":0,"time":1.5,"sender":{"session_id":"5"},"msg":[{"type":0,"text":"hi"}]}',
])  # fmt: skip
def test_v2_clients_may_omit_ignored_members(frame: bytes) -> None:
    with patch.object(json_frames, "_STRINGS", None):
        assert len(connect(ENTRIES["ourchat-v2"]).decode(frame, 0.0)) == 1


@each
@pytest.mark.parametrize("text", TEXTS)
def test_both_paths_agree_about_texts(entry: Entry, text: bytes) -> None:
    check_both_agree(entry, SHORT_TEXTS[entry.name].replace(b"hi", text))


@each
@pytest.mark.parametrize("size", [40, 200, 16_000, 16 * 1024, 16 * 1024 + 1, 64 * 1024, 70_000])
@pytest.mark.parametrize("character", ["x", "中", "\n"])
def test_both_paths_agree_about_sizes(entry: Entry, size: int, character: str) -> None:
    text = character * (size // len(character.encode()))
    for written in (text.encode(), json.dumps(text)[1:-1].encode()):
        check_both_agree(entry, SHORT_TEXTS[entry.name].replace(b"hi", written))


@each
def test_a_small_limit_of_frames_holds_on_both_paths(entry: Entry) -> None:
    dialect = connect(entry)
    dialect.limits = LimitsSettings(text_frame_bytes=20)
    with pytest.raises(DecodeError):
        dialect.decode(SHORT_TEXTS[entry.name], 0.0)


@each
def test_both_paths_agree_about_binary_frames(entry: Entry) -> None:
    check_both_agree(entry, Binary(SHORT_TEXTS[entry.name]))


SCALARS = st.sampled_from([
    "0", "5", "12", '"5"', '"12"', '"0000000012"', '"012 "', '"x"', '""', "0.0", "-0", "-1", "1e3", "1e999", "null",
    "true", "[]", "{}", "9" * 19, "9" * 400, '"' + "9" * 70 + '"', '{"type":0,"text":"a"}', '[{"type":0,"text":"a"}]',
])  # fmt: skip


@st.composite
def rendered(draw: st.DrawFn, value: Any) -> str:
    """Returns a value as JSON. Members may be changed, left out, added, or duplicated."""
    if not draw(st.integers(0, 15)):
        return draw(SCALARS)
    if isinstance(value, list):
        return "[" + ",".join(draw(rendered(one)) for one in value * draw(st.sampled_from([1, 1, 1, 0, 2]))) + "]"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=draw(st.booleans()))
    members = [f"{json.dumps(name)}:{draw(rendered(one))}" for name, one in value.items() if draw(st.integers(0, 19))]
    if members and not draw(st.integers(0, 5)):
        members.insert(draw(st.integers(0, len(members))), draw(st.sampled_from(members)))
    if not draw(st.integers(0, 9)):
        name = draw(st.sampled_from([*value, "x", "ti\\u006de", "c\\u006fde", "private_id", "ocid", "time"]))
        members.append(f'"{name}":{draw(SCALARS)}')
    return "{" + draw(st.sampled_from([",", ", "])).join(members) + "}"


@each
@given(data=st.data())
def test_both_paths_agree_about_almost_valid_frames(entry: Entry, data: st.DataObject) -> None:
    frame = data.draw(rendered(json.loads(SHORT_TEXTS[entry.name]))).encode()
    check_both_agree(entry, frame)


@each
@given(data=st.data())
def test_both_paths_agree_about_damaged_frames(entry: Entry, data: st.DataObject) -> None:
    frame = SHORT_TEXTS[entry.name]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(frame)))
        piece = data.draw(st.sampled_from([b'"', b"\\", b"\\u0000", b"\\\\", b",", b":", b"{", b"}", b"\0", b"0", b""]))
        frame = frame[:at] + piece + frame[data.draw(st.integers(at, min(at + 3, len(frame)))) :]
    check_both_agree(entry, frame)
