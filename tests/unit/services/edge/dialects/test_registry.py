"""The registry finds a dialect by the path, by the subprotocol, or by the first frame."""

import json
from inspect import get_annotations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.canonical.frames import Binary
from services.edge.dialects.base import Dialect, FirstFrame
from services.edge.dialects.registry import (
    DIALECTS,
    UNDECIDED_PATHS,
    Entry,
    UnknownDialect,
    by_path,
    by_subprotocol,
    detect,
    dialect_of,
    enabled,
    read_first_frame,
)
from shared.errors import StartupError
from tests.unit.services.edge.dialects.all_dialects import ALL_DIALECTS
from tests.unit.services.edge.dialects.driving import connect

OPENINGS: list[tuple[Any, str | None]] = [
    ({"code": 0, "data": {"cid": 1, "sender_id": "1", "msg": "x"}}, "ourchat-v0"),
    ({"code": 6, "data": {"ocId": "1", "password": "x"}, "extra": 1}, "ourchat-v0"),
    ({"data": {}, "code": 99}, "ourchat-v0"),
    ({"code": 4, "time": 5, "data": {"nick": "x"}}, "ourchat-v0"),
    ({"code": 4, "time": 5, "data": {"mail": "x@dragoman.test"}}, "ourchat-v0"),
    ({"time": 5.5, "code": 6, "data": {"password": "x", "ocId": "999999999999"}}, "ourchat-v0"),
    ({"code": 0, "time": 5, "data": {"nick": "only registrations and logins are told by their keys"}}, "ourchat-v1"),
    ({"code": 4, "data": {"email": "x@dragoman.test"}}, "ourchat-v1"),
    ({"code": 6, "data": {"account": "999999999999", "password": "x"}}, "ourchat-v1"),
    ({"code": 0, "time": 5, "data": {"sender": {"ocid": 1, "group_id": 1}, "msg": "x"}}, "ourchat-v1"),
    ({"data": {}, "time": 5, "code": 99}, "ourchat-v1"),
    ({"time": 5, "code": 19, "data": {}}, "ourchat-v1"),
    ({"code": 12}, "ourchat-v2"),
    ({"code": 19, "ocid": "1", "data": {"nickname": "x"}}, "ourchat-v2"),
    ({"code": 0, "time": 5, "sender": {}, "msg": []}, "ourchat-v2"),
    ({"code": 99, "data": None}, "ourchat-v2"),
    ({"code": 99, "data": [], "time": 5}, "ourchat-v2"),
    ({"code": 4, "email": "a@b.c"}, "ourchat-v2"),
    ({"service_code": 4, "content": {"token": 5}}, "service"),
    ({"content": {}, "service_code": 99}, "service"),
    ({"service_code": 4, "op": "x", "code": 12, "data": {}, "time": 5}, "service"),
    ({"op": "login", "code": 12}, "native"),
    ("login|a|b", "pipe"),
    ("  get_unread_friend_request|\r\n", "pipe"),
    ("send_message|", "pipe"),
    ('{"code": 12}\n', "ourchat-v2"),
    (' \t{"code": 12}', "ourchat-v2"),
    ('{"code": 12, "code": 13, "x": "\\ud800", "y": NaN}', "ourchat-v2"),
    *((text, None) for text in (
        "hello", "login", "no_such_command|x", "[]", "42", "null", '"text"', "{}", '{"code": "12"}', '{"foo": 1}',
        "{", "你好|", '{"code": null, "x": {}}', '{"code": true}', '{"code": 12.0}', "", "|", "[" * 100_000,
        '{"code":' * 100_000, '{"code": ' + "9" * 5000 + "}",
    )),
]  # fmt: skip


def sent(frame: Any) -> bytes:
    return (frame if isinstance(frame, str) else json.dumps(frame)).encode()


@pytest.mark.parametrize(("frame", "name"), OPENINGS, ids=lambda value: str(value)[:60])
def test_the_first_frame_decides_the_dialect(frame: Any, name: str | None) -> None:
    """An error names the dialect if it is not spoken here."""
    assert dialect_of(read_first_frame(sent(frame))) == name
    known = {entry.name: entry for entry in DIALECTS}
    if name in known:
        assert detect(sent(frame), DIALECTS) is known[name]
        return
    with pytest.raises(UnknownDialect) as rejected:
        detect(sent(frame), DIALECTS)
    assert 0 < len(str(rejected.value).encode()) < 124
    assert name is None or f"{name} is not spoken here" == str(rejected.value)


