"""Tests the command METADATA, and messages of several lines."""

import pytest
from msgspec.structs import replace

from services.edge.canonical.commands import Command, PostMessage, ShowProfiles
from services.edge.canonical.replies import Reply, UsersFound
from services.edge.dialects.base import ServerInfo
from services.edge.dialects.encoded_message import to_display
from services.edge.dialects.irc.marks import Mark
from services.edge.dialects.irc.messages import MessageStyle, addressed, encode_message
from shared.contract.auth import Login
from shared.contract.body import pack_segments
from shared.contract.edge import ProfileChanged
from shared.contract.ephemeral import MetadataChanged
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.metadata import MOST_KEYS, NO_CHAT, ListMetadata, MetadataList, MetadataValue, SetMetadata
from shared.contract.model import Message, Profile, ProfileSummary, Text
from shared.contract.routes import Ack
from shared.contract.session import AccountView, FindHandle, GetAccount, HandleFound, SetProfile
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.driving import BASE_URL, connect, log_in
from tests.unit.services.edge.dialects.irc.test_session import CHAT, ENTERED, IRC, OTHER, OWN, IrcConnection

CAPABILITIES = "draft/metadata-3 batch draft/multiline message-tags"
COLOR = MetadataValue(OWN, NO_CHAT, "color", "red")


def server(command: Command) -> Reply | Failure:
    match command:
        case FindHandle():
            return HandleFound(CHAT)
        case ListMetadata(members=True):
            return MetadataList([MetadataValue(NO_ACCOUNT, CHAT, "color", "blue"), COLOR])
        case ListMetadata():
            return MetadataList([COLOR])
        case SetMetadata(key=key, value=value, account=account, chat=chat):
            if chat:
                return Failure(ErrorCode.FORBIDDEN, "only admins")
            return MetadataList([MetadataValue(account, chat, key, value)])
        case ShowProfiles():
            return UsersFound((Profile(id=OWN, uuid="u", nickname="Ann", nick="ann"),))
    return Failure(ErrorCode.UNAVAILABLE, "later")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("METADATA * GET color size", ["761", "766"]),
        ("METADATA * LIST", ["761"]),
        ("METADATA * SET color :red", ["761"]),
        ("METADATA * SET color", ["766"]),
        ("METADATA * CLEAR", ["766"]),
        ("METADATA * SET Öl :red", ["FAIL METADATA KEY_INVALID"]),
        (f"METADATA * SET color :{'x' * 301}", ["FAIL METADATA INVALID_VALUE"]),
        ("METADATA #club SET color :red", ["FAIL METADATA KEY_NO_PERMISSION"]),
        ("METADATA * SUB color size", ["770"]),
        ("METADATA * SET :", ["461"]),
        ("METADATA * FORGET color", ["FAIL METADATA SUBCOMMAND_INVALID"]),
    ],
)
def test_each_subcommand_has_its_reply(line: str, expected: list[str]) -> None:
    written = IrcConnection(server, CAPABILITIES).send(line)
    shown = [one.rpartition("example ")[0] or one for one in written if " BATCH " not in one]
    assert len(shown) == len(expected)
    assert all(kind in one for one, kind in zip(shown, expected, strict=True))


def test_a_client_subscribes_to_so_many_keys() -> None:
    connection = IrcConnection(server, CAPABILITIES)
    connection.send(f"METADATA * SUB {' '.join(f'k{number}' for number in range(50))}")
    assert "TOO_MANY_SUBS k50" in connection.send("METADATA * SUB k50")[0]
    connection.send("METADATA * UNSUB k0")
    assert " 770 " in connection.send("METADATA * SUB k50")[0]


def test_changes_of_subscribed_keys_are_shown() -> None:
    connection = IrcConnection(server, CAPABILITIES)
    face = ProfileSummary("Bob", "u34", 0, "bob")
    event = MetadataChanged(OTHER, face, MetadataValue(OTHER, NO_CHAT, "color", "red"), [CHAT], NodeId("other"))
    assert connection.push(event) == []
    connection.send("METADATA * SUB color")
    assert connection.push(event)[0].endswith(" bob color * :red")


