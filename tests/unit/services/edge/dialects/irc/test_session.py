"""Tests lines to which the server replies only after several requests to services."""

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from services.edge.canonical.commands import Command, PostMessage, ReadHistory, ResumeChats
from services.edge.canonical.events import ChatJoined, ChatLeft, Departure, Event, RoleChanged
from services.edge.canonical.irc_commands import ReadStates, RelayTags
from services.edge.canonical.replies import (
    ChatsResumed,
    ChatToResume,
    DisplayMessage,
    HistoryPage,
    PresenceShown,
    Reply,
)
from services.edge.dialects.base import Action, ConnectionInfo, DecodeError, LocalReply, Push, Request, ServerInfo
from services.edge.dialects.encoded_message import to_display
from services.edge.dialects.registry import DIALECTS
from services.message.domain import MAX_HISTORY_COUNT
from shared.contract.auth import Authenticated, Login
from shared.contract.body import RECALLED_BODY, pack_segments
from shared.contract.edge import ChatModesChanged, MembershipAnswered
from shared.contract.ephemeral import ChatPlaced, ChatRead, ChatSettingsChanged, ReadTimeMoved, TagsRelayed
from shared.contract.errors import ErrorCode, Failure
from shared.contract.happenings import Happening, HappeningKind, HappeningList, ListHappenings
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.members import EndMembership, ListMembers, MemberList, MemberRole, ModeChange, SetChat
from shared.contract.model import Chat, ChatKind, JoinPolicy, Message, ProfileSummary, Role, Text
from shared.contract.resume import ResumedChat
from shared.contract.routes import Ack
from shared.contract.session import (
    ChatVersion,
    ChatView,
    FindHandle,
    GetChat,
    HandleFound,
    MarkReadTime,
    MemberSettings,
    PlaceChat,
    ReadTime,
)
from shared.settings.edge import EdgeSettings
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.dialects.driving import BASE_URL, LONG_AFTER, connect, frames, log_in

OWN, OTHER, CHAT = AccountId(12), AccountId(34), ChatId(5)
(IRC,) = (entry for entry in DIALECTS if entry.name == "irc")
ENTERED = Authenticated(account=OWN, sid="s", token="t", expires=0, uuid="u12", nickname="n")
Answer = Callable[[Command], Reply | Failure]


def unavailable(_: Command) -> Failure:
    return Failure(ErrorCode.UNAVAILABLE, "later")


class IrcConnection:
    """A connection. `answer` replies to the `commands` in place of the services.

    It is logged in unless it is made for a certain `server`.
    """

    def __init__(self, answer: Answer = unavailable, capabilities: str = "", server: ServerInfo | None = None) -> None:
        self.dialect = connect(IRC)
        self.answer = answer
        self.commands: list[Command] = []
        if server is None:
            log_in(self.dialect, OWN)
        else:
            self.dialect = IRC(ConnectionInfo(LimitsSettings(), BASE_URL, server=server))
        if capabilities:
            self.send(f"CAP REQ :{capabilities}")

    def send(self, line: str) -> list[str]:
        """Sends a line, and returns the lines that the client gets for it."""
        try:
            actions = self.dialect.decode(line.encode(), LONG_AFTER)
        except DecodeError as error:
            return _texts(self.dialect.encode_error(None, error.failure, error.context))
        return self.perform(actions)

    def log_in_by_sasl(self) -> list[str]:
        self.send("AUTHENTICATE PLAIN")
        return self.send("AUTHENTICATE AGFubgBvcmFuZ2U=")

    def push(self, event: Event) -> list[str]:
        pushes = self.dialect.encode_event(event, LONG_AFTER)
        requests = [request for push in pushes for request in push.requests]
        return [*_texts(frames(pushes)), *self.perform(requests)]

    def hold(self, one: DisplayMessage) -> tuple[Push, ...]:
        """Pushes a message that needs the checks of the gate."""
        assert self.dialect.gate is not None
        return self.dialect.gate.hold(one.message, self.dialect.encode_message(one), LONG_AFTER)

    def perform(self, actions: Sequence[Action]) -> list[str]:
        waiting, written = [*actions], list[str]()
        while waiting:
            match waiting.pop(0):
                case LocalReply(out):
                    written += _texts(out)
                case Request() as request:
                    written += _texts(self._reply(request))
                    waiting += self.dialect.follow_ups
                    self.dialect.follow_ups.clear()
        return written

    def _reply(self, request: Request) -> tuple[object, ...]:
        self.commands.append(request.command)
        reply = self.answer(request.command)
        if isinstance(reply, Failure):
            return self.dialect.encode_error(request, reply)
        if isinstance(reply, Authenticated) and isinstance(request.command, Login):
            self.dialect.logged_in(reply.account, LONG_AFTER)
        return self.dialect.encode_reply(request, reply, LONG_AFTER)


