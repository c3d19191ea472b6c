"""A user's text, sent in any dialect, is never read as a field, a record or a frame by a client of another dialect."""

import re
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from functools import cache, partial
from typing import Any, get_args, get_type_hints

import msgspec
from hypothesis import example, given

from services.edge.canonical.events import Event
from services.edge.canonical.replies import DisplayMessage, MessageAccepted
from services.edge.dialects.base import DecodeError
from services.edge.dialects.encoded_message import to_display
from services.edge.dialects.registry import Entry
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Mention, Message, ProfileSummary, Quote, Text
from tests.unit.services.edge.dialects.all_dialects import ALL_DIALECTS
from tests.unit.services.edge.dialects.driving import (
    FILES,
    LONG_AFTER,
    VectorCase,
    cases,
    connect,
    each_dialect,
    frames,
    log_in,
)
from tests.unit.services.edge.dialects.driving import given as as_given
from tests.unit.services.edge.dialects.user_texts import (
    BREAKS,
    HOSTILE,
    MARK,
    SERVER_FIELDS,
    USER_FIELDS,
    read,
    rewritten,
)
from tests.vectors import ANSWERS, EVENTS, VectorMessage, Vectors, canonical, text

ALL_VECTORS = [vector for file in FILES.values() for vector in file.vectors]
MESSAGES = [vector.message.shown for vector in ALL_VECTORS if vector.message]
ALL_EVENTS = [canonical(vector.event, EVENTS) for vector in ALL_VECTORS if vector.event]

Render = Callable[[str], tuple[object, ...]]
"""A function that returns frames for the text that a user has written."""


def renders(entry: Entry) -> Iterator[Render]:
    """Yields functions that put a user's text into every frame of this dialect: its messages, events and replies."""
    for shown in MESSAGES:
        yield from (
            partial(message_frames, entry, msgspec.structs.replace(shown, summary=summary))
            for summary in (shown.summary, ProfileSummary("name", "u"))
        )
    for event in ALL_EVENTS:
        yield from (partial(event_frames, entry, event, account) for account in (NO_ACCOUNT, 12, 34))
    for case in cases(entry):
        yield from (partial(reply_frames, case, reply.answer) for reply in case.expected.replies if reply.answer)
        yield from (partial(error_frames, case, code) for code in ErrorCode)


def message_frames(entry: Entry, shown: DisplayMessage, word: str) -> tuple[object, ...]:
    return connect(entry).encode_message(rewritten(shown, lambda _: word))


def event_frames(entry: Entry, event: Event, account: int, word: str) -> tuple[object, ...]:
    dialect = connect(entry)
    if account != NO_ACCOUNT:
        log_in(dialect, AccountId(account))
    return frames(dialect.encode_event(rewritten(event, lambda _: word), LONG_AFTER))


def reply_frames(case: VectorCase, answer: dict[str, Any], word: str) -> tuple[object, ...]:
    dialect, request = case.make()
    if own := answer.get("MessageAccepted"):
        shown = rewritten(msgspec.convert(own, VectorMessage).shown, lambda _: word)
        accepted = MessageAccepted(shown.message, partial(dialect.encode_message, shown))
        return dialect.encode_reply(request, accepted, LONG_AFTER)
    return dialect.encode_reply(request, rewritten(canonical(answer, ANSWERS), lambda _: word), LONG_AFTER)


def error_frames(case: VectorCase, code: ErrorCode, word: str) -> tuple[object, ...]:
    dialect, request = case.make()
    return dialect.encode_error(request, Failure(code, word))


@cache
def renderings(entry: Entry) -> list[tuple[Render, tuple[object, ...]]]:
    """Returns all renderings that contain a user's text, each with its frames for the text MARK."""
    marked = [(render, render(MARK)) for render in renders(entry)]
    looks = {str(like): (render, like) for render, like in marked if MARK in str(like)}
    return list(looks.values())


def check_like(out: tuple[object, ...], like: tuple[object, ...], word: str, file: Vectors) -> None:
    """Checks that the frames differ only in the user's text. JSON must contain this text unchanged."""
    like = one_for_each(out, like, file) if file.lines else like
    assert len(out) == len(like)
    for frame, other in zip(out, like, strict=True):
        for field, meant in zip(read(frame, file), read(other, file), strict=True):
            if MARK not in str(meant):
                assert field == meant
            elif file.is_json:
                assert field == marked_as(meant, word)


