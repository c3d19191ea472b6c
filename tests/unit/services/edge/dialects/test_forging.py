"""Nothing that anybody writes, in any dialect, is taken for a field, a record or a frame by a client of any other."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import msgspec
from hypothesis import example, given

from services.edge.canonical.events import Event
from services.edge.canonical.replies import DisplayMessage, MessageAccepted
from services.edge.dialects.base import DecodeError, Dialect, Request
from services.edge.dialects.registry import Entry
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import ProfileSummary
from tests.unit.services.edge.dialects.driving import (
    FILES,
    LONG_AFTER,
    connect,
    each_dialect,
    frames,
    log_in,
    only_request,
)
from tests.unit.services.edge.dialects.driving import given as as_given
from tests.unit.services.edge.dialects.spoken import SPOKEN
from tests.unit.services.edge.dialects.wording import HOSTILE, MARK, read, rewritten
from tests.vectors import ANSWERS, EVENTS, Said, Vector, Vectors, canonical, text, wire

EVERY = [vector for file in FILES.values() for vector in file.vectors]
SAID = [vector.message.shown for vector in EVERY if vector.message]
HAPPENED = [canonical(vector.event, EVENTS) for vector in EVERY if vector.event]

Written = Callable[[str], tuple[object, ...]]
"""Frames, by what somebody has written."""


def shown_to(entry: Entry) -> Iterator[Written]:
    """Whatever is said or happens in any dialect, to a client of this one."""
    for shown in SAID:
        yield from (
            partial(heard, entry, msgspec.structs.replace(shown, summary=summary))
            for summary in (shown.summary, ProfileSummary("name", "u"))
        )
    for event in HAPPENED:
        yield from (partial(told, entry, event, account) for account in (NO_ACCOUNT, AccountId(12), AccountId(34)))
    for vector in FILES[entry.name].vectors:
        yield from (partial(answered, entry, vector, reply.answer) for reply in vector.replies if reply.answer)
        if vector.command is not None:
            yield from (partial(refused, entry, vector, code) for code in ErrorCode)


def heard(entry: Entry, shown: DisplayMessage, word: str) -> tuple[object, ...]:
    return connect(entry).encode_message(rewritten(shown, lambda _: word))


def told(entry: Entry, event: Event, account: AccountId, word: str) -> tuple[object, ...]:
    dialect = connect(entry)
    if account != NO_ACCOUNT:
        log_in(dialect, account)
    return frames(dialect.encode_event(rewritten(event, lambda _: word), LONG_AFTER))


def answered(entry: Entry, vector: Vector, answer: dict[str, Any], word: str) -> tuple[object, ...]:
    dialect, request = requested(entry, vector)
    if own := answer.get("MessageAccepted"):
        shown = rewritten(msgspec.convert(own, Said).shown, lambda _: word)
        return dialect.encode_reply(request, MessageAccepted(shown.message, dialect.encode_message(shown)), LONG_AFTER)
    return dialect.encode_reply(request, rewritten(canonical(answer, ANSWERS), lambda _: word), LONG_AFTER)


def refused(entry: Entry, vector: Vector, code: ErrorCode, word: str) -> tuple[object, ...]:
    dialect, request = requested(entry, vector)
    return dialect.encode_error(request, Failure(code, word))


def requested(entry: Entry, vector: Vector) -> tuple[Dialect, Request]:
    dialect = as_given(entry, vector.given)
    request = only_request(dialect, wire(vector.frame))
    return dialect, request


@cache
def renderings(entry: Entry) -> list[tuple[Written, tuple[object, ...]]]:
    """All that a client may be shown and people have had a hand in, each beside what it is when they write MARK."""
    marked = [(render, render(MARK)) for render in shown_to(entry)]
    looks = {str(like): (render, like) for render, like in marked if MARK in str(like)}
    return list(looks.values())


def check_like(out: tuple[object, ...], like: tuple[object, ...], word: str, file: Vectors) -> None:
    """They differ in nothing but what was written; from JSON, that is read as it was written."""
    assert len(out) == len(like)
    for frame, other in zip(out, like, strict=True):
        for field, meant in zip(read(frame, file), read(other, file), strict=True):
            if MARK not in str(meant):
                assert field == meant
            elif not file.separator:
                assert field == str(meant).replace(MARK, word)


@each_dialect
@given(word=HOSTILE)
@example(word="|")
@example(word="\n")
@example(word='","code":18,"x":"')
@example(word='{"code":18}\n{"code":18}')
def test_no_text_forges_a_field_or_a_record_or_a_frame(entry: Entry, word: str) -> None:
    for render, like in renderings(entry):
        check_like(render(word), like, word, FILES[entry.name])


@each_dialect
@given(word=HOSTILE)
@example(word="|")
def test_what_is_refused_is_not_quoted_into_a_frame(entry: Entry, word: str) -> None:
    """Whatever a decoder says of a frame, and be it the frame itself."""
    for vector in FILES[entry.name].vectors:
        dialect = as_given(entry, vector.given)
        try:
            dialect.decode(text(vector.frame).replace(b"a", word.encode()), 0.0)
        except DecodeError as error:
            out = dialect.encode_error(None, error.failure, error.context)
            like = dialect.encode_error(None, Failure(error.failure.code, MARK), error.context)
            check_like(out, like, error.failure.text, FILES[entry.name])


def test_people_write_in_every_dialect() -> None:
    """Else nothing has been looked at."""
    for entry in SPOKEN:
        assert len(renderings(entry)) >= len(SAID) / 2
