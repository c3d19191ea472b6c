"""Tests what vectors of native cannot express: the limits of a connection, the frames before a close, and nonces."""

import json
from typing import Any, get_args

import msgspec
import pytest

from services.edge.canonical.frames import Outgoing
from services.edge.dialects.base import (
    DISCONNECTED,
    LOGGED_OUT,
    NO_LOGIN,
    NO_VALID_FRAME,
    TOO_MANY_REQUESTS,
    ConnectionInfo,
    DecodeError,
)
from services.edge.dialects.native import Native
from services.edge.dialects.native.errors import failure_info
from services.edge.dialects.native.operation import RATES, AnyOperation, RateClass
from services.edge.dialects.native.operations import BY_NAME, OPERATIONS
from services.edge.dialects.native.shapes import Code, ErrorInfo, WhyNot
from shared.contract.errors import ErrorCode, Failure, Reason
from shared.contract.ids import AccountId
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.driving import rejection
from tests.vectors import load

LOGIN = b'{"op":"login","id":1,"identifier":"ann","secret":{"scheme":"plain","value":"x"}}'
EMOJI = [{"t": "emoji", "id": 1}]


def connection(*, rates: bool = True) -> Native:
    return Native(ConnectionInfo(LimitsSettings(rates=rates), "http://chat.example"))


def value(frames: tuple[Outgoing, ...]) -> dict[str, Any]:
    (frame,) = frames
    assert isinstance(frame, bytes)
    shown: dict[str, Any] = json.loads(frame)
    return shown


def error_of(dialect: Native, frame: bytes, now: float = 0.0) -> dict[str, Any]:
    """Returns the error reply to a frame."""
    rejected = rejection(dialect, frame, now)
    return value(dialect.encode_error(None, rejected.failure, rejected.context))


def rejections(dialect: Native, frame: bytes, now: float, most: int) -> int:
    """Sends `most` frames. Returns how many are rejected before one is accepted or ends the connection."""
    for count in range(most):
        try:
            dialect.decode(frame, now)
        except DecodeError as error:
            if error.disconnect is None:
                continue
        return count
    return most


@pytest.mark.parametrize("entrance", [LOGIN, b'{"op":"token","id":1,"token":"h.p.s"}'])
def test_a_client_permits_at_its_login_that_replies_overtake_each_other(entrance: bytes) -> None:
    dialect = connection()
    dialect.decode(entrance, 100.0)
    assert dialect.orders_replies, "earlier clients rely on it"
    dialect.decode(entrance[:-1] + b',"overtaking":true}', 100.0)
    dialect.decode(entrance, 100.0)
    assert not dialect.orders_replies


def test_frames_that_are_no_objects_end_the_connection_when_their_budget_is_spent() -> None:
    dialect = connection()
    assert rejections(dialect, b"hello", 100.0, 99) == 50
    rejected = rejection(dialect, b"[]", 100.0)
    assert value(dialect.encode_error(None, rejected.failure))["error"]["code"] == "invalid"
    assert rejected.disconnect is not None
    assert dialect.encode_close(*rejected.disconnect)[1:] == (4008, '{"code":"invalid","retry_ms":60000}')
    assert rejections(connection(), b'{"op":"fly"}', 100.0, 99) == 99, "objects do not count"
    assert rejections(connection(rates=False), b"hello", 100.0, 99) == 99


def test_the_budget_of_bad_frames_comes_back() -> None:
    dialect = connection()
    rejections(dialect, b"hello", 100.0, 50)
    assert rejection(dialect, b"hello", 101.0).disconnect is None


def test_commands_of_a_rate_are_limited_apart_from_others() -> None:
    dialect, (per_second, burst) = connection(), RATES[RateClass.ENTRANCE]
    for _ in range(burst):
        dialect.decode(LOGIN, 100.0)
    error = error_of(dialect, LOGIN, 100.0)
    assert error["re"] == 1
    assert error["error"]["code"] == ErrorCode.RATE_LIMITED
    assert error["error"]["text"] == "too many commands with the rate `entrance`, slow down"
    assert error["error"]["retry_ms"] == 1000 / per_second
    dialect.decode(b'{"op":"ping","id":2}', 100.0)
    dialect.decode(LOGIN, 100.0 + 1 / per_second)