def one_for_each(out: tuple[object, ...], like: tuple[object, ...], file: Vectors) -> tuple[object, ...]:
    """Returns the expected frames in order, one for each line of the text.

    Only the frame of the first line has the message's id.
    """
    if len(out) == len(like) or not out:  # an event names a nickname only if it has changed
        return like[: len(out)]
    left, meant = list(like), list[object]()
    for frame in out:
        while len(left) > 1 and not is_like(frame, left[0], file):
            del left[0]
        meant.append(left[0])
        left[0] = re.sub(rb";msgid=[^; ]*", b"", left[0]) if isinstance(left[0], bytes) else left[0]
    assert is_like(out[-1], like[-1], file)
    return tuple(meant)


def is_like(frame: object, other: object, file: Vectors) -> bool:
    fields, others = read(frame, file), read(other, file)
    return len(fields) == len(others) and all(
        field == meant or MARK in str(meant) for field, meant in zip(fields, others, strict=True)
    )


def marked_as(meant: object, word: str) -> object:
    """Returns a value, or a path to one, with the user's text in place of MARK."""
    if isinstance(meant, tuple):
        return tuple(marked_as(part, word) for part in meant)
    return meant.replace(MARK, word) if isinstance(meant, str) else meant


@each_dialect
# an avatar that begins with a slash is a path on the server itself
@given(word=HOSTILE.filter(lambda word: not word.startswith("/")))
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
def test_an_error_that_quotes_the_frame_forges_nothing(entry: Entry, word: str) -> None:
    for vector in FILES[entry.name].vectors:
        dialect = as_given(entry, vector.given)
        try:
            dialect.decode(text(vector.frame).replace(b"a", word.encode()), 0.0)
        except DecodeError as error:
            out = dialect.encode_error(None, error.failure, error.context)
            like = dialect.encode_error(None, msgspec.structs.replace(error.failure, text=MARK), error.context)
            check_like(out, like, error.failure.text, FILES[entry.name])


def text_fields(kind: Any, seen: set[Any], name: str = "") -> Iterator[str]:
    """Returns the names of all text fields in a type of canonical values."""
    kind = getattr(kind, "__value__", kind)
    if kind is str or getattr(kind, "__supertype__", None) is str:
        yield name
    for part in get_args(kind):
        yield from text_fields(part, seen, name)
    if isinstance(kind, type) and kind not in seen and (issubclass(kind, msgspec.Struct) or is_dataclass(kind)):
        seen.add(kind)
        for inner, part in get_type_hints(kind).items():
            yield from text_fields(part, seen, inner)


def test_every_text_is_of_a_user_or_of_the_server() -> None:
    """Each text field must be listed as a text of users or of the server, so that the tests do not overlook a new
    field.
    """
    seen = set[Any]()
    names = {name for kind in (*EVENTS.values(), *ANSWERS.values(), DisplayMessage) for name in text_fields(kind, seen)}
    assert names == USER_FIELDS - {"answer"} | SERVER_FIELDS


def test_every_dialect_shows_texts_of_users() -> None:
    """If no dialect showed a text, the tests above would check nothing."""
    for entry in ALL_DIALECTS:
        assert len(renderings(entry)) >= len(MESSAGES) / 3


def reply(word: str) -> DisplayMessage:
    """Returns a message that mentions a user, and replies to another message.

    `word` is the text of that message and the name of its sender.
    """
    body = pack_segments((Text("hi "), Mention(AccountId(12), "@x")), reply_to=7)
    message = Message(ChatId(5), 8, MessageId(9), AccountId(34), 1724400000456, body, Nonce(1))
    return to_display(message, None, ProfileSummary("Bob", "u"), quote=Quote(word, f"{word} {word}"))


@each_dialect
@given(word=HOSTILE)
@example(word="\nBob: ")
@example(word="x" * 500)
def test_a_quote_is_one_short_line(entry: Entry, word: str) -> None:
    file, out, like = FILES[entry.name], connect(entry).encode_message(reply(word)), reply(MARK)
    shown = 0
    for frame, other in zip(out, connect(entry).encode_message(like), strict=True):
        for field, meant in zip(read(frame, file), read(other, file), strict=True):
            if MARK not in str(meant):
                assert field == meant
                continue
            shown += 1
            text = f"{field} hi @x" if file.lines else str(field)
            quote = text.removesuffix("hi @x")[:-1].removeprefix("Bob: ")
            assert quote.startswith("> ")
            assert len(quote) <= 80
            assert not set(BREAKS) & set(quote)
            assert text.endswith(("\nhi @x", " hi @x"))
    assert shown == (0 if entry.name == "native" else 1)