@pytest.mark.parametrize(
    "line", ["CAP LS 302", "nick ann\r\n", "PASS :a b", "@a=b :x USER a 0 * :A", "AUTHENTICATE PLAIN"]
)
def test_a_connection_of_irc_begins_with_its_registration(line: str) -> None:
    assert detect(line.encode(), DIALECTS).name == "irc"


@pytest.mark.parametrize("line", ["PING x", "NICKNAME a", "GET / HTTP/1.1", "PRIVMSG #a :CAP", "NICK|a"])
def test_another_line_does_not(line: str) -> None:
    with pytest.raises(UnknownDialect):
        detect(line.encode(), DIALECTS)


def test_a_first_binary_frame_is_rejected() -> None:
    with pytest.raises(UnknownDialect):
        detect(Binary(b'{"code": 12}'), DIALECTS)


@given(st.binary())
def test_any_bytes_are_detected_or_rejected(frame: bytes) -> None:
    try:
        entry = detect(frame, DIALECTS)
    except UnknownDialect:
        return
    assert entry in DIALECTS


def test_the_rule_of_a_new_dialect_comes_after_the_fixed_ones() -> None:
    def greedy(opening: FirstFrame) -> bool:
        return "code" in opening.text or opening.text.startswith("login")

    newcomer = Entry("newcomer", "/ws/newcomer", "newcomer", DIALECTS[0].factory, greedy)
    dialects = (newcomer, *DIALECTS)
    assert detect(b"login 12 orange", dialects) is newcomer
    assert detect(b'{"code": 12}', dialects).name == "ourchat-v2"
    assert detect(b"login|ann|orange", dialects).name == "pipe"
    with pytest.raises(UnknownDialect):
        detect(b"hello", dialects)


@pytest.mark.parametrize("entry", ALL_DIALECTS, ids=lambda entry: entry.name)
def test_each_dialect_has_a_path_and_a_subprotocol_of_its_own(entry: Entry) -> None:
    assert by_path(entry.path, ALL_DIALECTS) is entry
    assert by_subprotocol(["chat", entry.subprotocol, "more"], ALL_DIALECTS) == (entry, entry.subprotocol)
    assert connect(entry).name == entry.name


def test_v2_has_the_path_and_subprotocol_of_its_clients() -> None:
    v2 = by_path("/ws/ourchat-v2", DIALECTS)
    assert v2 is not None
    assert by_subprotocol(["ourchat.v2"], DIALECTS) == (v2, "ourchat.v2")


def test_other_paths_and_subprotocols_are_unknown() -> None:
    assert all(
        by_path(path, DIALECTS) is None for path in (*UNDECIDED_PATHS, "", "/ws/", "/ws/ourchat-v2/", "/ourchat-v2")
    )
    assert by_subprotocol([], DIALECTS) is None
    assert by_subprotocol(["chat", "OURCHAT.V2"], DIALECTS) is None
    assert UNDECIDED_PATHS == ("/", "/ws")


def test_without_a_choice_all_dialects_are_spoken() -> None:
    assert enabled([]) == DIALECTS


def test_a_dialect_that_was_not_chosen_is_not_there() -> None:
    chosen = enabled(["service", "native"])
    assert [entry.name for entry in chosen] == ["service", "native"]
    assert by_path("/ws/pipe", chosen) is None
    assert by_subprotocol(["pipe"], chosen) is None
    with pytest.raises(UnknownDialect, match="pipe is not spoken here"):
        detect(b"login|a|b", chosen)


def test_an_unknown_dialect_cannot_be_chosen() -> None:
    with pytest.raises(
        StartupError, match=r"edge\.dialects names gopher, which is not a dialect. The dialects are ourchat-v0"
    ):
        enabled(["pipe", "gopher"])


@pytest.mark.parametrize("entry", DIALECTS, ids=lambda entry: entry.name)
def test_a_dialect_s_class_sets_no_attribute_of_a_connection(entry: Entry) -> None:
    """If the class had such an attribute, the compiled base class would not see it: it reads the attributes only from
    the connection.
    """
    of_connections = {name for name, hint in get_annotations(Dialect).items() if "ClassVar" not in str(hint)}
    assert of_connections == {
        "delivery_reads", "gate", "orders_replies", "receives_pushes", "pushes_missed", "pushes_pending_requests",
        "scopes",
    }  # fmt: skip
    assert not of_connections & vars(type(connect(entry))).keys()
