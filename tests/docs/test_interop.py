"""The generated tables agree with the dialects, also when one more dialect is added to the registry."""

import pytest

from docs.events import EVENTS
from docs.interop import (
    AS_TEXT,
    DECLARED,
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
    phrase,
    signature,
    table,
)
from services.edge.canonical.commands import StartUpload
from services.edge.canonical.events import Event
from services.edge.canonical.frames import Binary, MediaPayload, Outgoing
from services.edge.dialects.base import Request
from services.edge.dialects.irc import _HANDLERS
from services.edge.dialects.registry import DIALECTS, Dialects, Entry
from shared.contract.auth import Login
from shared.contract.errors import ErrorCode, Failure
from shared.contract.model import Media, RichSegment
from shared.contract.recovery import RecoverByTicket
from shared.contract.session import CreateChat, GetChat
from tests.unit.services.edge.dialects.all_dialects import ALL_DIALECTS
from tests.vectors import COMMANDS, Vectors
from tests.vectors import EVENTS as VECTOR_EVENTS

COLUMNS = {entry.name: column(entry) for entry in ALL_DIALECTS}
MEDIA = Media("00", "cat.png", 512, "ab", "image/png")
V0, V1, V2 = (COLUMNS[f"ourchat-v{version}"] for version in range(3))
SERVICE, PIPE, SAMPLE = COLUMNS["service"], COLUMNS["pipe"], COLUMNS["sample-irc"]
BARS = Vectors("bars", [], [], separator="|")
JSON = Vectors("json", [], [])
PREFIXED = Vectors("prefixed", [], [], fields="(.*)", head=r"(?::\S+ )?(\S+)")


def test_the_tables_leave_nothing_out() -> None:
    assert {type(one.event) for one in EVENTS.values()} == set(Event.__args__)
    assert {type(segment) for segment in SEGMENTS.values()} == set(RichSegment.__args__)
    assert len({phrase(command) for command in COMMANDS}) == len(COMMANDS)


@pytest.mark.parametrize("dialects", [DIALECTS, ALL_DIALECTS, ALL_DIALECTS[-1:]], ids=len)
@pytest.mark.parametrize("name", TABLES)
def test_each_table_has_a_cell_for_each_dialect(name: str, dialects: Dialects) -> None:
    made = TABLES[name](dialects)
    assert len({line.count(" | ") for line in made.splitlines() if line.startswith("|")}) == 1
    if not name.startswith("model"):
        assert all(entry.name in made for entry in dialects)


@pytest.mark.parametrize("entry", ALL_DIALECTS, ids=lambda entry: entry.name)
def test_each_dialect_has_a_table_of_its_lacks(entry: Entry) -> None:
    assert "\nNot shown: " in lacking(entry)


@pytest.mark.parametrize(
    ("frame", "file", "name"),
    [
        (b'{"code": 4, "x": 1}', JSON, "`code` 4"), (b'{"time": 5, "code": 4}', JSON, "`code` 4"),
        (b'{"service_code": 5, "content": {}}', JSON, "`service_code` 5"), (b'{"op": "send"}', JSON, "`op` send"),
        (b"login|a|b", BARS, "`login`"), (b"  error|x\r\n", BARS, "`error`"), (Binary(b"{}"), JSON, "binary frames"),
        (MediaPayload(b'{"code": 2}', MEDIA, 3, b"{}"), JSON, "`code` 2 with binary frames"),
        (b":34 PRIVMSG #5 :hi", PREFIXED, "`PRIVMSG`"), (b"PING x", PREFIXED, "`PING`"),
    ],
)  # fmt: skip
def test_a_frame_is_named_by_its_head(frame: Outgoing, file: Vectors, name: str) -> None:
    assert head(frame, file) == name