def _texts(out: Sequence[object]) -> list[str]:
    return [frame.decode() for frame in out if isinstance(frame, bytes)]


def shown(index: int, text: str = "hi", time: int = 0) -> DisplayMessage:
    body = pack_segments((Text(text),))
    time = time or 1724400000000 + index
    message = Message(CHAT, index, MessageId(100 + index), OTHER, time, body, Nonce(1))
    return to_display(message, None, ProfileSummary("Bob", "u34"))


def page_of(command: Command, head: int) -> HistoryPage:
    """Returns a page in the requested order, with at most as many messages as one request may want."""
    assert isinstance(command, ReadHistory)
    assert 1 <= command.count <= MAX_HISTORY_COUNT, "message rejects it"
    start = command.start if command.start > 0 else head + 1 + command.start
    indexes = range(start, max(0, start - command.count), -1) if command.older else range(start, start + command.count)
    messages = tuple(shown(index) for index in indexes if 1 <= index <= head)
    more = bool(messages) and (messages[-1].message.index > 1 if command.older else messages[-1].message.index < head)
    return HistoryPage(messages, head, more)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("CHATHISTORY LATEST #x~5 * 500", range(101, 601)),
        ("CHATHISTORY LATEST #x~5 msgid=5-350 500", range(351, 601)),
        ("CHATHISTORY BEFORE #x~5 msgid=5-301 500", range(1, 301)),
        ("CHATHISTORY AFTER #x~5 msgid=5-20 500", range(21, 521)),
        ("CHATHISTORY BETWEEN #x~5 msgid=5-20 msgid=5-350 500", range(21, 350)),
        ("CHATHISTORY BETWEEN #x~5 msgid=5-350 msgid=5-20 500", range(21, 350)),
        ("CHATHISTORY BETWEEN #x~5 msgid=5-5 msgid=5-6 500", range(0)),
    ],
)
def test_a_history_has_as_many_messages_as_the_welcome_promises(line: str, expected: range) -> None:
    client = IrcConnection(lambda command: page_of(command, 600), "batch message-tags")
    start, *lines, end = client.send(line)
    assert (" BATCH +" in start, " BATCH -" in end) == (True, True)
    assert [int(each.partition("msgid=5-")[2].partition(" ")[0]) for each in lines] == [*expected]


_PLAYBACK = "batch message-tags server-time draft/event-playback"


def with_topics(command: Command, head: int) -> Reply:
    """After each message, the topic changes half a millisecond later. The test's clock counts in thousands."""
    if isinstance(command, ListHappenings):
        times = [1724400000000 + 1000 * index + 500 for index in range(1, head + 1)]
        found = [one for one in times if command.after < one < command.before]
        kept = found[-command.count :] if command.newest else found[: command.count]
        topics = [Happening(time, HappeningKind.TOPIC, OTHER, text="new") for time in kept]
        return HappeningList(topics, len(kept) < len(found), {OTHER: ProfileSummary("Bob", "u34")})
    page = page_around(command, head) if isinstance(command, ReadHistory) and command.at + command.around else None
    page = page or page_of(command, head)
    return replace(page, messages=tuple(map(spread, page.messages)))


