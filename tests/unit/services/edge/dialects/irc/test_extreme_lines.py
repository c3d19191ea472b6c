"""Lines that the server rejects only after a request to a service, or whose values are extreme."""

import msgspec
import pytest

from services.edge.canonical.commands import Command, FindUsers, PostMessage
from services.edge.canonical.events import Event
from services.edge.canonical.irc_commands import RelayTags
from services.edge.canonical.replies import HistoryPage, Reply, UsersFound
from services.edge.dialects.base import ConnectionInfo, ServerInfo
from shared.contract.auth import Authenticated, DeleteAccount, Login
from shared.contract.directory import FindNicks, GroupList, GroupListed, UserFound, UsersOfNicks
from shared.contract.ephemeral import Typing
from shared.contract.errors import ErrorCode, Failure
from shared.contract.guests import RegisterGuest
from shared.contract.model import File, Media, Profile, Text
from shared.contract.routes import Ack
from shared.contract.session import (
    AccountView,
    ChatOpened,
    FindHandle,
    GetAccount,
    HandleFound,
    MarkReadTime,
    OpenPrivateChat,
    ReadTime,
)
from shared.settings import LimitsSettings
from tests.unit.services.edge.dialects.irc.test_reactions import changed
from tests.unit.services.edge.dialects.irc.test_session import (
    CHAT,
    IRC,
    OTHER,
    OWN,
    IrcConnection,
    group,
    joined,
)


def bob(command: Command) -> Reply:
    match command:
        case FindNicks():
            return UsersOfNicks([UserFound(Profile(id=OTHER, uuid="u34", nickname="Bob", nick="bob"))])
        case OpenPrivateChat():
            return ChatOpened(CHAT, (OWN, OTHER))
        case FindHandle():
            return HandleFound(CHAT)
    raise AssertionError(command)


@pytest.mark.parametrize("target", ["bob", "#fruit"])
def test_a_reaction_that_is_none_is_rejected_also_after_a_reply(target: str) -> None:
    connection = IrcConnection(bob, "message-tags")
    (rejected,) = connection.send(f"@+draft/react=a\\sb;+draft/reply=5-8 TAGMSG {target}")
    assert rejected.startswith(":irc.dragoman.local FAIL TAGMSG INVALID_PARAMS :")


def test_only_names_of_tags_reach_other_clients() -> None:
    connection = IrcConnection(lambda _: Ack(), "message-tags")
    connection.send("@+a\u2028QUIT=1;+b\v=2;+=3;+example.org/c-1=4;d=5 TAGMSG #x~5")
    (command,) = connection.commands
    assert isinstance(command, RelayTags)
    assert command.tags.keys() == {"+example.org/c-1", "msgid"}


def test_the_end_of_a_guest_deletes_no_user() -> None:
    """The reply to the guest's REGISTER may have been lost, so the guest may already be a user."""

    def answer(command: Command) -> Reply | Failure:
        match command:
            case GetAccount():
                return AccountView(Profile(id=OWN, uuid="u12", nickname="n", nick="ann", guest="~a"))
            case RegisterGuest():
                return Authenticated(account=OWN, sid="s", token="t", expires=0, uuid="u12", nickname="n", guest="~a")
            case DeleteAccount():
                return Ack()
        return Failure(ErrorCode.UNAVAILABLE, "later")

    connection = IrcConnection(answer)
    connection.dialect = IRC(ConnectionInfo(LimitsSettings(), "http://x", server=ServerInfo(guests=True)))
    connection.send("NICK ann")
    connection.send("USER a 0 * :Ann")
    assert " FAIL REGISTER TEMPORARILY_UNAVAILABLE " in connection.send("REGISTER * * orange-marmalade")[-1]
    connection.send("QUIT :bye")
    assert connection.commands[-1] == DeleteAccount(reason="Quit: bye", of_guest=True)


def entering(guests: bool) -> IrcConnection:
    """Returns a connection without an account. Every login succeeds."""

    def answer(command: Command) -> Reply | Failure:
        if isinstance(command, Login | RegisterGuest):
            return Authenticated(account=OWN, sid="s", token="t", expires=0, uuid="u12", nickname="n")
        return Failure(ErrorCode.UNAVAILABLE, "later")

    connection = IrcConnection(answer)
    connection.dialect = IRC(ConnectionInfo(LimitsSettings(), "http://x", server=ServerInfo(guests=guests)))
    return connection


@pytest.mark.parametrize(
    ("password", "guests", "expected"),
    [
        ("ann:orange", True, [Login]),
        ("orange", True, [RegisterGuest]),
        ("ann:orange", False, [Login]),
        ("orange", False, []),
    ],
)
def test_a_password_that_names_an_account_is_no_guest_s(password: str, guests: bool, expected: list[type]) -> None:
    connection = entering(guests)
    for line in (f"PASS {password}", "NICK ann", "USER a 0 * :Ann"):
        connection.send(line)
    assert [type(one) for one in connection.commands if not isinstance(one, GetAccount)] == expected