@pytest.mark.parametrize(
    ("of", "segment", "form"),
    [
        (V0, "an emoji", "`code` 1"), (V1, "an emoji", AS_TEXT), (V2, "an emoji", "`code` 0"),
        (PIPE, "a text", "`message`"), (SAMPLE, "a text", "`PRIVMSG`"), (SAMPLE, "an image", AS_TEXT),
        (SERVICE, "a text", "`service_code` 8"),
    ],
)  # fmt: skip
def test_a_message_has_a_form_of_its_own_or_is_text(of: Column, segment: str, form: str) -> None:
    assert messages(of, SEGMENTS[segment]) == form


@pytest.mark.parametrize(
    ("of", "row", "form"),
    [
        (V0, "a user has a new name", NOTHING), (V1, "a user has a new name", "`code` 12"),
        (V2, "a user has a new name", "by request: `code` 10"), (V2, "the account is in a new chat", "`code` 9"),
        (PIPE, "a friend request arrives", "`friend_request`"),
        (SERVICE, "the account is in a new chat", "by request: `service_code` 4"),
        (PIPE, "an application is rejected", NOTHING), (SAMPLE, "a chat has a new name", "`TOPIC`"),
        (SAMPLE, "the account is in a new chat", "`JOIN`, `332`, `353`, `366`"),
    ],
)  # fmt: skip
def test_an_event_is_pushed_or_on_request_or_neither(of: Column, row: str, form: str) -> None:
    assert event_cell(of, EVENTS[row]) == form


def test_how_messages_arrive() -> None:
    assert [live(of).split(":")[0] for of in (V2, SERVICE, SAMPLE)] == ["pushed", "by request", "pushed"]
    assert [missed(of) for of in (V2, PIPE)] == ["pushed after the login", "by request: `get_unread_message`"]
    assert [acknowledged(of) for of in (V1, PIPE)] == ["the message itself", "`send_message_succ`"]
    assert acknowledged(COLUMNS["irc"]) == "`PRIVMSG`, after `CAP REQ :echo-message`"


def test_the_column_of_irc_has_requests_that_begin_with_a_lookup() -> None:
    irc = COLUMNS["irc"]
    assert irc.frames_of["EndMembership"] == ["`PART`", "`KICK`"]
    heads = {head.strip("`") for name in DECLARED["irc"] for head in irc.frames_of[name]}
    assert heads <= {"REGISTER", *_HANDLERS}
    assert DECLARED["irc"].keys() <= {*COMMANDS, *VECTOR_EVENTS}
    assert event_cell(irc, EVENTS["a group has a new picture or topic, or other settings"]) == "`TOPIC`"


def test_irc_creates_the_channel_that_its_declared_frame_does_not_find() -> None:
    irc = COLUMNS["irc"]
    connection = irc.connection()
    line = b"JOIN #new"
    (lookup,) = connection.decode(line, 0.0)
    assert isinstance(lookup, Request)
    assert connection.encode_error(lookup, Failure(ErrorCode.NOT_FOUND, "no such chat")) == ()
    (made,) = connection.follow_ups
    assert isinstance(made, Request)
    assert isinstance(made.command, CreateChat)
    assert irc.frames_of["CreateChat"] == [head(line, irc.file)]


def test_a_lack_is_shown_with_its_form() -> None:
    page = lacking(V1.entry)
    assert "| an emoji | as text: `[emoji:3]` |\n" in page
    assert page.splitlines()[-1].startswith("Not shown: the account has left a chat; ")
    assert "a user has joined" not in page


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert table("x", [("a|b",)], []) == "| x |\n| --- |\n| a&#124;b |\n"


def test_a_signature_leaves_out_what_the_edge_fills_in() -> None:
    assert signature(GetChat) == "GetChat(chat, members=)"
    assert signature(StartUpload) == "StartUpload(number, chat, to=, data=, replaces=)"
    assert signature(Login) == "Login(kind, identifier, secret, refreshable=, device=)"
    assert signature(RecoverByTicket) == "RecoverByTicket(ticket, secret)"