def page_around(command: ReadHistory, head: int) -> HistoryPage:
    index = command.around or -((1724400000000 - command.at) // 1000)
    low = max(index - command.count // 2, 1)
    return HistoryPage(tuple(map(shown, range(low, min(low + command.count, head + 1)))), head, False)


def spread(one: DisplayMessage) -> DisplayMessage:
    message = one.message
    time = 1724400000000 + 1000 * message.index
    moved = Message(message.chat, message.index, message.id, message.sender, time, message.body, message.nonce)
    return DisplayMessage(moved, one.segments, one.summary)


def names_of(lines: list[str]) -> list[str]:
    """Returns the index of each message, and for a topic the index of the message before it with a `t`."""
    ids = [line.partition("msgid=5-")[2].split(" ")[0].split(";")[0] for line in lines[1:-1]]
    return [f"{(int(one[1:]) - 1724400000000) // 1000}t" if one.startswith("@") else one for one in ids]


@pytest.mark.parametrize(
    ("selected", "expected"),
    [
        ("LATEST #x~5 * 3", "8t 9 9t"),
        ("LATEST #x~5 msgid=5-8 9", "8t 9 9t"),
        ("LATEST #x~5 msgid=5-@1724400008500 9", "9 9t"),
        ("BEFORE #x~5 msgid=5-4 3", "2t 3 3t"),
        ("BEFORE #x~5 msgid=5-@1724400004500 3", "3 3t 4"),
        ("AFTER #x~5 msgid=5-4 3", "4t 5 5t"),
        ("AFTER #x~5 timestamp=2024-08-23T08:00:04.500Z 3", "5 5t 6"),
        ("AFTER #x~5 msgid=5-10 3", ""),
        ("BETWEEN #x~5 msgid=5-4 msgid=5-6 9", "4t 5 5t"),
        ("BETWEEN #x~5 msgid=5-6 msgid=5-4 2", "5 5t"),
        ("BETWEEN #x~5 msgid=5-4 msgid=5-@1724400006500 2", "4t 5"),
        ("BETWEEN #x~5 msgid=5-@1724400004500 msgid=5-@1724400006500 9", "5 5t 6"),
        ("BETWEEN #x~5 msgid=5-@1724400006500 msgid=5-@1724400004500 2", "5t 6"),
        ("AROUND #x~5 msgid=5-4 1", "4"),
        ("AROUND #x~5 msgid=5-4 3", "3t 4 4t"),
        ("AROUND #x~5 msgid=5-@1724400004500 3", "4 4t 5"),
        ("AROUND #x~5 msgid=5-1 3", "1 1t 2"),
    ],
)
def test_what_has_happened_stands_between_the_messages(selected: str, expected: str) -> None:
    client = IrcConnection(lambda command: with_topics(command, 9), _PLAYBACK)
    assert names_of(client.send(f"CHATHISTORY {selected}")) == expected.split()


def test_a_client_without_the_capability_gets_messages_alone() -> None:
    client = IrcConnection(lambda command: with_topics(command, 9), "batch message-tags")
    assert names_of(client.send("CHATHISTORY LATEST #x~5 * 3")) == ["7", "8", "9"]


def test_a_full_page_of_what_has_happened_leaves_no_gap() -> None:
    """The next request gets the messages beyond the full page."""

    def answer(command: Command) -> Reply:
        limited = command
        if isinstance(command, ListHappenings):
            limited = ListHappenings(CHAT, command.after, command.before, min(command.count, 2), command.newest)
        return with_topics(limited, 9)

    client = IrcConnection(answer, _PLAYBACK)
    assert names_of(client.send("CHATHISTORY LATEST #x~5 * 9")) == ["8t", "9", "9t"]
    assert names_of(client.send("CHATHISTORY AFTER #x~5 msgid=5-1 9")) == ["1t", "2", "2t"]


def test_each_happening_is_the_line_that_others_have_seen() -> None:
    faces = {OTHER: ProfileSummary("Bob", "u34"), AccountId(7): ProfileSummary("Gus", "u7", nick="gus")}
    gus = AccountId(7)
    found = [
        Happening(1, HappeningKind.JOIN, gus, gus),
        Happening(2, HappeningKind.MODES, OTHER, changes=[ModeChange(True, "o", "7"), ModeChange(True, "m")]),
        Happening(3, HappeningKind.LEAVE, gus, gus, "bye"),
        Happening(4, HappeningKind.LEAVE, OTHER, gus),
    ]

    def answer(command: Command) -> Reply:
        return HappeningList(found, False, faces) if isinstance(command, ListHappenings) else page_of(command, 0)

    lines = IrcConnection(answer, "draft/event-playback").send("CHATHISTORY LATEST #x~5 * 9")
    gus_mask, bob = ":gus!u7@7.irc.dragoman.local", ":Bob|34!u34@34.irc.dragoman.local"
    assert lines == [
        f"{gus_mask} JOIN #x~5", f"{bob} MODE #x~5 +om gus", f"{gus_mask} PART #x~5 :bye",
        f"{bob} KICK #x~5 gus :Bob|34",
    ]  # fmt: skip


def test_a_short_page_is_not_the_end() -> None:
    """A page may be short because a reply has only as many messages as fit into it."""

    def answer(command: Command) -> Reply:
        assert isinstance(command, ReadHistory)
        return page_of(replace(command, count=min(command.count, 7)), 60)

    assert len(IrcConnection(answer).send("CHATHISTORY LATEST #x~5 * 50")) == 50


@pytest.mark.parametrize(("recalled", "newest"), [(1_500, range(8_498, 8_501)), (3_000, range(0))])
def test_recalled_messages_do_not_count(recalled: int, newest: range) -> None:
    """The number of messages that are read is limited."""

    def answer(command: Command) -> Reply:
        page, kept = page_of(command, 10_000), 10_000 - recalled
        return replace(page, messages=tuple(recall(one) if one.message.index > kept else one for one in page.messages))

    client = IrcConnection(answer, "batch message-tags")
    _, *lines, _ = client.send("CHATHISTORY LATEST #x~5 * 3")
    assert [int(each.partition("msgid=5-")[2].partition(" ")[0]) for each in lines] == [*newest]
    assert len(client.commands) <= 12


def recall(one: DisplayMessage) -> DisplayMessage:
    return replace(one, message=replace(one.message, body=RECALLED_BODY))


def test_a_history_fits_into_the_output_of_a_connection() -> None:
    def answer(command: Command) -> Reply:
        page = page_of(command, 600)
        return replace(page, messages=tuple(shown(each.message.index, "a" * 20_000) for each in page.messages[:20]))

    size = sum(map(len, IrcConnection(answer).send("CHATHISTORY LATEST #x~5 * 500")))
    assert 400_000 < size < EdgeSettings().outgoing_bytes


@pytest.mark.parametrize("command", ["PRIVMSG {} :hello", "@label=1 NOTICE {} :hello", "MODE {}"])
@pytest.mark.parametrize("targets", ["#a~5,#nosuch", "#nosuch,#a~5"])
def test_a_target_that_there_is_not_leaves_the_others(command: str, targets: str) -> None:
    """The client gets no reply for the other targets. This means that their messages are stored."""

    def answer(command: Command) -> Failure:
        return Failure(ErrorCode.NOT_FOUND if isinstance(command, FindHandle) else ErrorCode.FORBIDDEN, "no")

    client = IrcConnection(answer, "batch labeled-response")
    lines = client.send(command.format(targets))
    assert len(client.commands) == 2
    assert sum(" 403 n|12 #nosuch " in line for line in lines) == 1
    assert sum(" #a~5 " in line for line in lines) == 1
    assert sum("label=" in line for line in lines) == command.startswith("@")


def group(chat: ChatId = CHAT, name: str = "Fruit") -> Chat:
    return Chat(id=chat, kind=ChatKind.GROUP, name=name, owner=OTHER, join_policy=JoinPolicy.OPEN)


def joined(capabilities: str = "") -> IrcConnection:
    """Returns a connection that has joined a group."""

    def answer(command: Command) -> Reply | Failure:
        match command:
            case GetChat(chat):
                return ChatView(group(chat), [OWN, OTHER])
            case ListMembers():
                return MemberList(
                    [MemberRole(OWN, Role.MEMBER, 0, "n"), MemberRole(OTHER, Role.OWNER, 0, "Bob")], more=False
                )
            case PlaceChat():
                return MemberSettings()
        return unavailable(command)

    connection = IrcConnection(answer, capabilities)
    connection.push(ChatJoined(CHAT))
    return connection


@pytest.mark.parametrize(
    "text", ["hi\n\x01VERSION\x01", "\x01version\x01", "\x01DCC SEND x 1 2", "/me \x01VERSION\x01\n\x01PING"]
)
def test_no_text_of_another_dialect_is_a_command_to_clients(text: str) -> None:
    for line in _texts(connect(IRC).encode_message(shown(7, text))):
        last = line.partition(" :")[2]
        assert not last.removeprefix("\x01ACTION ").removesuffix("\x01").count("\x01")
        assert last.startswith(("\x01ACTION ", "hi", "V", "v", "D"))


def test_no_dcc_is_passed_on() -> None:
    connection = IrcConnection()
    (rejected,) = connection.send("PRIVMSG #x~5 :\x01dcc SEND x 1 2")
    assert (" 404 " in rejected, connection.commands) == (True, [])


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("\x02bold\x02 \x0304,12red\x03 \x0312blue\x0f \x04ff0000rgb\x04 \x1dit\x1d", "bold red blue rgb it"),
        ("\x01ACTION \x02waves\x02\x01", "/me waves"),
    ],
)
def test_other_dialects_get_texts_without_formatting(sent: str, stored: str) -> None:
    connection = IrcConnection()
    connection.send(f"PRIVMSG #x~5 :{sent}")
    (posted,) = connection.commands
    assert isinstance(posted, PostMessage)
    assert posted.segments == (Text(stored),)
    connection.send(f"TOPIC #x~5 :\x02{stored}")
    assert connection.commands[1:] == [SetChat(CHAT, topic=stored)]


