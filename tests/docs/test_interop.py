"""The tables say what the dialects do."""

import pytest

from docs.interop import (
    AS_TEXT,
    EVENTS,
    NOTHING,
    SEGMENTS,
    TABLES,
    Column,
    acknowledged,
    column,
    event_cell,
    head,
    lacking,
    live,
    messages,
    missed,
    table,
)
from services.edge.canonical.events import Event
from services.edge.canonical.frames import Binary, MediaPayload, Outgoing
from services.edge.dialects.registry import DIALECTS
from shared.contract.model import Media, Segment
from tests.unit.services.edge.dialects.spoken import SPOKEN

COLUMNS = {entry.name: column(entry) for entry in SPOKEN}
MEDIA = Media("00", "cat.png", 512, "ab", "image/png")
V0, V1, V2, SERVICE, PIPE, TELEGRAPH = COLUMNS.values()


def test_the_tables_leave_nothing_out() -> None:
    assert {type(one.event) for one in EVENTS.values()} == set(Event.__args__)
    assert {type(segment) for segment in SEGMENTS.values()} == set(Segment.__args__)
    for made in TABLES.values():
        lines = made().splitlines()
        assert len({line.count(" | ") for line in lines}) == 1
        assert all(entry.name in made() for entry in DIALECTS)


@pytest.mark.parametrize(
    ("frame", "separator", "name"),
    [
        (b'{"code": 4, "x": 1}', "", "`code` 4"), (b'{"time": 5, "code": 4}', "", "`code` 4"),
        (b"message|1|5|x", "|", "`message`"), (b"heard 5 34 x\n", " ", "`heard`"), (Binary(b"x"), "", "binary frames"),
        (MediaPayload(b'{"code": 2}', MEDIA, 1, b""), "", "`code` 2 with binary frames"),
    ],
)  # fmt: skip
def test_a_frame_is_known_by_its_head(frame: Outgoing, separator: str, name: str) -> None:
    assert head(frame, separator) == name


@pytest.mark.parametrize(
    ("of", "segment", "seen"),
    [
        (V0, "an emoji", "`code` 1"), (V1, "an emoji", AS_TEXT), (V2, "an emoji", "`code` 0"),
        (PIPE, "a text", "`message`"), (TELEGRAPH, "a text", "`heard`"), (TELEGRAPH, "an image", AS_TEXT),
        (SERVICE, "a text", "`service_code` 8"),
    ],
)  # fmt: skip
def test_a_message_is_shown_by_a_frame_of_its_own_or_as_text(of: Column, segment: str, seen: str) -> None:
    assert messages(of, SEGMENTS[segment]) == seen


@pytest.mark.parametrize(
    ("of", "row", "seen"),
    [
        (V0, "a user has a new name", NOTHING), (V1, "a user has a new name", "`code` 12"),
        (V2, "a user has a new name", "by request: `code` 10"), (V2, "the account is in a new chat", "`code` 9"),
        (PIPE, "a friend request arrives", "`friend_request`"), (TELEGRAPH, "the account is in a new chat", "`chat`"),
        (SERVICE, "the account is in a new chat", "by request: `service_code` 4"),
        (PIPE, "an application is rejected", NOTHING),
    ],
)  # fmt: skip
def test_an_event_is_pushed_or_shown_by_request_or_neither(of: Column, row: str, seen: str) -> None:
    assert event_cell(of, EVENTS[row]) == seen


def test_how_messages_come() -> None:
    assert [live(of).split(":")[0] for of in (V2, SERVICE, TELEGRAPH)] == ["pushed", "by request", "pushed"]
    assert [missed(of) for of in (V2, PIPE)] == ["pushed after the login", "by request: `get_unread_message`"]
    assert [acknowledged(of) for of in (V1, TELEGRAPH)] == ["the message itself", "`sent`"]


def test_what_a_dialect_lacks_is_shown_as_it_is_seen() -> None:
    page = lacking(V1.entry)
    assert "| an emoji | as text: `[emoji:3]` |\n" in page
    assert "| the account is in a new chat | not pushed |\n" in page
    assert "a user has joined" not in page
    assert "list pending requests, " in page.splitlines()[-1]
    assert "rename chat" not in page.splitlines()[-1]
    assert "set security" not in page, "nobody can, in any dialect"


def test_a_bar_in_a_cell_is_none_of_the_table() -> None:
    assert table("x", [("a|b",)], []) == "| x |\n| --- |\n| a&#124;b |\n"
