"""Frames of v0, v1 and v2 that are not in their vectors: limits, other accounts, exact bytes, times, and states."""

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.edge.canonical.frames import Outgoing
from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.base import ConnectionInfo, Dialect, Request
from services.edge.dialects.ourchat_v1 import OurChatV1
from shared.contract.auth import Login
from shared.contract.edge import ProfileChanged
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId
from shared.contract.model import Emoji, Profile, Segment, Text
from shared.contract.session import CreateChat, SetProfile
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.driving import (
    BASE_URL,
    ENTRIES,
    UNIX_SECONDS,
    connect,
    display,
    log_in,
    only_request,
    rejection,
)

ME, OTHER = AccountId(12), AccountId(34)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
EMOJI = st.integers(0, 2**53 - 1).map(Emoji)
LONG = "字" * 5461
"""With one more byte, this is the longest text of a message."""

V1_MESSAGE = '{"code":0,"time":1724400000,"data":{"cid":77,"sender":{"ocid":12,"group_id":5},"msg":"你好"}}'


def connection(version: str) -> Dialect:
    dialect = connect(ENTRIES[f"ourchat-{version}"])
    log_in(dialect, ME)
    return dialect


V0, V1, V2 = map(connection, ("v0", "v1", "v2"))


def wire(frame: dict[str, Any]) -> bytes:
    return json.dumps(frame, ensure_ascii=False).encode()


def read(dialect: Dialect, frame: dict[str, Any]) -> Request:
    return only_request(dialect, wire(frame))


def rejected(dialect: Dialect, frame: dict[str, Any]) -> ErrorCode:
    return rejection(dialect, wire(frame)).failure.code


def values(frames: tuple[Outgoing, ...]) -> list[Any]:
    return [json.loads(frame) for frame in frames if isinstance(frame, bytes)]


def v0(code: int, **data: Any) -> dict[str, Any]:
    return {"code": code, "data": data}


def v1(code: int, **data: Any) -> dict[str, Any]:
    return {"code": code, "time": 1, "data": data}


def v2_text(*texts: str) -> dict[str, Any]:
    return {"code": 0, "sender": {"session_id": "5"}, "msg": [{"type": 0, "text": text} for text in texts]}


def v2_profile(**data: str) -> dict[str, Any]:
    return {"code": 19, "ocid": ME, "data": data}


@pytest.mark.parametrize(("dialect", "message", "shown"), [
    (V0, display(Text("你好"), Emoji(7)), ['{"code":0,"data":{"cid":5,"sender_id":"0000000012","msg":"你好"}}',
                                         '{"code":1,"data":{"cid":5,"sender_id":"0000000012","emojiId":7}}']),
    (V1, display(Text("你好")), [V1_MESSAGE]),
    (V1, display(Text("你好"), to=OTHER), [V1_MESSAGE.replace('"group_id":5', '"private_id":34')]),
    (V2, display(Text("你好")), ['{"code":0,"time":1724400000123,"msg_id":"77","sender":{"ocid":"0000000012",'
                               '"session_id":"5"},"msg":[{"type":0,"text":"你好"}]}']),
])  # fmt: skip
def test_a_message_byte_for_byte(dialect: Dialect, message: DisplayMessage, shown: list[str]) -> None:
    """The dialects' documents define the keys and their order, without white space."""
    assert dialect.encode_message(message) == tuple(one.encode() for one in shown)


@pytest.mark.parametrize(("dialect", "longest", "longer"), [
    (V0, v0(0, cid=1, sender_id=ME, msg=LONG + "x"), v0(0, cid=1, sender_id=ME, msg=LONG + "xx")),
    (V0, v0(4, nick="名" * 64, password="x"), v0(4, nick="名" * 65, password="x")),
    (V1, v1(0, sender={"ocid": ME, "group_id": 5}, msg=LONG + "x"),
         v1(0, sender={"ocid": ME, "group_id": 5}, msg=LONG + "xx")),
    (V1, v1(8, ocid=ME, group_name="名" * 128), v1(8, ocid=ME, group_name="名" * 129)),
    (V1, v1(12, group_id=5, name="名" * 128), v1(12, group_id=5, name="名" * 129)),
    (V1, v1(12, ocid=ME, name="名" * 64), v1(12, ocid=ME, name="名" * 65)),
    (V1, v1(4, email="a@b.c", password="x", name="n" * 64), v1(4, email="a@b.c", password="x", name="n" * 65)),
    (V2, v2_text("x" * 16384), v2_text("x" * 16385)),
    (V2, v2_text(LONG, "x"), v2_text(LONG, "xx")),
    (V2, v2_text(*["x"] * 64), v2_text(*["x"] * 65)),
    (V2, v2_profile(nickname="名" * 64), v2_profile(nickname="名" * 65)),
    (V2, {"code": 4, "email": "a@b.c", "password": "x", "name": "n" * 64},
         {"code": 4, "email": "a@b.c", "password": "x", "name": "n" * 65}),
    (V2, {"code": 8, "members": [], "name": "名" * 128}, {"code": 8, "members": [], "name": "名" * 129}),
])  # fmt: skip
def test_texts_are_limited_in_bytes_and_names_in_characters(
    dialect: Dialect, longest: dict[str, Any], longer: dict[str, Any]
) -> None:
    assert read(dialect, longest)
    assert rejected(dialect, longer) is ErrorCode.TOO_LARGE