def test_no_group_loses_its_handle_by_a_new_name_without_characters() -> None:
    connection = IrcConnection(lambda command: HandleFound(CHAT))
    assert " FAIL RENAME CANNOT_RENAME " in connection.send("RENAME #a~5 #")[0]
    assert connection.commands == []


@pytest.mark.parametrize("same", [False, True])
def test_another_login_of_the_client_changes_its_nick(same: bool) -> None:
    connection = joined()

    def answer(command: Command) -> Reply | Failure:
        entered = ENTERED if same else replace(ENTERED, account=OTHER, nickname="Bob")
        return entered if isinstance(command, Login) else unavailable(command)

    connection.answer = answer
    lines = connection.log_in_by_sasl()
    source = ":n|12!u12@12.irc.dragoman.local"
    renamed = [] if same else [f"{source} PART #Fruit~5", f"{source} NICK Bob|34"]
    assert [line.split()[1] for line in lines[:2]] == ["900", "903"]
    assert [line for line in lines if line.startswith(source)] == renamed


@pytest.mark.parametrize("server", [ServerInfo(), ServerInfo(features=("search",), icon="https://x/y.png")])
def test_a_client_is_offered_only_what_this_server_has(server: ServerInfo) -> None:
    connection = IrcConnection(server=server)
    assert (" soju.im/search " in " ".join(connection.send("CAP LS 302"))) is bool(server.features)
    log_in(connection.dialect, OWN)
    assert (" draft/ICON=https://x/y.png " in " ".join(connection.send("VERSION"))) is bool(server.icon)


