"""Every dialect of the registry against its vectors, both ways."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.edge.canonical.frames import Outgoing
from services.edge.canonical.replies import MessageAccepted
from services.edge.dialects.base import DecodeError, Dialect, Request
from services.edge.dialects.registry import DIALECTS, Entry
from shared.contract.errors import Failure
from tests.unit.services.edge.dialects.driving import (
    FILES,
    LONG_AFTER,
    connect,
    each_dialect,
    frames,
    given,
    only_request,
    seen,
)
from tests.unit.services.edge.dialects.spoken import SPOKEN
from tests.vectors import ANSWERS, COMMANDS, EVENTS, Said, Vector, VectorReply, canonical, text, wire

DOCS = Path(__file__).parents[5] / "docs" / "protocols"
CASES = [
    pytest.param(entry, vector, id=f"{entry.name}: {vector.section}, {vector.name}")
    for entry in SPOKEN
    for vector in FILES[entry.name].vectors
]


def check_out(out: tuple[Outgoing, ...], expected: list[Any]) -> None:
    assert [seen(frame) for frame in out] == [seen(text(frame)) for frame in expected]


@pytest.mark.parametrize(("entry", "vector"), CASES)
def test_a_vector(entry: Entry, vector: Vector) -> None:
    dialect = given(entry, vector.given)
    if vector.error is not None:
        check_error(dialect, vector)
    elif vector.event is not None:
        assert vector.out is not None
        check_out(frames(dialect.encode_event(canonical(vector.event, EVENTS), LONG_AFTER)), vector.out)
    elif vector.message is not None:
        assert vector.out is not None
        check_out(said_by(dialect, vector.message), vector.out)
    else:
        check_request(entry, vector)


def check_error(dialect: Dialect, vector: Vector) -> None:
    with pytest.raises(DecodeError) as refused:
        dialect.decode(wire(vector.frame), 0.0)
    failure = refused.value.failure
    assert (failure.code, bool(failure.text)) == (vector.error, True)
    out = dialect.encode_error(None, failure, refused.value.context)
    if vector.out is None:
        assert out
    else:
        check_out(out, vector.out)


def check_request(entry: Entry, vector: Vector) -> None:
    """Each reply on a connection of its own."""
    assert vector.command is not None
    for reply in (*vector.replies, None):
        dialect = given(entry, vector.given)
        request = only_request(dialect, wire(vector.frame))
        assert request.command == canonical(vector.command, COMMANDS)
        assert (request.token, request.account) == (vector.token, vector.account)
        assert msgspec.msgpack.encode(request.command), "it must be fit for the bus"
        if reply is not None:
            check_out(replied(dialect, request, reply), reply.out)


def replied(dialect: Dialect, request: Request, reply: VectorReply) -> tuple[Outgoing, ...]:
    if reply.answer is None:
        assert isinstance(reply.failure, Failure)
        return dialect.encode_error(request, reply.failure)
    if own := reply.answer.get("MessageAccepted"):
        said = msgspec.convert(own, Said)
        return dialect.encode_reply(request, MessageAccepted(said.message, said_by(dialect, said)), LONG_AFTER)
    return dialect.encode_reply(request, canonical(reply.answer, ANSWERS), LONG_AFTER)


def said_by(dialect: Dialect, said: Said) -> tuple[Outgoing, ...]:
    return dialect.encode_message(said.shown)


@each_dialect
def test_every_dialect_has_its_vectors(entry: Entry) -> None:
    assert FILES[entry.name].dialect == entry.name == connect(entry).name


@each_dialect
def test_the_vectors_leave_nothing_out(entry: Entry) -> None:
    """Each command, event and answer of the edge is shown, or declared to be none of this dialect's."""
    file = FILES[entry.name]
    shown = {next(iter(told)) for vector in file.vectors for told in (vector.command, vector.event) if told}
    shown |= {next(iter(reply.answer)) for vector in file.vectors for reply in vector.replies if reply.answer}
    assert shown | set(file.lacks) == COMMANDS.keys() | EVENTS.keys() | ANSWERS.keys()
    assert not shown & set(file.lacks)


@pytest.mark.parametrize("entry", DIALECTS, ids=lambda entry: entry.name)
def test_every_dialect_of_the_registry_has_its_page(entry: Entry) -> None:
    assert (DOCS / f"{entry.name}.md").exists()


@each_dialect
def test_vectors_have_names_of_their_own(entry: Entry) -> None:
    names = [(vector.section, vector.name) for vector in FILES[entry.name].vectors]
    assert len(names) == len(set(names))
