"""Tests every dialect with its vectors, in both directions."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from docs.interop import page_of
from services.edge.canonical.frames import Outgoing
from services.edge.dialects.base import DecodeError, Dialect, Disconnect, LocalReply, Request
from services.edge.dialects.registry import DIALECTS, Entry
from services.edge.http.event_stream import resumed_events
from services.edge.http.operation_connection import OperationReply
from tests.support.cases import each
from tests.unit.services.edge.dialects.all_dialects import ALL_DIALECTS
from tests.unit.services.edge.dialects.driving import (
    FILES,
    LONG_AFTER,
    VectorCase,
    cases,
    comparable,
    connect,
    each_dialect,
    encoded,
    follow_ups,
    frames,
    given,
    only_request,
    pushes_of,
)
from tests.vectors import ANSWERS, COMMANDS, EVENTS, Vector, VectorAction, canonical, text, wire

DOCS = Path(__file__).parents[5] / "docs" / "protocols"
VECTORS = [
    pytest.param(entry, vector, id=f"{entry.name}: {vector.section}, {vector.name}")
    for entry in ALL_DIALECTS
    for vector in FILES[entry.name].vectors
]
REQUESTS = [
    pytest.param(case, id=f"{entry.name}: {case.vector.section}, {case.vector.name}, {case.number}")
    for entry in ALL_DIALECTS
    for case in cases(entry)
]


def check_out(out: tuple[Outgoing, ...], expected: list[Any]) -> None:
    assert [comparable(frame) for frame in out] == [comparable(text(frame)) for frame in expected]


@each(VECTORS)
def test_a_vector(entry: Entry, vector: Vector) -> None:
    dialect = given(entry, vector.given)
    if vector.error is not None:
        check_error(dialect, vector)
    elif vector.message is not None:
        assert vector.out is not None
        check_out(dialect.encode_message(vector.message.shown), vector.out)
    elif vector.close is not None:
        assert vector.out is not None
        out, *closed = dialect.encode_close(*vector.close)
        assert tuple(closed) == vector.closed
        check_out(out, vector.out)
    elif vector.resumed is not None:
        assert vector.out is not None
        check_out(stream(dialect, vector.resumed), vector.out)
    elif vector.frame is None:
        assert vector.out is not None
        check_out(frames(pushes_of(dialect, vector)), vector.out)
    else:
        check_actions(dialect, vector)


def stream(dialect: Dialect, answer: dict[str, Any]) -> tuple[Outgoing, ...]:
    """Returns the events of the edge's stream for the reply to its sync."""
    request = only_request(dialect, b'{"op":"sync","id":0}')
    reply, *events = dialect.encode_reply(request, canonical(answer, ANSWERS), LONG_AFTER)
    assert isinstance(reply, bytes)
    return tuple(resumed_events(OperationReply(reply, [one for one in events if isinstance(one, bytes)])))


def check_error(dialect: Dialect, vector: Vector) -> None:
    with pytest.raises(DecodeError) as rejected:
        dialect.decode(wire(vector.frame), 0.0)
    failure = rejected.value.failure
    assert (failure.code, bool(failure.text)) == (vector.error, True)
    out = dialect.encode_error(None, failure, rejected.value.context)
    if vector.out is None:
        assert out
    else:
        check_out(out, vector.out)


def check_actions(dialect: Dialect, vector: Vector) -> None:
    actions = dialect.decode(wire(vector.frame), 0.0)
    assert len(actions) == len(vector.frame_actions)
    for action, expected in zip(actions, vector.frame_actions, strict=True):
        match action:
            case Request():
                assert expected.request is not None
            case LocalReply(out):
                assert expected.reply is not None
                check_out(out, expected.reply)
            case Disconnect():
                assert action == expected.disconnect


@each(REQUESTS)
def test_a_request_of_a_vector(case: VectorCase) -> None:
    """Each reply of the vector is tested on a new connection."""
    expected = case.expected
    _, request = case.make()
    assert request.command == canonical(expected.command, COMMANDS)
    assert (request.token, request.account) == (expected.token, expected.account)
    assert msgspec.msgpack.encode(request.command), "it must be fit for the bus"
    for reply in expected.replies:
        dialect, request = case.make()
        check_out(encoded(dialect, request, reply), reply.out)
        ends = [action for action in dialect.follow_ups if isinstance(action, Disconnect)]
        assert ends == [action.disconnect for action in reply.then if action.disconnect]
        assert len(follow_ups(dialect)) == len(reply.follow_ups)


def test_an_action_is_one_thing() -> None:
    for file in FILES.values():
        for vector in file.vectors:
            assert all(_kinds(action) == 1 for action in vector.frame_actions), vector.name
            stimuli = (vector.frame, vector.event, vector.chats, vector.message, vector.close, vector.resumed)
            assert sum(stimulus is not None for stimulus in stimuli) == 1, vector.name
            assert vector.frame is None or not vector.requests, vector.name


def _kinds(action: VectorAction) -> int:
    return sum(kind is not None for kind in (action.request, action.reply, action.disconnect))


@each_dialect
def test_every_dialect_has_its_vectors(entry: Entry) -> None:
    assert FILES[entry.name].dialect == entry.name == connect(entry).name


@each_dialect
def test_the_vectors_leave_nothing_out(entry: Entry) -> None:
    """Each command, event and reply of the edge is in a vector, or is declared as missing in this dialect."""
    file = FILES[entry.name]
    requests = [case.expected for case in cases(entry)]
    shown = {next(iter(vector.event)) for vector in file.vectors if vector.event}
    shown |= {next(iter(request.command)) for request in requests}
    shown |= {next(iter(reply.answer)) for request in requests for reply in request.replies if reply.answer}
    existing = {**COMMANDS, **EVENTS, **ANSWERS}
    missing = [name for name in existing if name not in {*shown, *file.lacks}]
    surplus = [name for name in file.lacks if name in shown or name not in existing or file.lacks.count(name) > 1]
    assert not missing, f"show these, or add them to `lacks`: {json.dumps(missing)}"
    assert not surplus, f"remove these from `lacks`: {json.dumps(surplus)}"


@pytest.mark.parametrize("entry", DIALECTS, ids=lambda entry: entry.name)
def test_every_dialect_of_the_registry_has_its_page(entry: Entry) -> None:
    assert (DOCS / page_of(entry.name)).exists()


@each_dialect
def test_vectors_have_names_of_their_own(entry: Entry) -> None:
    names = [(vector.section, vector.name) for vector in FILES[entry.name].vectors]
    assert len(names) == len(set(names))