@pytest.mark.parametrize(("code", "is_shown"), [(ErrorCode.UNAVAILABLE, True), (ErrorCode.FORBIDDEN, False)])
def test_a_group_is_shown_though_nothing_is_known_of_it_now(code: ErrorCode, is_shown: bool) -> None:
    """If the group were not shown, its messages would wait until the connection ends."""
    connection = IrcConnection(lambda _: Failure(code, "later"))
    lines = connection.push(ChatJoined(CHAT))
    assert (":n|12!u12@12.irc.dragoman.local JOIN #chat~5" in lines) is is_shown
    pushed = connection.hold(shown(7))
    assert _texts(frames(pushed)) == ([":Bob|34!u34@34.irc.dragoman.local PRIVMSG #chat~5 :hi"] if is_shown else [])
    if is_shown:
        connection.send("PART #chat~5")
        assert EndMembership(CHAT, OWN) not in connection.commands, "perhaps it cannot return"


def test_a_window_closed_ends_no_membership_that_one_cannot_regain() -> None:
    connection = joined()
    connection.push(ChatSettingsChanged(CHAT, OTHER, "", "", "", JoinPolicy.APPROVAL, receipts=False))
    lines = connection.send("PART #Fruit~5")
    assert "PART #Fruit~5" in lines[0]
    assert not any(isinstance(command, EndMembership) for command in connection.commands)
    assert connection.push(ChatPlaced(CHAT, OWN, False, False, (NodeId("n"), 1), 0))[0].endswith(" JOIN #Fruit~5")
    assert connection.push(ChatPlaced(CHAT, OWN, True, False, (NodeId("n"), 1), 0)) == []
    (parted,) = connection.push(ChatPlaced(CHAT, OWN, True, False, (NodeId("n"), 1), 7))
    assert parted.endswith(" PART #Fruit~5")
    assert connection.push(ChatPlaced(CHAT, OWN, False, False, (NodeId("n"), 1), 7)) == []


