"""Properties that every dialect has, for any input from its client."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.frames import Binary, Frame
from services.edge.dialects.base import DecodeError, Dialect, Request
from services.edge.dialects.registry import Entry
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Emoji, Text
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.driving import (
    FILES,
    LONG_AFTER,
    connect,
    display,
    each_dialect,
    log_in,
    requests_of,
)
from tests.vectors import COMMANDS, EVENTS, Vector, canonical, wire

ME = AccountId(12)
CHAT = ChatId(5)
ACCOUNTS = st.sampled_from([NO_ACCOUNT, ME, AccountId(34)])
LIMITS = LimitsSettings()


def connections(entry: Entry) -> tuple[Dialect, Dialect]:
    """Returns a connection that is not logged in, and one that is."""
    fresh, mine = connect(entry), connect(entry)
    log_in(mine, ME, chats=(CHAT,))
    return fresh, mine


def decodes_or_rejects(dialect: Dialect, frame: Frame) -> list[Request]:
    """Checks the common property of every decoder: it decodes a frame, or has an error reply for it."""
    try:
        requests = requests_of(dialect, frame)
    except DecodeError as error:
        rejected = error
    else:
        assert all(type(request.command).__name__ in COMMANDS for request in requests)
        return requests
    assert rejected.failure.text
    assert dialect.encode_error(None, rejected.failure, rejected.context)
    return []


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([ME, "12", CHAT, "0000000012"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


OBJECTS = st.dictionaries(
    st.sampled_from(["code", "data", "time", "sender", "msg", "service_code", "content", "token"])
    | st.text(max_size=8),
    VALUES,
).map(lambda members: json.dumps(members).encode())
TEXTS = st.text().map(lambda text: text.encode(errors="replace"))


@each_dialect
@given(frame=st.binary() | TEXTS | OBJECTS | st.builds(Binary, st.binary()))
def test_any_bytes_decode_or_are_rejected(entry: Entry, frame: Frame) -> None:
    for dialect in connections(entry):
        decodes_or_rejects(dialect, frame)


@each_dialect
@given(data=st.data())
def test_any_conversation_is_decoded_or_rejected_with_any_logins(entry: Entry, data: st.DataObject) -> None:
    sent = [wire(vector.frame) for vector in FILES[entry.name].vectors if vector.frame is not None]
    steps = st.sampled_from(sent) | OBJECTS | st.builds(Binary, st.binary(max_size=40)) | ACCOUNTS
    dialect = connect(entry)
    for step in data.draw(st.lists(steps, max_size=12)):
        if not isinstance(step, int):
            decodes_or_rejects(dialect, step)
        elif step == NO_ACCOUNT:
            dialect.logged_in(NO_ACCOUNT, 0.0)
        else:
            log_in(dialect, AccountId(step), chats=(CHAT,))


def valid_frames(entry: Entry) -> list[Vector]:
    return [vector for vector in FILES[entry.name].vectors if vector.frame is not None and vector.error is None]


@st.composite
def mutated(draw: st.DrawFn, frame: Any) -> Any:
    """Draws a valid frame with a change.

    In JSON, one value is replaced, removed or added; in a text, some characters are.
    """
    if isinstance(frame, str):
        at = draw(st.integers(0, len(frame)))
        return frame[:at] + draw(st.text(max_size=4)) + frame[draw(st.integers(at, len(frame))) :]
    if isinstance(frame, dict) and frame and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(frame)))
        if not draw(st.integers(0, 5)):
            return {name: value for name, value in frame.items() if name != key}
        return {**frame, key: draw(mutated(frame[key]))}
    if isinstance(frame, list) and frame and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(frame) - 1))
        return [*frame[:at], draw(mutated(frame[at])), *frame[at + 1 :]]
    return draw(VALUES)


@each_dialect
@given(data=st.data())
def test_a_valid_frame_with_a_change_decodes_or_is_rejected(entry: Entry, data: st.DataObject) -> None:
    vector = data.draw(st.sampled_from(valid_frames(entry)))
    frame = data.draw(mutated(vector.frame))
    text = frame if isinstance(frame, str) else json.dumps(frame, ensure_ascii=data.draw(st.booleans()))
    for dialect in connections(entry):
        for request in decodes_or_rejects(dialect, text.encode(errors="surrogatepass")):
            check_sound(request)


def check_sound(request: Request) -> None:
    """Checks that a decoded command can be sent over NATS, and keeps the limits."""
    command = request.command
    assert msgspec.msgpack.encode(command)
    if isinstance(command, PostMessage):
        texts = [segment.text for segment in command.segments if isinstance(segment, Text)]
        assert (command.chat == 0) != (command.to == NO_ACCOUNT)
        assert 0 <= command.chat < 2**63 > command.to >= 0
        assert any(texts) or len(texts) < len(command.segments) <= LIMITS.segments_per_message
        assert sum(len(text.encode()) for text in texts) <= LIMITS.message_text_bytes


@each_dialect
def test_every_connection_can_get_every_event(entry: Entry) -> None:
    events = [canonical(vector.event, EVENTS) for file in FILES.values() for vector in file.vectors if vector.event]
    for dialect in connections(entry):
        for event in events:
            for push in dialect.encode_event(event, LONG_AFTER):
                assert push.message is None


@each_dialect
@given(frame=st.binary(max_size=50))
def test_connections_of_one_variant_share_their_bytes(entry: Entry, frame: bytes) -> None:
    """A message is encoded once for all connections of one variant of a dialect, whatever their state is."""
    fresh, mine = connections(entry)
    decodes_or_rejects(mine, frame)
    shown = display(Text("hello"), Emoji(3))
    if fresh.variant == mine.variant:
        assert fresh.encode_message(shown) == mine.encode_message(shown)