def test_only_a_guest_needs_a_nick_that_is_one() -> None:
    connection = entering(guests=True)
    connection.send("CAP LS 302")
    assert " 432 * 2ann " in connection.send("NICK 2ann")[0]
    assert entering(guests=False).send("NICK 2ann") == []
    connection.send("AUTHENTICATE PLAIN")
    assert " 903 " in connection.send("AUTHENTICATE AGFubgBvcmFuZ2U=")[1]
    assert connection.send("NICK 2ann") == []


@pytest.mark.parametrize(("policy", "listed"), [("port=6697,duration=60", ["sts=port=6697,duration=60"]), ("", [])])
def test_a_policy_of_tls_is_listed_where_values_are_and_not_requested(policy: str, listed: list[str]) -> None:
    connection = IrcConnection(lambda _: Failure(ErrorCode.UNAVAILABLE, "later"))
    connection.dialect = IRC(ConnectionInfo(LimitsSettings(), "http://x", server=ServerInfo(sts_policy=policy)))
    assert not any("sts" in name for line in connection.send("CAP LS") for name in line.split())
    names = [name.lstrip(":") for line in connection.send("CAP LS 302") for name in line.split()]
    assert [name for name in names if name.startswith("sts")] == listed
    assert " NAK " in connection.send("CAP REQ :sts")[0]


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        (f"http://chat.example:8080/media/{'0a' * 16}", File(Media("0a" * 16, "", 0, "", ""))),
        (f"see http://chat.example:8080/media/{'0a' * 16}", None),
        (f"http://elsewhere.example/media/{'0a' * 16}", None),
        (f"http://chat.example:8080/media/{'0a' * 16}/..", None),
    ],
)
def test_the_address_of_a_file_of_this_server_is_the_file(text: str, segment: File | None) -> None:
    connection = IrcConnection(lambda _: Failure(ErrorCode.UNAVAILABLE, "later"))
    connection.send(f"PRIVMSG #x~5 :{text}")
    (command,) = connection.commands
    assert isinstance(command, PostMessage)
    assert command.segments == (segment or Text(text),)
    assert (command.references_media, command.kind_by_content) == (bool(segment), bool(segment))


def test_the_latest_time_that_a_client_can_write_is_one_that_it_can_be_shown() -> None:
    """A read marker never moves back."""

    def answer(command: Command) -> Reply:
        return ReadTime(command.time) if isinstance(command, MarkReadTime) else HistoryPage((), 0, False)

    line = "MARKREAD #x~5 timestamp=9999-12-31T23:59:59.999"
    assert IrcConnection(answer).send(f"{line}999Z") == [f":irc.dragoman.local {line}Z"]


@pytest.mark.parametrize("event", [changed(OTHER), Typing(CHAT, OTHER, 6000)])
def test_what_a_user_has_done_is_shown_while_its_name_cannot_be_read(event: Event) -> None:
    connection = joined("message-tags")
    (line,) = connection.push(event)
    assert line.endswith(" :user|34!u34@34.irc.dragoman.local TAGMSG #Fruit~5")


@pytest.mark.parametrize(
    ("condition", "listed"),
    [("*a" * 90 + "*b", False), ("#FR?IT*", True), (f"!{'*a' * 90}*b", True), (">1", True), (">²", True)],
)
def test_a_list_is_chosen_in_a_short_time(condition: str, listed: bool) -> None:
    chat = msgspec.structs.replace(group(), handle="fruit" + "a" * 150)
    connection = IrcConnection(lambda _: GroupList([GroupListed(chat, 2)]))
    assert any(" 322 " in line for line in connection.send(f"LIST {condition}")) is listed


@pytest.mark.parametrize("target", ["gone", "bob", "#gone", "#x~5"])
def test_a_ctcp_without_an_expected_reply_is_answered_only_to_a_label(target: str) -> None:
    def answer(command: Command) -> Reply | Failure:
        match command:
            case FindNicks(nicks=["bob"]):
                return bob(command)
            case FindNicks():
                return UsersOfNicks([])
            case FindUsers():
                return UsersFound(())
        return Failure(ErrorCode.NOT_FOUND, "no")

    connection = IrcConnection(answer, "labeled-response")
    assert connection.send(f"NOTICE {target} :\x01PING 1\x01") == []
    (line,) = connection.send(f"@label=7 NOTICE {target} :\x01PING 1\x01")
    assert line.startswith("@label=7 :irc.dragoman.local ")
    assert " ACK" not in line