@pytest.mark.parametrize("command", ["WHO", "NAMES", "JOIN", "MODE", "PART"])
def test_one_line_leads_to_no_more_requests_than_targets_are_allowed(command: str) -> None:
    connection = IrcConnection(lambda _: Failure(ErrorCode.FORBIDDEN, "no"))
    (rejected,) = connection.send(f"{command} {','.join(f'#~{number}' for number in range(1, 60))}")
    assert (" 407 " in rejected, connection.commands) == (True, [])
    connection.send(f"{command} {','.join(f'#~{number}' for number in range(1, 11))}")
    assert len(connection.commands) in (0, 10)  # ten targets are allowed, because irssi joins ten channels at once


def test_a_long_labelled_answer_is_written_piece_by_piece() -> None:
    connection, left = IrcConnection(capabilities="batch labeled-response"), iter(range(40))

    def members(command: Command) -> Reply:
        if isinstance(command, ReadStates):
            return PresenceShown(())
        page = [MemberRole(AccountId(number), Role.MEMBER, 0, "a" * 20) for number in range(1, 100)]
        return MemberList(page, more=next(left) < 30)

    connection.answer = members
    actions = connection.dialect.decode(b"@label=7 WHO #x~5", LONG_AFTER)
    held, written = 0, list[str]()
    (request,) = (action for action in actions if isinstance(action, Request))
    while True:
        out = _texts(connection.dialect.encode_reply(request, members(request.command), LONG_AFTER))
        held, written = 0 if out else held + 1, written + out
        assert held < 20
        if not connection.dialect.follow_ups:
            break
        (request,) = (action for action in connection.dialect.follow_ups if isinstance(action, Request))
        connection.dialect.follow_ups.clear()
    start, *lines, end = written
    assert (start.startswith("@label=7 "), " BATCH -" in end) == (True, True)
    assert all(line.startswith("@batch=") for line in lines)
    assert len(lines) == 99 * 31 + 1