def test_a_command_that_came_too_often_succeeds_after_its_retry_ms() -> None:
    dialect, due = connection(), list[int]()
    for _ in range(25):
        try:
            dialect.decode(LOGIN, 100.0)
        except DecodeError as rejected:
            due.append(rejected.failure.retry_ms)
    assert due == [1000, 2000, 3000, 4000, 5000]
    for retry_ms in due:
        dialect.decode(LOGIN, 100.0 + retry_ms / 1000)


def test_a_client_that_does_not_wait_gets_a_minute_at_most() -> None:
    dialect, due = connection(), list[int]()
    for _ in range(200):
        try:
            dialect.decode(LOGIN, 100.0)
        except DecodeError as rejected:
            due.append(rejected.failure.retry_ms)
    assert (due[0], due[-1]) == (1000, 60_000)


@pytest.mark.parametrize(
    ("code", "reason", "shown", "retries"),
    [
        (1008, LOGGED_OUT, 4003, False), (1008, TOO_MANY_REQUESTS, 4029, True), (1012, "restarting", 1012, True),
        (1008, NO_VALID_FRAME, 4001, True), (1008, NO_LOGIN, 4001, True), (1008, DISCONNECTED, 1013, True),
        (1013, "too slow", 1013, True), (1011, "internal error", 1011, True),
    ],
)  # fmt: skip
def test_a_close_shows_whether_to_connect_again(code: int, reason: str, shown: int, retries: bool) -> None:
    frames, sent, text = connection().encode_close(code, reason)
    bye = value(frames)
    assert (bye["ev"], sent) == ("bye", shown)
    assert ("retry_ms" in bye) == ("retry_ms" in json.loads(text)) == retries
    assert len(text.encode()) < 124


def test_other_closes_stay_as_they_are() -> None:
    assert connection().encode_close(1000, "logged out") == ((), 1000, "logged out")


def test_every_operation_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_parameter_and_a_result_of_an_operation_are_in_a_vector(operation: AnyOperation) -> None:
    own = [
        one for one in load("native").vectors if isinstance(one.frame, dict) and one.frame.get("op") == operation.name
    ]
    given = {name for vector in own if vector.error is None for name in vector.frame}
    assert {one.encode_name for one in msgspec.structs.fields(operation.parameters)} <= given
    out = [frame for one in own for request in one.all_requests for reply in request.replies for frame in reply.out]
    out += [frame for one in own for action in one.frame_actions for frame in action.reply or ()]
    assert any("re" in frame and "error" not in frame for frame in out)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_wrong_parameter_is_named_in_the_error(operation: AnyOperation) -> None:
    """The error reply has a code, a text, and the id of the command."""
    for one in msgspec.structs.fields(operation.parameters):
        if one.name == "id":
            continue
        frame = json.dumps({**valid(operation), "id": "x7", one.encode_name: {"not": ["this"]}}).encode()
        shown = error_of(connection(rates=False), frame)
        assert shown["re"] == "x7"
        assert shown["error"]["code"] == "invalid"
        assert shown["error"]["text"]
        assert shown["error"]["field"].split(".")[0].split("[")[0] == one.encode_name


def valid(operation: AnyOperation) -> dict[str, Any]:
    """Returns a command of the operation that is decoded."""
    vectors = (one for one in load("native").vectors if isinstance(one.frame, dict) and one.error is None)
    return next(one.frame for one in vectors if one.frame.get("op") == operation.name)