def test_the_name_and_the_picture_of_an_account_are_changed_in_its_profile() -> None:
    def answer(command: Command) -> Reply | Failure:
        return Ack() if isinstance(command, SetProfile) else server(command)

    connection = IrcConnection(answer, CAPABILITIES)
    nick = connection.send("METADATA * SET display-name :Ann Lee")[0].split()[2]
    connection.send("METADATA * SET display-name")
    (picture,) = connection.send(f"METADATA * SET avatar :{BASE_URL}/media/{'0' * 32}")
    (wrong,) = connection.send("METADATA * SET avatar :nowhere")
    assert connection.commands[-3:] == [
        SetProfile(OWN, "Ann Lee"), SetProfile(OWN, nick.partition("|")[0]),
        SetProfile(OWN, avatar=f"/media/{'0' * 32}", avatar_hash=""),
    ]  # fmt: skip
    assert picture.endswith(f" avatar * :{BASE_URL}/media/{'0' * 32}")
    assert "FAIL METADATA INVALID_VALUE avatar" in wrong


def test_changed_profiles_are_shown_to_those_that_subscribe() -> None:
    connection = IrcConnection(server, CAPABILITIES)
    named = ProfileChanged(Profile(id=OTHER, uuid="u", nickname="Bob B", nick="bob", avatar="/media/1"))
    pictured = replace(named, renamed=False)
    assert connection.push(named) == connection.push(pictured) == []
    connection.send("METADATA * SUB display-name avatar")
    assert connection.push(named)[-1].endswith(" bob display-name * :Bob B")
    assert connection.push(pictured)[-1].endswith(f" bob avatar * :{BASE_URL}/media/1")
    assert connection.push(replace(named, profile=replace(named.profile, nickname="bob")))[-1].count(" 766 ")
    guest = replace(named.profile, guest="~g")
    assert not any(" 761 " in line for line in connection.push(replace(named, profile=guest)))


def test_values_from_before_the_welcome_are_stored_with_it() -> None:
    def answer(command: Command) -> Reply | Failure:
        match command:
            case Login():
                return ENTERED
            case GetAccount():
                return AccountView(Profile(id=OWN, uuid="u12", nickname="n"))
        return server(command)

    connection = IrcConnection(answer, server=ServerInfo())
    connection.send("CAP REQ :draft/metadata-3")
    assert "FAIL METADATA INVALID_TARGET * " in connection.send("METADATA bob SET color :red")[0]
    assert " 770 " in connection.send("METADATA * SUB color")[0]
    for number in range(MOST_KEYS):
        (line,) = connection.send(f"METADATA * SET K{number} :{number}")
        assert line.endswith(f" 761 * * k{number} * :{number}")
    assert "FAIL METADATA LIMIT_REACHED" in connection.send("METADATA * SET one-more :1")[0]
    assert " 761 " in connection.send("METADATA * SET K3 :new")[0]
    for line in ("PASS ann:orange", "NICK ann", "USER ann 0 * :Ann", "CAP END"):
        connection.send(line)
    stored = [(one.key, one.value, one.account) for one in connection.commands if isinstance(one, SetMetadata)]
    assert stored == [(f"k{number}", "new" if number == 3 else str(number), OWN) for number in range(MOST_KEYS)]


def test_a_channel_is_synchronized_with_its_members() -> None:
    connection = IrcConnection(server, CAPABILITIES)
    connection.send("METADATA * SUB color")
    start, group, member, end = connection.send("METADATA #club SYNC")
    assert " metadata #club" in start
    assert group.endswith("#club color * :blue")
    assert member.endswith(" ann color * :red")
    assert " BATCH -" in end


def post(connection: IrcConnection, *lines: str) -> list[str]:
    connection.send("BATCH +1 draft/multiline #club")
    written = [one for line in lines for one in connection.send(line)]
    return written + connection.send("BATCH -1")


def test_a_message_of_several_lines_is_one_message() -> None:
    connection = IrcConnection(server, CAPABILITIES)
    post(
        connection, "@batch=1 PRIVMSG #club :a \x02b\x02", "@batch=1 PRIVMSG #club :",
        "@batch=1;draft/multiline-concat PRIVMSG #club :x", "@batch=1 PRIVMSG #club :c",
    )  # fmt: skip
    (sent,) = [one for one in connection.commands if isinstance(one, PostMessage)]
    assert sent.segments == (Text("a b\nx\nc"),)
    assert sent.mark == Mark(text="a \x02b\x02\n\rx\nc").packed


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("@batch=2 PRIVMSG #club :a", "MULTILINE_INVALID"),
        ("@batch=1 PRIVMSG #other :a", "MULTILINE_INVALID_TARGET"),
        ("@batch=1 NOTICE #club :a", "MULTILINE_INVALID"),
        ("@batch=1;draft/multiline-concat PRIVMSG #club :", "MULTILINE_INVALID"),
        *((f"@batch=1 PRIVMSG #club :{'x' * size}", "417") for size in (480, 500)),
    ],
)
def test_a_message_with_a_line_that_does_not_fit_is_not_sent(line: str, code: str) -> None:
    connection = IrcConnection(server, CAPABILITIES)
    (rejected,) = post(connection, "@batch=1 PRIVMSG #club :first", line, "@batch=1 PRIVMSG #club :last")
    assert (f" {code} " if code == "417" else f" FAIL BATCH {code} ") in rejected
    assert not any(isinstance(one, PostMessage) for one in connection.commands)


