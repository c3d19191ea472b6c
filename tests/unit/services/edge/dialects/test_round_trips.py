"""What people write comes through every dialect as it was written, in and out."""

from functools import cache
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.edge.canonical.commands import Command, PostMessage
from services.edge.dialects.base import DecodeError, Dialect, DisplayMessage, Request
from services.edge.dialects.registry import Entry
from services.edge.dialects.text_fallback import render_segment
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Emoji, Message, Segment, Text, pack_segments
from tests import vectors
from tests.unit.services.edge.dialects.driving import BASE_URL, FILES, connect, each_dialect, log_in, only_request
from tests.unit.services.edge.dialects.driving import given as as_given
from tests.unit.services.edge.dialects.spoken import SPOKEN
from tests.unit.services.edge.dialects.wording import BREAKS, HOSTILE, MARK, PLAIN, read, replaced, rewritten, written
from tests.vectors import Vector, Vectors, canonical, wire

ME, OTHER, CHAT = AccountId(12), AccountId(34), ChatId(5)


class Form(NamedTuple):
    """A valid frame with one place in which somebody writes something."""

    vector: Vector
    place: str
    """What the vector has there."""

    def frame(self, word: str, separator: str) -> Any:
        return replaced(self.vector.frame, self.place, word, separator)

    def meant(self, word: str) -> Command:
        assert self.vector.command is not None
        command = canonical(self.vector.command, vectors.COMMANDS)
        return rewritten(command, lambda old: word if old == self.place else old)  # type: ignore[no-any-return]


@cache
def forms(entry: Entry) -> list[Form]:
    file = FILES[entry.name]
    found = [
        Form(vector, place)
        for vector in file.vectors
        if vector.command is not None
        for place in sorted(written(canonical(vector.command, vectors.COMMANDS)))
    ]
    return [form for form in found if form.frame(MARK, file.separator) is not None]


def said(entry: Entry, form: Form, word: str) -> Request:
    dialect = as_given(entry, form.vector.given)
    request = only_request(dialect, wire(form.frame(word, FILES[entry.name].separator)))
    return request


@cache
def posts(entry: Entry) -> list[Form]:
    return [form for form in forms(entry) if isinstance(form.meant(MARK), PostMessage)]


def shown(segments: tuple[Segment, ...], to: AccountId | None = None) -> DisplayMessage:
    return DisplayMessage(
        Message(CHAT, 1, MessageId(77), ME, 1724400000123, pack_segments(segments), Nonce(1)), segments, to=to
    )


@each_dialect
@given(word=HOSTILE)
@example(word='x","code":18,"y":"')
def test_what_is_written_in_a_frame_changes_nothing_else_of_it(entry: Entry, word: str) -> None:
    """A field means what it says, or the frame is refused."""
    separator = FILES[entry.name].separator
    for form in forms(entry):
        field = word if not separator or form in posts(entry) else word.replace(separator, "")
        field = field.rstrip(BREAKS) or "x" if separator else field
        try:
            command = said(entry, form, field).command
        except DecodeError:
            continue
        assert command == form.meant(field)


@cache
def listening() -> list[tuple[Dialect, Vectors, list[list[object]]]]:
    """Everybody, and what each reads when MARK is said, in a group and in private."""
    return [(dialect := connect(entry), file := FILES[entry.name], hears(dialect, file, MARK)) for entry in SPOKEN]


def hears(dialect: Dialect, file: Vectors, word: str) -> list[list[object]]:
    frames = [frame for to in (None, OTHER) for frame in dialect.encode_message(shown((Text(word),), to))]
    return [read(frame, file) for frame in frames]


@each_dialect
@given(word=PLAIN)
@example(word="|")
@example(word=" a | b ")
@example(word='{"code": 0}')
def test_what_is_said_in_one_dialect_is_heard_in_every_one_as_it_was_said(entry: Entry, word: str) -> None:
    for form in posts(entry):
        command = said(entry, form, word).command
        assert command == form.meant(word)
        assert isinstance(command, PostMessage)
        assert word in written(command)
    for dialect, file, like in listening():
        meant = [[field.replace(MARK, word) if isinstance(field, str) else field for field in each] for each in like]
        assert hears(dialect, file, word) == meant


@each_dialect
def test_people_can_write_in_every_dialect(entry: Entry) -> None:
    """Else nothing has been looked at."""
    assert posts(entry)


ANYTHING = HOSTILE.map(lambda word: word.replace("\0", "")).filter(bool)
SEGMENTS: st.SearchStrategy[tuple[Segment, ...]] = st.lists(
    ANYTHING.map(Text) | st.integers(0, 2**53 - 1).map(Emoji), min_size=1, max_size=5
).map(tuple)


def again(entry: Entry, shown: DisplayMessage) -> list[PostMessage]:
    """What it would mean if its listener sent the frames of a message back. Raises DecodeError."""
    dialect = connect(entry)
    log_in(dialect, ME)
    requests = [only_request(dialect, frame) for frame in dialect.encode_message(shown) if isinstance(frame, bytes)]
    return [request.command for request in requests if isinstance(request.command, PostMessage)]


def is_read_as_written(entry: Entry) -> bool:
    try:
        return bool(again(entry, shown((Text("hello"),))))
    except DecodeError:
        return False


SAME_BOTH_WAYS = [entry for entry in SPOKEN if is_read_as_written(entry)]


def test_messages_have_the_same_form_both_ways_in_ourchat() -> None:
    assert {entry.name for entry in SAME_BOTH_WAYS} == {"ourchat-v0", "ourchat-v1", "ourchat-v2"}


@pytest.mark.parametrize("entry", SAME_BOTH_WAYS, ids=lambda entry: entry.name)
@given(segments=SEGMENTS, to=st.sampled_from([None, OTHER]))
def test_decode_after_encode_is_the_identity(entry: Entry, segments: tuple[Segment, ...], to: AccountId | None) -> None:
    dialect = connect(entry)
    for segment in segments:
        (command,) = again(entry, shown((segment,), to))
        assert command.segments in ((segment,), (Text(render_segment(segment, BASE_URL)),))
    whole = shown(segments, to)
    commands = again(entry, whole)
    assert {(command.chat, command.to) for command in commands} <= {(CHAT, NO_ACCOUNT), (0, OTHER)}
    frames = [frame for command in commands for frame in dialect.encode_message(shown(command.segments, to))]
    assert tuple(frames) == dialect.encode_message(whole)
