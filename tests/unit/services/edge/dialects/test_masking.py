"""In every dialect, secrets in frames are masked. Frames without secrets keep their bytes."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given as fuzzed
from hypothesis import strategies

from services.edge.canonical.frames import Binary
from services.edge.dialects.base import Request
from services.edge.dialects.registry import Entry
from services.edge.recording import SecretMasks
from tests.unit.services.edge.dialects.driving import ENTRIES, FILES, connect, each_dialect, given
from tests.vectors import Vector, Vectors, text, wire

MASKED = "<masked>"
_SECRET_FIELDS = ("secret", "old", "new", "token", "answer", "password", "link", "refresh", "endpoint")
_OWN_MEMBERS = re.compile(rb'"(?:x|y|later)":')
"""Members of frames that occur only in the vectors, because a client may send unknown members."""
_SHORT = 4
"""The greatest length of secrets that are not checked. They are so short that they occur in frames by chance."""


def same_form(secret: str) -> str:
    return SecretMasks().mask(secret)


def masked(entry: Entry, frame: bytes) -> bytes | None:
    return connect(entry).mask_secrets(frame, lambda _: MASKED)


class RecordedCase(NamedTuple):
    """A text frame of a vector, and the secrets in it."""

    name: str
    frame: bytes
    secrets: set[str]
    is_valid: bool = True


def frame_cases(file: Vectors) -> Iterator[RecordedCase]:
    everywhere = set().union(*(secrets_of(vector) for vector in file.vectors))
    for vector in file.vectors:
        name = f"{vector.section}, {vector.name}"
        for frame in vector.given.before:
            yield from _case(name, frame, everywhere | {*secrets_in(frame)})
        if vector.frame is not None:
            own = secrets_of(vector) if vector.all_requests else everywhere | {*secrets_in(vector.frame)}
            yield from _case(name, vector.frame, own, is_valid=vector.error is None)
        for reply in (reply for request in vector.all_requests for reply in request.replies):
            for frame in reply.out:
                yield from _case(name, frame, {*secrets_in(reply.answer)})
        local = [frame for action in vector.frame_actions for frame in action.reply or ()]
        for frame in (*local, *(vector.out or ())):
            yield from _case(name, frame, set())


def _case(name: str, frame: Any, secrets: set[str], *, is_valid: bool = True) -> Iterator[RecordedCase]:
    if not (isinstance(frame, dict) and frame.keys() & {"binary", "announcement"}):
        yield RecordedCase(name, text(frame), secrets - {""}, is_valid)


def secrets_of(vector: Vector) -> set[str]:
    """Returns the secrets in the requests of a vector."""
    requests = vector.all_requests
    return {request.token for request in requests}.union(*(secrets_in(request.command) for request in requests))


def secrets_in(value: Any) -> Iterator[str]:
    """Returns the secrets in a canonical value or a JSON frame. A Secret is the list of its scheme and its text."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name in _SECRET_FIELDS and not isinstance(member, dict):
                parts = member[1:] if isinstance(member, list) else [member]
                yield from (str(part) for part in parts if not isinstance(part, bool))
            yield from secrets_in(member)
    elif isinstance(value, list):
        for one in value:
            yield from secrets_in(one)


@each_dialect
def test_all_secrets_of_all_vectors_are_masked(entry: Entry) -> None:
    found = 0
    for case in frame_cases(FILES[entry.name]):
        result = masked(entry, case.frame)
        if result is not None:
            left = [one for one in case.secrets if len(one) >= _SHORT and one.lower() in result.decode().lower()]
            assert not left, f"{case.name}: {result!r}"
        if case.is_valid and case.secrets:
            found += result is not None and MASKED in result.decode()
    assert found


@each_dialect
def test_frames_without_secrets_keep_their_bytes(entry: Entry) -> None:
    for case in frame_cases(FILES[entry.name]):
        if case.is_valid and not case.secrets and not _OWN_MEMBERS.search(case.frame):
            assert masked(entry, case.frame) == case.frame, case.name


@each_dialect
def test_a_request_is_the_same_after_masking(entry: Entry) -> None:
    """Only the secrets differ. So a recording with masked frames is decoded in the same way as the frames were."""
    for vector in FILES[entry.name].vectors:
        if vector.frame is None or vector.error or isinstance(frame := wire(vector.frame), Binary):
            continue
        recorded = connect(entry).mask_secrets(frame, same_form)
        assert recorded is not None, vector.name
        actions = given(entry, vector.given).decode(recorded, 0.0)
        assert len(actions) == len(vector.frame_actions)
        for action, expected in zip(actions, vector.frame_actions, strict=True):
            if isinstance(action, Request) and expected.request:
                assert type(action.command).__name__ in expected.request.command, vector.name


@pytest.mark.parametrize(
    ("dialect", "frame"),
    [
        ("ourchat-v0", '{"code": 6, "data": {"ocId": "1", "passwd": "hunter2"}}'),
        ("ourchat-v0", '{"code": 6, "data": "hunter2"}'),
        ("ourchat-v1", '{"code": 6, "data": {"account": 1, "Password": ["hunter2"]}}'),
        ("ourchat-v2", '{"code": 6, "login_type": 1, "account": 1, "data": {"pwd": {"plain": "hunter2"}}}'),
        ("ourchat-v2", '{"code": 6, "password": "hunter2", "password": "hunter2"}'),
        ("ourchat-v2", '{"code": 6, "password": "hunter2"'),
        ("service", '{"service_code": 1, "content": {"id": "x", "secret": "hunter2"}}'),
        ("service", '{"service_code": 1, "token": "hunter2", "content": ["hunter2"]}'),
        ("native", '{"op": "login", "identifier": "ann", "secret": "hunter2"}'),
        ("native", '{"op": "login", "identifier": "ann", "secret": {"scheme": "plain", "value": "hunter2"}}'),
        ("pipe", "login|ann|hunter2|more"),
        ("pipe", "login|hunter2"),
        ("pipe", "get_unread_friend_request|7|hunter2"),
        ("pipe", "signin|ann|hunter2"),
        ("sample-irc", "PASS :a hunter2"),
        ("irc", "PASS :ann:hunter2"),
        ("irc", "@a=b :ann pass x hunter2"),
        ("irc", "AUTHENTICATE :hunter2"),
        ("irc", "OPER ann hunter2"),
        ("irc", "PRIVMSG bob,NickServ :IDENTIFY hunter2"),
        ("irc", "NS IDENTIFY hunter2"),
    ],
)
def test_secrets_where_the_protocol_has_none_are_masked(dialect: str, frame: str) -> None:
    assert b"hunter2" not in (masked(ENTRIES[dialect], frame.encode()) or b"")


@each_dialect
def test_masking_raises_nothing(entry: Entry) -> None:
    @fuzzed(strategies.binary(max_size=200) | strategies.text(max_size=200).map(str.encode))
    def check(frame: bytes) -> None:
        result = masked(entry, frame)
        assert result is None or isinstance(result.decode(), str)

    check()
    assert masked(entry, b"[" * 100_000) is None or entry.name in ("irc", "sample-irc")
    assert masked(entry, json.dumps({"a": 2**70}).encode()) is None or entry.name != "pipe"