def test_a_message_is_not_sent_without_a_line_that_came_too_fast() -> None:
    connection = IrcConnection(server, CAPABILITIES)
    connection.send("BATCH +1 draft/multiline #club")
    connection.send("@batch=1 PRIVMSG #club :first")
    context = connection.dialect.identify(b"@batch=1 PRIVMSG #club :too fast")
    connection.dialect.encode_error(None, Failure(ErrorCode.RATE_LIMITED, "slow down"), context)
    connection.send("@batch=1 PRIVMSG #club :last")
    connection.send("BATCH -1")
    assert not any(isinstance(one, PostMessage) for one in connection.commands)


def test_the_formatting_of_a_message_counts_as_text() -> None:
    connection = IrcConnection(server)
    connection.dialect = connect(IRC, LimitsSettings(message_text_bytes=20))
    log_in(connection.dialect, OWN)
    assert any("draft/multiline=max-bytes=20," in line for line in connection.send("CAP LS 302"))
    connection.send(f"CAP REQ :{CAPABILITIES}")
    (rejected,) = post(connection, f"@batch=1 PRIVMSG #club :a{chr(2) * 20}")
    assert " MULTILINE_MAX_BYTES 20 " in rejected
    assert not any(isinstance(one, PostMessage) for one in connection.commands)


def test_the_joints_of_a_long_line_are_no_text() -> None:
    connection = IrcConnection(server, CAPABILITIES)
    first, *others = ["x" * 256] * (LimitsSettings().message_text_bytes // 256)
    joined = [f"@batch=1;draft/multiline-concat PRIVMSG #club :{text}" for text in others]
    post(connection, f"@batch=1 PRIVMSG #club :{first}", *joined)
    (sent,) = [one for one in connection.commands if isinstance(one, PostMessage)]
    assert sent.segments == (Text("".join([first, *others])),)


def test_a_batch_has_so_many_lines() -> None:
    (rejected,) = post(IrcConnection(server, CAPABILITIES), *["@batch=1 PRIVMSG #club :x"] * 102)
    assert " MULTILINE_MAX_LINES 100 " in rejected


def lines_of(text: str, *, batches: bool, mark: str = "") -> list[str]:
    body = pack_segments((Text(text),), mark)
    message = Message(ChatId(5), 7, MessageId(107), AccountId(34), 1724400000000, body, Nonce(1))
    shown = to_display(message, None, ProfileSummary("Bob", "u34", 0, "bob"))
    style = MessageStyle("irc.example", "", "en", ids=True, batches=batches)
    return [one.decode() for one in addressed(tuple(encode_message(shown, style)), "#club")]


def test_a_text_of_several_lines_is_a_batch_for_those_that_know_it() -> None:
    start, first, blank, joined, end = lines_of("one\n\ntwo", batches=True, mark=Mark(text="one\n\rtwo").packed)[:5]
    assert start.endswith(" BATCH +m5-7 draft/multiline #club")
    assert "msgid=5-7" in start
    assert first.endswith(" PRIVMSG #club :one")
    assert blank.endswith(" PRIVMSG #club :")
    assert joined.startswith("@batch=m5-7;draft/multiline-concat ")
    assert end.endswith(" BATCH -m5-7")
    assert [one.rpartition(":")[2] for one in lines_of("one\n\ntwo", batches=False)] == ["one", "two"]


def test_a_text_with_line_ends_of_windows_has_no_joined_lines() -> None:
    written = lines_of("one\r\ntwo\rthree", batches=True)[1:-1]
    assert [one.rpartition(":")[2] for one in written] == ["one", "two", "three"]
    assert not any("multiline-concat" in one for one in written)


def test_a_long_line_is_joined_from_pieces_without_loss() -> None:
    text = " ".join(["word"] * 300)
    written = lines_of(text, batches=True)
    assert "".join(one.partition(" #club :")[2] for one in written[1:-1]) == text
    assert all(len(one.partition(" ")[2].encode()) <= 510 for one in written)
