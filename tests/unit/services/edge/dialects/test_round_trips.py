"""Texts of users pass through every dialect unchanged, from the client and to the client."""

from functools import cache
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.edge.canonical.commands import Command, GiveState, PostMessage
from services.edge.dialects.base import DecodeError, Dialect, DisplayMessage
from services.edge.dialects.registry import Entry
from services.edge.dialects.text_fallback import render_segment
from shared.contract.body import pack_segments, unpack_segments
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Emoji, Message, RichSegment, Segment, Text
from tests import vectors
from tests.unit.services.edge.dialects.all_dialects import ALL_DIALECTS
from tests.unit.services.edge.dialects.driving import (
    BASE_URL,
    FILES,
    VectorCase,
    cases,
    connect,
    each_dialect,
    log_in,
    requests_of,
)
from tests.unit.services.edge.dialects.driving import given as as_given
from tests.unit.services.edge.dialects.user_texts import (
    HOSTILE,
    MARK,
    ONE_LINE,
    fitting,
    read,
    replaced,
    rewritten,
    texts_in,
)
from tests.vectors import Vectors, canonical, wire

ME, OTHER, CHAT = AccountId(12), AccountId(34), ChatId(5)


class Form(NamedTuple):
    """A valid frame with a place in which a user writes a text."""

    case: VectorCase
    place: str
    """The text that the vector has in this place."""

    @property
    def file(self) -> Vectors:
        return FILES[self.case.entry.name]

    def frame(self, word: str) -> Any:
        return replaced(self.case.vector.frame, self.place, word, self.file)

    def meant(self, word: str) -> Command:
        command = canonical(self.case.expected.command, vectors.COMMANDS)
        return rewritten(command, lambda old: word if old == self.place else old)  # type: ignore[no-any-return]


def free_texts(command: Command) -> set[str]:
    """Returns the texts that a command passes on unchanged. A dialect may make a nickname from an e-mail address."""
    return texts_in(command) - {getattr(command, "email", "")}


@cache
def forms(entry: Entry) -> list[Form]:
    found = [
        Form(case, place)
        for case in cases(entry)
        if not case.is_own
        for place in sorted(free_texts(canonical(case.expected.command, vectors.COMMANDS)))
    ]
    return [form for form in found if form.frame(MARK) is not None]


def decoded(form: Form, word: str) -> Command:
    dialect = as_given(form.case.entry, form.case.vector.given)
    return requests_of(dialect, wire(form.frame(word)))[form.case.number].command


@cache
def posts(entry: Entry) -> list[Form]:
    return [form for form in forms(entry) if isinstance(form.meant(MARK), PostMessage)]


def shown(segments: tuple[RichSegment, ...], to: AccountId | None = None) -> DisplayMessage:
    body = pack_segments(segments)
    return DisplayMessage(
        Message(CHAT, 1, MessageId(77), ME, 1724400000123, body, Nonce(1)), unpack_segments(body), to=to
    )


@each_dialect
@given(word=HOSTILE)
@example(word='x","code":18,"y":"')
def test_a_text_in_a_frame_changes_nothing_else_of_it(entry: Entry, word: str) -> None:
    """The whole text is the value of the field, or the frame is rejected."""
    for form in forms(entry):
        field = fitting(form.case.vector.frame, form.place, word, form.file, free=form in posts(entry))
        if field is None:
            continue
        try:
            command = decoded(form, field)
        except DecodeError:
            continue
        if command == GiveState("away", "away") and field == "*":
            continue  # IRCv3 pre-away: with AWAY *, no user is at the client
        assert command == form.meant(field)


@cache
def recipients() -> list[tuple[Dialect, Vectors, list[list[object]]]]:
    """Returns a connection of each dialect. Also returns how it reads MARK, sent to a group and in private."""
    return [
        (dialect := connect(entry), file := FILES[entry.name], reads(dialect, file, MARK)) for entry in ALL_DIALECTS
    ]


def reads(dialect: Dialect, file: Vectors, word: str) -> list[list[object]]:
    frames = [frame for to in (None, OTHER) for frame in dialect.encode_message(shown((Text(word),), to))]
    return [read(frame, file) for frame in frames]


@each_dialect
@given(word=ONE_LINE)
@example(word="|")
@example(word=" a | b ")
@example(word='{"code": 0}')
def test_a_text_sent_in_one_dialect_is_the_same_in_every_other(entry: Entry, word: str) -> None:
    for form in posts(entry):
        command = decoded(form, word)
        assert command == form.meant(word)
        assert isinstance(command, PostMessage)
        assert word in texts_in(command)
    for dialect, file, like in recipients():
        meant = [[field.replace(MARK, word) if isinstance(field, str) else field for field in each] for each in like]
        assert reads(dialect, file, word) == meant


@each_dialect
def test_every_dialect_can_send_a_text(entry: Entry) -> None:
    """If no frame could be made, the tests would check nothing."""
    assert posts(entry)


ANYTHING = HOSTILE.map(lambda word: word.replace("\0", "")).filter(bool)


def segments_of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[Segment, ...]]:
    return st.lists(texts.map(Text) | st.integers(0, 2**53 - 1).map(Emoji), min_size=1, max_size=5).map(tuple)


ANY_SEGMENTS, ONE_LINE_SEGMENTS = segments_of(ANYTHING), segments_of(ONE_LINE)


def again(entry: Entry, shown: DisplayMessage) -> list[PostMessage]:
    """Returns the meaning of a message's frames if their recipient sent them back. Raises DecodeError."""
    dialect = connect(entry)
    log_in(dialect, ME)
    frames = [frame for frame in dialect.encode_message(shown) if isinstance(frame, bytes)]
    commands = [request.command for frame in frames for request in requests_of(dialect, frame)]
    return [command for command in commands if isinstance(command, PostMessage)]


def has_one_form(entry: Entry) -> bool:
    try:
        return bool(again(entry, shown((Text("hello"),))))
    except DecodeError:
        return False


SAME_BOTH_WAYS = [entry for entry in ALL_DIALECTS if has_one_form(entry)]


def test_messages_have_the_same_form_both_ways_in_ourchat() -> None:
    assert {entry.name for entry in SAME_BOTH_WAYS} >= {"ourchat-v0", "ourchat-v1", "ourchat-v2"}


@pytest.mark.parametrize("entry", SAME_BOTH_WAYS, ids=lambda entry: entry.name)
@given(data=st.data(), to=st.sampled_from([None, OTHER]))
def test_decode_after_encode_is_the_identity(entry: Entry, data: st.DataObject, to: AccountId | None) -> None:
    """In dialects with text frames, a text is one line. JSON can contain any text."""
    dialect = connect(entry)
    segments = data.draw(ANY_SEGMENTS if FILES[entry.name].is_json else ONE_LINE_SEGMENTS)
    for segment in segments:
        (command,) = again(entry, shown((segment,), to))
        assert command.segments in ((segment,), (Text(render_segment(segment, BASE_URL)),))
    whole = shown(segments, to)
    commands = again(entry, whole)
    assert {(command.chat, command.to) for command in commands} <= {(CHAT, NO_ACCOUNT), (0, OTHER)}
    frames = [frame for command in commands for frame in dialect.encode_message(shown(command.segments, to))]
    assert tuple(frames) == dialect.encode_message(whole)
