"""Lines that are rejected late, or whose values are extreme."""

import msgspec
import pytest

from services.edge.canonical.commands import Command, FindUsers
from services.edge.canonical.events import Event
from services.edge.canonical.irc_commands import RelayTags
from services.edge.canonical.replies import HistoryPage, Reply, UsersFound
from services.edge.dialects.base import ConnectionInfo, ServerInfo
from shared.contract.auth import Authenticated, DeleteAccount
from shared.contract.directory import FindNicks, GroupList, GroupListed, UserFound, UsersOfNicks
from shared.contract.ephemeral import Typing
from shared.contract.errors import ErrorCode, Failure
from shared.contract.guests import RegisterGuest
from shared.contract.model import Profile
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
from tests.unit.services.edge.dialects.irc.test_session import (
    CHAT,
    IRC,
    OTHER,
    OWN,
    IrcConnection,
    changed,
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
    """The reply to its REGISTER may have been lost."""

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


def test_the_latest_time_that_a_client_can_write_is_one_that_it_can_be_shown() -> None:
    """No marker ever moves back."""

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