def test_a_channel_that_takes_no_ctcp_gets_none() -> None:
    connection = joined()
    connection.push(ChatModesChanged(CHAT, OTHER, [ModeChange(True, "C")], {OTHER: ProfileSummary("Bob", "u34")}))
    assert connection.send("PRIVMSG #Fruit~5 :\x01PING 1\x01")[-1].startswith(":irc.dragoman.local 404 n|12 #Fruit~5 ")
    assert not any(isinstance(command, RelayTags) for command in connection.commands)


def test_a_ctcp_is_seen_without_capabilities_but_tags_are_not() -> None:
    tags, face = {"msgid": "1"}, ProfileSummary("Bob", "u34")
    event = TagsRelayed(CHAT, OTHER, tags, face, NodeId("a"), "\x01PING 1\x01", unanswered=True)
    line = ":Bob|34!u34@34.irc.dragoman.local NOTICE #Fruit~5 :\x01PING 1\x01"
    assert joined().push(event) == [line]
    assert joined("message-tags").push(event) == [f"@msgid=1 {line}"]
    assert joined().push(TagsRelayed(CHAT, OTHER, tags, face, NodeId("a"))) == []


def test_reading_elsewhere_moves_the_marker_here() -> None:
    event = ReadTimeMoved(CHAT, OWN, 1724400000007, (NodeId("a"), 2))
    expected = [":irc.dragoman.local MARKREAD #Fruit~5 timestamp=2024-08-23T08:00:00.007Z"]
    connection = joined("draft/read-marker")
    assert [connection.push(event) for _ in range(2)] == [expected, []]
    assert joined().push(event) == []


def test_reading_by_another_protocol_moves_the_marker_to_the_last_message_that_is_read() -> None:
    def answer(command: Command) -> Reply:
        if isinstance(command, MarkReadTime):
            return ReadTime(command.time)
        assert command == ReadHistory(CHAT, 7, 1, older=False)
        return page_of(command, 9)

    connection = joined("draft/read-marker")
    connection.answer = answer
    expected = [":irc.dragoman.local MARKREAD #Fruit~5 timestamp=2024-08-23T08:00:00.007Z"]
    assert connection.push(ChatRead(CHAT, 7)) == expected
    assert connection.push(ReadTimeMoved(CHAT, OWN, 1724400000007, (NodeId("a"), 2))) == []
    assert connection.push(ChatRead(CHAT, 0)) == []


def test_what_happens_has_the_time_and_the_name_that_the_history_gives_it() -> None:
    connection = joined("message-tags server-time")
    face = {OTHER: ProfileSummary("Bob", "u34")}
    tags = "@time=2024-08-23T08:00:00.007Z;msgid=5-@1724400000007"
    for event, line in (
        (ChatModesChanged(CHAT, OTHER, [ModeChange(True, "m")], face, 1724400000007), "MODE #Fruit~5 +m"),
        (RoleChanged(CHAT, OTHER, Role.LEFT, OTHER, 3, face, "bye", time=1724400000007), "PART #Fruit~5 :bye"),
        (MembershipAnswered(CHAT, "Fruit", OTHER, True, {}, 4, face, 1724400000007), "JOIN #Fruit~5"),
        (ChatLeft(CHAT, Departure.KICKED, OTHER, face, "no", 1724400000007), "KICK #Fruit~5 n|12 :no"),
    ):
        assert connection.push(event) == [f"{tags} :Bob|34!u34@34.irc.dragoman.local {line}"]


