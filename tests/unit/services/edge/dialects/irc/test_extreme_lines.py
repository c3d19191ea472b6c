"""Lines that the server rejects only after a request to a service, or whose values are extreme."""

import pytest
from msgspec.structs import replace

from services.edge.canonical.commands import Command, FindUsers, GiveState, PostMessage, ReadHistory, WatchAccounts
from services.edge.canonical.events import Event
from services.edge.canonical.irc_commands import MonitorNicks, ReadStates, RelayTags
from services.edge.canonical.replies import HistoryPage, PresenceShown, Reply, UsersFound
from services.edge.dialects.base import LoadedChat, Request, ServerInfo
from services.edge.dialects.irc.registration import CAPABILITIES
from shared.contract.auth import DeleteAccount, Login, Register
from shared.contract.directory import FindNicks, GroupList, GroupListed, UserFound, UsersOfNicks
from shared.contract.edge import ChatModesChanged
from shared.contract.ephemeral import PresenceChanged, Typing
from shared.contract.errors import ErrorCode, Failure
from shared.contract.guests import RegisterGuest
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import ModeChange, RequestMembership
from shared.contract.model import File, Media, Profile, ProfileSummary, Text
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
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.irc.test_reactions import changed
from tests.unit.services.edge.dialects.irc.test_session import (
    CHAT,
    ENTERED,
    OTHER,
    OWN,
    IrcConnection,
    group,
    joined,
    unavailable,
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
                return replace(ENTERED, guest="~a")
            case DeleteAccount():
                return Ack()
        return Failure(ErrorCode.UNAVAILABLE, "later")

    connection = IrcConnection(answer, server=ServerInfo(guests=True))
    connection.send("NICK ann")
    connection.send("USER a 0 * :Ann")
    assert " FAIL REGISTER TEMPORARILY_UNAVAILABLE " in connection.send("REGISTER * * orange-marmalade")[-1]
    connection.send("QUIT :bye")
    assert connection.commands[-1] == DeleteAccount(reason="Quit: bye", of_guest=True)


def entering(guests: bool) -> IrcConnection:
    """Returns a connection without an account. Every login succeeds."""

    def answer(command: Command) -> Reply | Failure:
        return ENTERED if isinstance(command, Login | RegisterGuest) else Failure(ErrorCode.UNAVAILABLE, "later")

    return IrcConnection(answer, server=ServerInfo(guests=guests))


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


def test_a_password_for_nickserv_reaches_nobody() -> None:
    connection = IrcConnection(capabilities="batch draft/multiline")
    (answer,) = connection.send("PRIVMSG nickserv :IDENTIFY orange")
    assert answer.startswith(":NickServ!NickServ@irc.dragoman.local NOTICE n|12 :Log in by SASL")
    assert connection.send("NOTICE NickServ :IDENTIFY orange") == []
    for line in ("BATCH +1 draft/multiline NickServ", "@batch=1 PRIVMSG NickServ :IDENTIFY orange", "BATCH -1"):
        connection.send(line)
    assert connection.commands == []


def test_a_long_real_name_does_not_prevent_a_registration() -> None:
    connection = entering(guests=False)
    for line in ("CAP LS 302", "NICK ann", f"USER a 0 * :{'x' * 100}", "REGISTER * * orange-marmalade"):
        connection.send(line)
    (command,) = connection.commands
    assert isinstance(command, Register)
    assert command.nickname == "x" * LimitsSettings().nickname_characters


def test_a_client_is_away_from_its_welcome_on() -> None:
    def answer(command: Command) -> Reply | Failure:
        if isinstance(command, GetAccount):
            return AccountView(Profile(id=OWN, uuid="u12", nickname="n", nick="ann"))
        return ENTERED if isinstance(command, Login) else Ack()

    connection = IrcConnection(answer, server=ServerInfo())
    assert " 451 " in connection.send("AWAY :lunch")[0]
    connection.send("CAP REQ :draft/pre-away draft/extended-isupport batch")
    assert " 306 * " in connection.send("AWAY *")[0]
    start, first, *_, end = connection.send("ISUPPORT")
    assert " BATCH +b1 draft/isupport" in start
    assert " 005 * NETWORK=" in first
    assert " BATCH -b1" in end
    for line in ("PASS ann:orange", "NICK ann", "USER a 0 * :Ann", "CAP END"):
        connection.send(line)
    assert GiveState("away", "away") in connection.commands


def test_only_a_guest_needs_a_nick_that_is_one() -> None:
    connection = entering(guests=True)
    connection.send("CAP LS 302")
    assert " 432 * 2ann " in connection.send("NICK 2ann")[0]
    assert entering(guests=False).send("NICK 2ann") == []
    assert " 903 " in connection.log_in_by_sasl()[1]
    assert connection.send("NICK 2ann") == []


@pytest.mark.parametrize(("more", "answer"), [("", "ACK"), (" unknown", "NAK")])
def test_a_request_of_many_capabilities_is_repeated_whole(more: str, answer: str) -> None:
    names = " ".join([*CAPABILITIES][:-1]) + more
    lines = IrcConnection().send(f"CAP REQ :{names}")
    assert all(f" {answer} :" in line for line in lines)
    assert " ".join(line.partition(" :")[2] for line in lines) == names


@pytest.mark.parametrize(("policy", "listed"), [("port=6697,duration=60", ["sts=port=6697,duration=60"]), ("", [])])
def test_a_policy_of_tls_is_listed_where_values_are_and_not_requested(policy: str, listed: list[str]) -> None:
    connection = IrcConnection(server=ServerInfo(sts_policy=policy))
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
    connection = IrcConnection()
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


def test_a_time_of_the_future_moves_the_marker_and_the_read_position_to_the_present() -> None:
    def answer(command: Command) -> Reply:
        return ReadTime(1724400000007) if isinstance(command, MarkReadTime) else HistoryPage((), 0, False)

    connection = IrcConnection(answer)
    expected = [":irc.dragoman.local MARKREAD #x~5 timestamp=2024-08-23T08:00:00.007Z"]
    assert connection.send("MARKREAD #x~5 timestamp=9999-12-31T23:59:59.999Z") == expected
    moved = connection.commands[-1]
    assert isinstance(moved, ReadHistory)
    assert moved.at == 1724400000007


@pytest.mark.parametrize("event", [changed(OTHER), Typing(CHAT, OTHER, 6000)])
def test_what_a_user_has_done_is_shown_while_its_name_cannot_be_read(event: Event) -> None:
    connection = joined("message-tags")
    (line,) = connection.push(event)
    assert line.endswith(" :user|34!u34@34.irc.dragoman.local TAGMSG #Fruit~5")


def friend(command: Command) -> Reply | Failure:
    """Answers about Bob, who is a friend and away."""
    match command:
        case FindNicks():
            return bob(command)
        case ReadStates():
            return PresenceShown((PresenceChanged(OTHER, "away", 0, "lunch"),))
        case WatchAccounts(accounts):
            return PresenceShown(tuple(PresenceChanged(one, "away", 0, "lunch") for one in accounts))
    return Ack()


def test_a_monitored_friend_is_shown_coming_and_leaving() -> None:
    connection = IrcConnection(friend, "extended-monitor away-notify")
    own, mask = ":irc.dragoman.local {} n|12 :{}", "bob!u34@34.irc.dragoman.local"
    assert connection.send("MONITOR + bob") == [own.format(730, mask)]
    assert WatchAccounts((OTHER,)) in connection.commands
    assert connection.push(PresenceChanged(OTHER, "active")) == [f":{mask} AWAY"]
    assert connection.push(PresenceChanged(OTHER, "offline")) == [own.format(731, "bob")]
    assert connection.push(PresenceChanged(OTHER, "unknown")) == []
    assert connection.push(PresenceChanged(OTHER, "busy")) == [own.format(730, mask)]
    assert connection.push(PresenceChanged(OTHER, "busy")) == []
    assert connection.push(PresenceChanged(OTHER, "unknown")) == [own.format(731, "bob")]
    connection.send("MONITOR - bob")
    assert connection.commands[-1] == WatchAccounts(())
    assert connection.push(PresenceChanged(OTHER, "offline")) == []


def test_nobody_is_shown_as_online_without_being_shown_as_leaving_later() -> None:
    def answer(command: Command) -> Reply | Failure:
        shown = PresenceShown((PresenceChanged(OTHER, "unknown"),))
        return shown if isinstance(command, WatchAccounts) else friend(command)

    for line in ("MONITOR + bob", "MONITOR S"):
        connection = IrcConnection(answer)
        connection.send("MONITOR + bob")
        assert connection.send(line) == [":irc.dragoman.local 731 n|12 :bob"]


@pytest.mark.parametrize(
    ("condition", "listed"),
    [
        ("*a" * 90 + "*b", False),
        ("#FR?IT*", True),
        (f"!{'*a' * 90}*b", True),
        (">1", True),
        (">2", False),
        ("<2", False),
        ("<3", True),
        (">²", True),
    ],
)
def test_a_list_is_chosen_in_a_short_time(condition: str, listed: bool) -> None:
    chat = replace(group(), handle="fruit" + "a" * 150)
    connection = IrcConnection(lambda _: GroupList([GroupListed(chat, 2)]))
    assert any(" 322 " in line for line in connection.send(f"LIST {condition}")) is listed


def test_a_list_has_few_conditions() -> None:
    connection = IrcConnection(lambda _: GroupList([]))
    (line,) = connection.send(f"LIST {','.join(f'*{number}*' for number in range(99))}")
    assert " 407 " in line
    assert connection.commands == []


def test_a_nick_that_nobody_can_have_is_not_monitored() -> None:
    connection = IrcConnection(friend)
    (line,) = connection.send(f"MONITOR + {'x' * 300}|7")
    assert " 731 " in line
    assert connection.commands == [MonitorNicks(frozenset())]


def test_few_users_are_remembered_as_away() -> None:
    def answer(command: Command) -> Reply | Failure:
        match command:
            case FindNicks(nicks=[nick]):
                number = AccountId(int(nick[1:]))
                return UsersOfNicks([UserFound(Profile(id=number, uuid=nick, nickname=nick, nick=nick))])
            case ReadStates(accounts):
                return PresenceShown(tuple(PresenceChanged(one, "away", 0, "lunch") for one in accounts))
        return Ack()

    connection = IrcConnection(answer)
    assert [" 301 " in "".join(connection.send(f"PRIVMSG b{100 + at} :hi")) for at in (0, 0)] == [True, False]
    for at in range(1, 300):
        connection.send(f"PRIVMSG b{100 + at} :hi")
    assert " 301 " in "".join(connection.send("PRIVMSG b100 :hi"))


@pytest.mark.parametrize("line", ["AUTHENTICATE PLAIN\r\nAUTHENTICATE AGFubgBvcmFuZ2U=", "PASS ann:orange"])
def test_a_connection_keeps_no_password(line: str) -> None:
    dialect = IrcConnection(server=ServerInfo()).dialect
    frames = [*line.split("\r\n"), "NICK n", "USER n 0 * :n"]
    actions = [action for frame in frames for action in dialect.decode(frame.encode(), 0.0)]
    (login,) = [action for action in actions if isinstance(action, Request)]
    dialect.logged_in(OWN, 0.0)
    dialect.encode_reply(login, ENTERED, 0.0)
    kept = repr(vars(dialect._registration))  # type: ignore[attr-defined]
    assert "orange" not in kept
    assert "AGFubgBvcmFuZ2U=" not in kept


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


def test_many_changes_of_modes_lose_no_parameter() -> None:
    changes = [ModeChange(True, "b", f"somebody{number:02}!*@*") for number in range(50)]
    bob = {OTHER: ProfileSummary("Bob", "u34")}
    lines = joined("message-tags").push(ChatModesChanged(CHAT, OTHER, changes, bob, 1724400000007))
    words = [line.split(" ") for line in lines]
    assert [mask for one in words for mask in one[5:]] == [one.text for one in changes]
    assert all(flags == f"+{'b' * len(masks)}" for _, _, _, _, flags, *masks in words)
    assert len({tags for tags, *_ in words}) == len(lines)


@pytest.mark.parametrize("target", ["Bob|34", "bob"])
def test_a_reply_to_a_user_names_the_message_however_the_user_is_named(target: str) -> None:
    connection = joined("message-tags")
    connection.answer = lambda command: bob(command) if isinstance(command, FindNicks) else unavailable(command)
    connection.dialect.chats_loaded([LoadedChat(ChatId(7), (OWN, OTHER))], 0.0)
    connection.send(f"@+reply=7-3 PRIVMSG {target} :yes")
    (sent,) = [one for one in connection.commands if isinstance(one, PostMessage)]
    assert (sent.chat, sent.reply_to) == (ChatId(7), 3)


def test_a_note_to_oneself_needs_no_username() -> None:
    connection = joined()
    connection.send("PRIVMSG n|12 :note")
    assert OpenPrivateChat(OWN, alone=True) in connection.commands


@pytest.mark.parametrize(("field", "expected"), [("chat", "403 n|12 "), ("reply_to", "FAIL PRIVMSG NOT_FOUND ")])
def test_a_channel_is_not_missing_because_a_message_is(field: str, expected: str) -> None:
    connection = joined("message-tags")
    connection.answer = lambda _: Failure(ErrorCode.NOT_FOUND, "there is no such message", field)
    (line,) = connection.send("@+reply=5-3 PRIVMSG #Fruit~5 :yes")
    assert f" {expected}#Fruit~5 :there is no such message" in line


def test_no_user_of_a_long_kick_is_left_out_without_a_word() -> None:
    connection = joined()
    connection.commands.clear()
    (rejected,) = connection.send("KICK #Fruit~5 a,b,c,d,e")
    assert (" 407 n|12 a,b,c,d,e :" in rejected, connection.commands) == (True, [])


def test_no_nick_of_a_long_answer_is_cut() -> None:
    nicks = [first * 32 for first in "abcdefghijklmno"]

    def guests(command: Command) -> Reply:
        assert isinstance(command, FindNicks)
        found = [Profile(id=OTHER, uuid="u", nickname=nick, nick=nick, guest="~g") for nick in command.nicks]
        return UsersOfNicks([UserFound(profile) for profile in found])

    (line,) = IrcConnection(guests).send(f"ISON {' '.join(nicks)}")
    shown = line.partition(" :")[2].split()
    assert shown == nicks[: len(shown)]


def test_the_keys_of_channels_belong_to_their_places() -> None:
    joined_with: dict[str, str] = {}

    def closed(command: Command) -> Reply | Failure:
        match command:
            case FindHandle(handle=handle):
                return HandleFound(ChatId(ord(handle[-1])))
            case RequestMembership(chat=chat, key=key):
                joined_with[chr(chat)] = key
        return unavailable(command)

    IrcConnection(closed).send("JOIN #aa,#aa,,#bb,#cc 1,2,3,4")
    assert joined_with == {"a": "1", "b": "4", "c": ""}


@pytest.mark.parametrize("name", ["draft/webpush", "soju.im/webpush"])
def test_a_capability_is_disabled_by_each_of_its_names(name: str) -> None:
    connection = IrcConnection(capabilities="soju.im/webpush")
    assert " ACK :" in connection.send(f"CAP REQ :-{name}")[0]
    assert "webpush" not in connection.send("CAP LIST")[0]
