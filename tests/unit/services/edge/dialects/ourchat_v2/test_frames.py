"""Frames of v2 that are not in its vectors: limits, unknown values, and exact bytes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.dialects.base import Dialect, Request
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId
from shared.contract.model import Emoji, Segment, Text
from shared.contract.session import CreateChat, SetProfile
from tests.unit.services.edge.dialects.driving import ENTRIES, connect, display, log_in, only_request, rejection

ME = AccountId(12)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


def connection() -> Dialect:
    dialect = connect(ENTRIES["ourchat-v2"])
    log_in(dialect, ME)
    return dialect


V2 = connection()


def read(frame: dict[str, Any]) -> Request:
    return only_request(V2, json.dumps(frame, ensure_ascii=False).encode())


def rejected(frame: dict[str, Any]) -> ErrorCode:
    return rejection(V2, json.dumps(frame).encode()).failure.code


def written(*segments: Segment) -> bytes:
    (frame,) = V2.encode_message(display(*segments))
    assert isinstance(frame, bytes)
    return frame


def text_message(*texts: str) -> dict[str, Any]:
    return {"code": 0, "sender": {"session_id": "5"}, "msg": [{"type": 0, "text": text} for text in texts]}


@given(TEXTS)
def test_a_single_text_is_written_like_one_of_several(text: str) -> None:
    alone, among = json.loads(written(Text(text))), json.loads(written(Text(text), Emoji(5)))
    assert alone == among | {"msg": among["msg"][:1]}


def test_a_message_byte_for_byte() -> None:
    """The dialect's document defines the keys and their order, without white space."""
    assert written(Text("你好")).decode() == (
        '{"code":0,"time":1724400000123,"msg_id":"77","sender":{"ocid":"0000000012","session_id":"5"},'
        '"msg":[{"type":0,"text":"你好"}]}'
    )


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_no_unknown_name_forges_a_field_or_fills_the_reply(name: str) -> None:
    error = rejection(V2, json.dumps({"code": 1, "session_id": "5", "request_values": [f"?{name}"]}).encode())
    (frame,) = V2.encode_error(None, error.failure, error.context)
    assert isinstance(frame, bytes)
    reply = json.loads(frame)
    assert reply.keys() == {"code", "details"}
    assert len(reply["details"]) < 1000


def test_the_text_of_a_message_is_limited_in_bytes_over_all_segments() -> None:
    assert read(text_message("x" * 16384))
    assert read(text_message("字" * 5461, "x"))
    assert rejected(text_message("字" * 5461, "xx")) is ErrorCode.TOO_LARGE
    assert rejected(text_message("x" * 16385)) is ErrorCode.TOO_LARGE


def test_the_segments_of_a_message_are_limited() -> None:
    assert read(text_message(*["x"] * 64))
    assert rejected(text_message(*["x"] * 65)) is ErrorCode.TOO_LARGE


def test_a_nickname_is_limited_in_characters() -> None:
    def naming(name: str) -> dict[str, Any]:
        return {"code": 19, "ocid": ME, "data": {"nickname": name}}

    assert read(naming("名" * 64)).command == SetProfile(ME, nickname="名" * 64)
    assert rejected(naming("名" * 65)) is ErrorCode.TOO_LARGE
    assert rejected({"code": 4, "email": "a@b.c", "password": "x", "name": "n" * 65}) is ErrorCode.TOO_LARGE


def test_a_nickname_by_default_fits() -> None:
    command = read({"code": 4, "email": "n" * 100 + "@b.c", "password": "x"}).command
    assert getattr(command, "nickname", None) == "n" * 64


def test_the_name_of_a_session_is_limited_in_characters() -> None:
    assert read({"code": 8, "members": [], "name": "名" * 128}).command == CreateChat([], name="名" * 128)
    assert rejected({"code": 8, "members": [], "name": "名" * 129}) is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("frame", [
    {"code": 8, "members": [], "avatar_hash": "a" * 129}, {"code": 19, "ocid": ME, "data": {"avatar_hash": "a" * 129}},
])  # fmt: skip
def test_a_hash_is_limited(frame: dict[str, Any]) -> None:
    assert rejected(frame) is ErrorCode.INVALID
