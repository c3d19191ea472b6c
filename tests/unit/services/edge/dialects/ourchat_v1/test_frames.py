"""Frames of v1 that are not in its vectors: limits, other accounts, exact bytes, and times."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from services.edge.canonical.frames import Outgoing
from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.base import ConnectionInfo, DecodeError, Request
from services.edge.dialects.ourchat_v1 import OurChatV1
from shared.contract.auth import Login
from shared.contract.edge import ProfileChanged
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId
from shared.contract.model import Profile, Text
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.driving import BASE_URL, UNIX_SECONDS, display

ME, OTHER = AccountId(12), AccountId(34)


def connection(account: AccountId = ME, unix_ms: int = UNIX_SECONDS * 1000) -> OurChatV1:
    dialect = OurChatV1(ConnectionInfo(LimitsSettings(), BASE_URL, unix_ms=lambda: unix_ms))
    dialect.logged_in(account, 0.0)
    return dialect


V1 = connection()


def read(code: int, dialect: OurChatV1 = V1, **data: Any) -> Request:
    (request,) = dialect.decode(json.dumps({"code": code, "time": 1, "data": data}).encode(), 0.0)
    return request


def rejected(code: int, dialect: OurChatV1 = V1, **data: Any) -> ErrorCode:
    with pytest.raises(DecodeError) as error:
        read(code, dialect, **data)
    return error.value.failure.code


def written(frames: tuple[Outgoing, ...]) -> Any:
    (frame,) = frames
    assert isinstance(frame, bytes)
    return json.loads(frame)


def test_a_message_byte_for_byte() -> None:
    """The dialect's document defines the keys and their order, without white space."""
    text = '{"code":0,"time":1724400000,"data":{"cid":77,"sender":{"ocid":12,"group_id":5},"msg":"你好"}}'
    assert V1.encode_message(display(Text("你好"))) == (text.encode(),)
    assert V1.encode_message(display(Text("你好"), to=OTHER)) == (
        text.replace('"group_id":5', '"private_id":34').encode(),
    )


def test_a_message_has_its_own_time_in_whole_seconds() -> None:
    late = replace(display(Text("x")).message, time=1724400000999)
    assert written(V1.encode_message(DisplayMessage(late, (Text("x"),))))["time"] == 1724400000


def test_other_frames_have_the_time_of_sending() -> None:
    event = ProfileChanged(Profile(id=OTHER, uuid="u", nickname="n"))
    for seconds in (UNIX_SECONDS, UNIX_SECONDS + 5):
        dialect = connection(unix_ms=seconds * 1000 + 999)
        (push,) = dialect.encode_event(event, 1e6)
        assert written(push.frames)["time"] == seconds
        assert written(dialect.encode_error(None, Failure(ErrorCode.INTERNAL, "")))["time"] == seconds


def test_after_another_login_the_former_account_is_rejected() -> None:
    dialect = connection()
    assert read(8, dialect, group_name="g", ocid=ME)
    dialect.logged_in(OTHER, 0.0)
    assert read(8, dialect, group_name="g", ocid=OTHER)
    assert rejected(8, dialect, group_name="g", ocid=ME) is ErrorCode.FORBIDDEN


def test_the_text_of_a_message_is_limited_in_bytes() -> None:
    sender = {"ocid": ME, "group_id": 5}
    assert read(0, sender=sender, msg="字" * 5461 + "x")
    assert rejected(0, sender=sender, msg="字" * 5461 + "xx") is ErrorCode.TOO_LARGE


def test_names_are_limited_in_characters() -> None:
    assert read(8, ocid=ME, group_name="名" * 128)
    assert rejected(8, ocid=ME, group_name="名" * 129) is ErrorCode.TOO_LARGE
    assert read(12, group_id=5, name="名" * 128)
    assert rejected(12, group_id=5, name="名" * 129) is ErrorCode.TOO_LARGE
    assert read(12, ocid=ME, name="名" * 64)
    assert rejected(12, ocid=ME, name="名" * 65) is ErrorCode.TOO_LARGE
    assert rejected(4, email="a@b.c", password="x", name="名" * 65) is ErrorCode.TOO_LARGE


def test_an_account_is_a_number_or_else_an_address() -> None:
    for account in (2**63, "9" * 100, "-1", "1 2"):
        command = read(6, account=account, password="x").command
        assert isinstance(command, Login)
        assert command.kind == "email"
        assert len(command.identifier) <= 256


@pytest.mark.parametrize(("data", "name"), [
    ({"name": "a"}, "a"), ({"group_name": "b"}, "b"), ({"name": "a", "group_name": "b"}, "a"),
    ({"name": None, "group_name": "b"}, "b"),
])  # fmt: skip
def test_a_new_name_is_read_from_either_key(data: dict[str, Any], name: str) -> None:
    for where in ({"group_id": 5}, {"ocid": ME}):
        command = read(12, **where, **data).command
        assert name in (getattr(command, "name", None), getattr(command, "nickname", None))
