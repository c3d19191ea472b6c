"""Tests SEARCH: the messages that a client gets, and the searches that are rejected."""

import pytest
from msgspec.structs import replace

from services.edge.canonical.replies import MessagesFound, UsersFound
from services.edge.dialects.base import ServerInfo
from shared.contract.directory import FindNicks, UsersOfNicks
from shared.contract.search import SearchMessages, SearchPage
from tests.unit.services.edge.dialects.irc.test_playback import played
from tests.unit.services.edge.dialects.irc.test_session import OTHER, OWN, IrcConnection, shown

SEARCH = "soju.im/search message-tags"


def test_a_search_shows_the_newest_messages_with_the_oldest_of_them_first() -> None:
    found = [shown(7), shown(9, "x" * 300_000), shown(8, "y" * 300_000)]
    connection = IrcConnection(lambda _: MessagesFound(SearchPage([], 1), tuple(found)), SEARCH)
    lines = connection.send("SEARCH text=hi")
    assert set(played(lines)) == {"5-9"}
    found.pop(1)
    assert played(connection.send("SEARCH text=hi")) == ["5-7", "5-8"]


def test_a_search_in_an_incomplete_index_is_marked() -> None:
    connection = IrcConnection(lambda _: MessagesFound(SearchPage([], 0), (shown(7),)), SEARCH)
    warning, *lines = connection.send("SEARCH text=hi")
    assert warning.startswith(":irc.dragoman.local WARN SEARCH INDEX_INCOMPLETE :")
    assert played(lines) == ["5-7"]


def test_a_search_from_a_time_on_shows_the_first_messages_since() -> None:
    found = [shown(7), shown(9, "x" * 300_000), shown(8, "y" * 300_000)]
    connection = IrcConnection(lambda _: MessagesFound(SearchPage([], 1), tuple(found)), SEARCH)
    for bounds in ("", ";before=2024-08-24T00:00:00.000Z"):
        lines = connection.send(f"SEARCH text=hi;after=2024-08-23T00:00:00.000Z{bounds}")
        assert list(dict.fromkeys(played(lines))) == ["5-7", "5-8"]
        search = connection.commands.pop()
        assert isinstance(search, SearchMessages)
        assert search.oldest_first


def test_a_found_private_message_has_the_names_of_both_users() -> None:
    sent = shown(8)
    private = replace(shown(7), to=OWN), replace(sent, message=replace(sent.message, sender=OWN), to=OTHER)
    connection = IrcConnection(lambda _: MessagesFound(SearchPage([], 1), private), SEARCH)
    for search in ("SEARCH text=hi", "SEARCH in=#x~5;text=hi"):
        targets = [line.split(" PRIVMSG ")[1].split(" ")[0] for line in connection.send(search)]
        assert targets == ["n|12", "user|34"]


def test_a_search_of_an_unknown_sender_finds_nothing() -> None:
    connection = IrcConnection(lambda _: UsersOfNicks([]) if isinstance(_, FindNicks) else UsersFound(()), SEARCH)
    connection.send("CAP REQ batch")
    start, end = connection.send("SEARCH from=nobody;text=hi")
    assert (start.split()[1:3], end.split()[1:]) == (["BATCH", "+b1"], ["BATCH", "-b1"])
    (line,) = connection.send("SEARCH in=nobody;text=hi")
    assert " FAIL SEARCH INVALID_PARAMS in :" in line


def test_a_server_without_search_rejects_the_capability() -> None:
    connection = IrcConnection(server=ServerInfo("0.1.0", ()))
    assert connection.send("CAP REQ :soju.im/search") == [":irc.dragoman.local CAP * NAK :soju.im/search"]


@pytest.mark.parametrize("attribute", ["limit=many", "after=yesterday", "before=1", "colour=red"])
def test_a_wrong_attribute_is_named(attribute: str) -> None:
    connection = IrcConnection(capabilities=SEARCH)
    (line,) = connection.send(f"SEARCH text=hi;{attribute}")
    assert f" FAIL SEARCH INVALID_PARAMS {attribute.partition('=')[0]} :" in line
    assert connection.commands == []


def test_searches_above_the_rate_are_rejected() -> None:
    connection = IrcConnection(lambda _: MessagesFound(SearchPage([], 1)), SEARCH)
    answers = [connection.send("SEARCH text=hi") for _ in range(21)]
    assert answers[:20] == [[]] * 20
    assert " FAIL SEARCH RATE_LIMITED :" in answers[20][0]