def test_names_and_numbers_at_their_limits() -> None:
    assert read(V0, v0(4, mail="n" * 100 + "@b.c", password="x")), "the nickname is cut"
    by_default = read(V2, {"code": 4, "email": "n" * 100 + "@b.c", "password": "x"}).command
    assert getattr(by_default, "nickname", None) == "n" * 64
    assert read(V2, v2_profile(nickname="名" * 64)).command == SetProfile(ME, nickname="名" * 64)
    assert read(V2, {"code": 8, "members": [], "name": "名" * 128}).command == CreateChat([], name="名" * 128)
    assert read(V0, v0(1, cid=1, sender_id=ME, emojiId=2**53 - 1))
    assert rejected(V0, v0(1, cid=1, sender_id=ME, emojiId=2**53)) is ErrorCode.INVALID
    for frame in ({"code": 8, "members": [], "avatar_hash": "a" * 129}, v2_profile(avatar_hash="a" * 129)):
        assert rejected(V2, frame) is ErrorCode.INVALID


def test_after_another_login_the_former_account_is_rejected() -> None:
    old, new = connection("v0"), connection("v1")
    for account, other in ((ME, OTHER), (OTHER, ME)):
        old.logged_in(account, 0.0)
        new.logged_in(account, 0.0)
        assert read(old, v0(1, cid=1, sender_id=account, emojiId=5))
        assert rejected(old, v0(1, cid=1, sender_id=other, emojiId=5)) is ErrorCode.FORBIDDEN
        assert read(new, v1(8, group_name="g", ocid=account))
        assert rejected(new, v1(8, group_name="g", ocid=other)) is ErrorCode.FORBIDDEN


@given(st.lists(TEXTS.map(Text) | EMOJI, min_size=1, max_size=8).map(tuple))
def test_segments_are_shown_by_v0_in_their_order(segments: tuple[Segment, ...]) -> None:
    frames = values(V0.encode_message(display(*segments)))
    shown = [frame["data"].get("msg", frame["data"].get("emojiId")) for frame in frames]
    expected = list[str | int]()
    for segment in segments:
        if isinstance(segment, Emoji):
            expected.append(segment.emoji_id)
        elif isinstance(segment, Text) and expected and isinstance(expected[-1], str):
            expected[-1] += f" {segment.text}"
        elif isinstance(segment, Text):
            expected.append(segment.text)
    assert shown == expected
    assert {(frame["data"]["cid"], frame["data"]["sender_id"]) for frame in frames} == {(5, "0000000012")}
    assert all(frame["code"] == ("emojiId" in frame["data"]) for frame in frames)


@pytest.mark.parametrize("code", [ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL, ErrorCode.RATE_LIMITED])
def test_a_failure_of_the_server_is_not_shown_as_a_wrong_password(code: ErrorCode) -> None:
    reply = V0.encode_error(read(V0, v0(6, ocId=12, password="x")), Failure(code, "try again"))
    assert values(reply) == [{"code": 18, "data": {"details": "try again"}}]


def test_a_message_of_v1_has_its_own_time_and_other_frames_that_of_sending_in_whole_seconds() -> None:
    late = replace(display(Text("x")).message, time=1724400000999)
    assert values(V1.encode_message(DisplayMessage(late, (Text("x"),))))[0]["time"] == 1724400000
    event = ProfileChanged(Profile(id=OTHER, uuid="u", nickname="n"))
    for seconds in (UNIX_SECONDS, UNIX_SECONDS + 5):
        info = ConnectionInfo(LimitsSettings(), BASE_URL, unix_ms=partial(int, seconds * 1000 + 999))
        dialect = OurChatV1(info)
        dialect.logged_in(ME, 0.0)
        (push,) = dialect.encode_event(event, 1e6)
        for frames in (push.frames, dialect.encode_error(None, Failure(ErrorCode.INTERNAL, ""))):
            assert [one["time"] for one in values(frames)] == [seconds]


def test_an_account_of_v1_is_a_number_or_else_an_address() -> None:
    for account in (2**63, "9" * 100, "-1", "1 2"):
        command = read(V1, v1(6, account=account, password="x")).command
        assert isinstance(command, Login)
        assert command.kind == "email"
        assert len(command.identifier) <= 256


@pytest.mark.parametrize(("data", "name"), [
    ({"name": "a"}, "a"), ({"group_name": "b"}, "b"), ({"name": "a", "group_name": "b"}, "a"),
    ({"name": None, "group_name": "b"}, "b"),
])  # fmt: skip
def test_a_new_name_is_read_by_v1_from_either_key(data: dict[str, Any], name: str) -> None:
    for where in ({"group_id": 5}, {"ocid": ME}):
        command = read(V1, v1(12, **where, **data)).command
        assert name in (getattr(command, "name", None), getattr(command, "nickname", None))


@given(TEXTS)
def test_a_single_text_is_written_by_v2_like_one_of_several(text: str) -> None:
    (alone,), (among,) = (
        values(V2.encode_message(display(*segments))) for segments in ([Text(text)], [Text(text), Emoji(5)])
    )
    assert alone == among | {"msg": among["msg"][:1]}


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_no_unknown_name_forges_a_field_or_fills_the_reply_of_v2(name: str) -> None:
    error = rejection(V2, json.dumps({"code": 1, "session_id": "5", "request_values": [f"?{name}"]}).encode())
    (reply,) = values(V2.encode_error(None, error.failure, error.context))
    assert reply.keys() == {"code", "details"}
    assert len(reply["details"]) < 1000
