"""Frames of v0 that are not in its vectors: one for each kind of segment, limits, other accounts, exact bytes, and
states.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.dialects.base import ConnectionInfo, DecodeError, Request
from services.edge.dialects.ourchat_v0 import OurChatV0
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId
from shared.contract.model import Emoji, Segment, Text
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.driving import BASE_URL, display

ME, OTHER = AccountId(12), AccountId(34)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
EMOJI = st.integers(0, 2**53 - 1).map(Emoji)
V0 = OurChatV0(ConnectionInfo(LimitsSettings(), BASE_URL))
V0.logged_in(ME, 0.0)


def read(code: int, dialect: OurChatV0 = V0, **data: Any) -> Request:
    (request,) = dialect.decode(json.dumps({"code": code, "data": data}).encode(), 0.0)
    return request


def rejected(code: int, dialect: OurChatV0 = V0, **data: Any) -> ErrorCode:
    with pytest.raises(DecodeError) as error:
        read(code, dialect, **data)
    return error.value.failure.code


def written(segments: tuple[Segment, ...]) -> list[Any]:
    return [json.loads(frame) for frame in V0.encode_message(display(*segments)) if isinstance(frame, bytes)]


@given(st.lists(TEXTS.map(Text) | EMOJI, min_size=1, max_size=8).map(tuple))
def test_segments_are_shown_in_their_order(segments: tuple[Segment, ...]) -> None:
    frames = written(segments)
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


def test_a_message_byte_for_byte() -> None:
    """The dialect's document defines the keys and their order, without white space."""
    assert V0.encode_message(display(Text("你好"), Emoji(7))) == (
        '{"code":0,"data":{"cid":5,"sender_id":"0000000012","msg":"你好"}}'.encode(),
        b'{"code":1,"data":{"cid":5,"sender_id":"0000000012","emojiId":7}}',
    )


def test_after_another_login_the_former_account_is_rejected() -> None:
    dialect = OurChatV0(ConnectionInfo(LimitsSettings(), BASE_URL))
    for account, other in ((ME, OTHER), (OTHER, ME)):
        dialect.logged_in(account, 0.0)
        assert read(1, dialect, cid=1, sender_id=account, emojiId=5)
        assert rejected(1, dialect, cid=1, sender_id=other, emojiId=5) is ErrorCode.FORBIDDEN


def test_limits_are_inclusive() -> None:
    assert read(0, cid=1, sender_id=ME, msg="字" * 5461 + "x")
    assert rejected(0, cid=1, sender_id=ME, msg="字" * 5461 + "xx") is ErrorCode.TOO_LARGE
    assert read(4, nick="名" * 64, password="x")
    assert rejected(4, nick="名" * 65, password="x") is ErrorCode.TOO_LARGE
    assert read(4, mail="n" * 100 + "@b.c", password="x"), "the nickname is cut"
    assert read(1, cid=1, sender_id=ME, emojiId=2**53 - 1)
    assert rejected(1, cid=1, sender_id=ME, emojiId=2**53) is ErrorCode.INVALID


@pytest.mark.parametrize("code", [ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL, ErrorCode.RATE_LIMITED])
def test_a_failure_of_the_server_is_not_shown_as_a_wrong_password(code: ErrorCode) -> None:
    (frame,) = V0.encode_error(read(6, ocId=12, password="x"), Failure(code, "try again"))
    assert isinstance(frame, bytes)
    assert json.loads(frame) == {"code": 18, "data": {"details": "try again"}}