def test_a_topic_has_the_time_of_its_reply_and_is_shown_once() -> None:
    connection = joined("server-time")
    connection.answer = lambda command: ChatVersion(3, 1724400000007)
    assert connection.send("TOPIC #Fruit~5 :new") == [
        "@time=2024-08-23T08:00:00.007Z :n|12!u12@12.irc.dragoman.local TOPIC #Fruit~5 :new"
    ]
    settings = ChatSettingsChanged(CHAT, OWN, "", "", "new", JoinPolicy.OPEN, True, topic_time=1724400000007)
    assert connection.push(settings) == []


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("timestamp=1970-01-01T00:00:00.000Z", " BATCH -"),
        ("msgid=6-7", " UNKNOWN_MSGID "),
        ("msgid=5-0", " UNKNOWN_MSGID "),
    ],
)
def test_a_place_is_no_other_one(selector: str, expected: str) -> None:
    connection = IrcConnection(lambda command: page_of(command, 9), "batch")
    lines = connection.send(f"CHATHISTORY BEFORE #x~5 {selector} 50")
    assert expected in lines[-1]
    assert not any("PRIVMSG" in line for line in lines)


def test_the_chats_with_messages_come_from_one_request() -> None:
    def answer(command: Command) -> Reply:
        assert command == ResumeChats("", {}, 500, 0)
        chats = [
            ChatToResume(group(ChatId(n), "x"), ResumedChat(ChatId(n), 1, 1000 * n, 1, 1, 0, 0, []), ())
            for n in (9, 8, 7, 6)
        ]
        private = replace(
            chats[0],
            state=ResumedChat(ChatId(10), 1, 8500, 1, 1, 0, 0, [], (OWN, OTHER)),
            other=ProfileSummary("Bob", "u34"),
        )
        return ChatsResumed("e", False, (chats[0], private, *chats[1:]), (), (), None)

    connection = IrcConnection(answer)
    span = ["timestamp=1970-01-01T00:00:06.500Z", "timestamp=1970-01-01T00:00:08.900Z"]
    names = [line.split()[4] for line in connection.send(f"CHATHISTORY TARGETS {' '.join(span)} 9")[1:-1]]
    assert names == ["#x~7", "#x~8", "Bob|34"]
    newest = connection.send(f"CHATHISTORY TARGETS {' '.join(reversed(span))} 1")[1:-1]
    assert [line.split()[4] for line in newest] == ["Bob|34"]


@pytest.mark.parametrize("tags", ["+draft/react=👍", "+draft/react=👍;+reply=6-8", "+typing=active;+x=1", "+reply=5-8"])
def test_tags_without_a_meaning_in_other_dialects_are_relayed(tags: str) -> None:
    connection = IrcConnection(lambda _: Ack(), "message-tags")
    connection.send(f"@{tags} TAGMSG #x~5")
    (command,) = connection.commands
    assert isinstance(command, RelayTags)
    assert dict(tag.split("=") for tag in tags.split(";")).items() <= command.tags.items()


@pytest.mark.parametrize(
    ("server", "value", "rejected"),
    [
        (ServerInfo(), "=before-connect", False),
        (ServerInfo(verifies_mail=True), "=before-connect,email-required", False),
        (ServerInfo(guests_give_password=True), "", True),
    ],
)
def test_the_capability_has_what_a_registration_needs(server: ServerInfo, value: str, rejected: bool) -> None:
    connection = IrcConnection(server=server)
    assert f" draft/account-registration{value} " in " ".join(connection.send("CAP LS 302"))
    connection.send("NICK ann")
    (line,) = connection.send("REGISTER * ann@example.org orange")
    assert (" COMPLETE_CONNECTION_REQUIRED " in line, connection.commands == []) == (rejected, rejected)


@pytest.mark.parametrize("flag", ["\v", "\x1e", "\u2028"])
def test_a_mode_that_there_is_not_breaks_no_line(flag: str) -> None:
    assert joined().send(f"MODE #Fruit~5 +{flag}") == [":irc.dragoman.local 472 n|12 * :There is no such mode"]