@pytest.mark.parametrize(
    ("members", "code", "field"),
    [
        ({"op": "send", "chat": 5, "nonce": "n", "segments": [{"t": "text", "text": ""}]}, "invalid", "segments"),
        ({"op": "send", "chat": 5, "nonce": "n", "text": "x" * 20_000}, "too_large", "text"),
        ({"op": "edit", "chat": 5, "index": 1, "nonce": "n", "segments": EMOJI * 65}, "too_large", "segments"),
        ({"op": "login", "identifier": "a", "secret": {"scheme": "plain", "value": ""}}, "invalid", "secret"),
        ({"op": "login", "identifier": "a", "secret": {"scheme": "plain", "value": "x" * 2000}}, "too_large", "secret"),
    ],
)  # fmt: skip
def test_a_rejected_value_is_named_in_the_error(members: dict[str, Any], code: str, field: str) -> None:
    shown = error_of(connection(), json.dumps({**members, "id": 7}).encode())
    assert (shown["re"], shown["error"]["code"], shown["error"]["field"]) == (7, code, field)


def quiet(zone: str, start: str = "09:00") -> dict[str, Any]:
    return {"op": "set_settings", "quiet": {"tz": zone, "from": start, "to": "10:00"}}


@pytest.mark.parametrize(
    ("members", "field", "text", "reason"),
    [
        ({"op": "chat"}, "chat", "`chat` is missing", Reason.MISSING),
        ({"op": "chat", "chat": "5"}, "chat", "`chat` must be an integer", Reason.TYPE),
        ({"op": "chat", "chat": 0}, "chat", "`chat` must be at least 1", Reason.RANGE),
        ({"op": "mute", "chat": 5, "until": None}, "until", "`until` must be an integer", Reason.TYPE),
        ({"op": "members", "chat": 5, "count": "x"}, "count", "`count` must be an integer or null", Reason.TYPE),
        ({"op": "sync", "window": 501}, "window", "`window` must be at most 500", Reason.RANGE),
        ({"op": "refresh", "refresh": ""}, "refresh", "`refresh` must have at least 1 characters", Reason.LENGTH),
        ({"op": "watch", "accounts": [1] * 201}, "accounts", "`accounts` must have at most 200 items", Reason.LENGTH),
        ({"op": "sync", "have": {"x": [1]}}, "have", "`have` must be an integer", Reason.TYPE),
        ({"op": "sync", "have": {"7": [1], "12": 5}}, "have[12]", "`have[12]` must be a list", Reason.TYPE),
        ({"op": "sync", "have": {"12": ["x"]}}, "have[12][0]", "`have[12][0]` must be an integer", Reason.TYPE),
        ({"op": "here", "state": "asleep"}, "state", "`state` has a value that is not permitted", Reason.CHOICE),
        (quiet("Z", "9:00"), "quiet.from", "`quiet.from` does not have the required form", Reason.FORM),
        (quiet("Europe/Atlantis"), "quiet.tz", "`quiet.tz` must be a time zone that this server knows", Reason.CHOICE),
        (quiet("Europe"), "quiet.tz", "`quiet.tz` must be a time zone that this server knows", Reason.CHOICE),
    ],
)
def test_a_rejected_parameter_is_explained_in_plain_words(
    members: dict[str, Any], field: str, text: str, reason: Reason
) -> None:
    native = connection(rates=False)
    native.logged_in(AccountId(12), 0.0)
    shown = error_of(native, json.dumps({"id": 1, **members}).encode())
    assert shown["error"] == {"code": "invalid", "text": text, "field": field, "reason": reason.value}


def test_codes_and_reasons_are_closed_lists() -> None:
    """A reason that only a newer version has is omitted. Only known names are logged."""
    assert {*get_args(Code)} == {*ErrorCode, "unsupported"}
    assert {*get_args(WhyNot)} == {*Reason}
    newer = Failure(ErrorCode.INTERNAL, "no", reason="newer", request="4bf92f35")
    assert failure_info(newer, has_effect=False) == ErrorInfo("internal", "no", request="4bf92f35")
