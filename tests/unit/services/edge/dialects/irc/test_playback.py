"""Tests PLAY, LIST and CLEAR, which clients send to `*playback`."""

import pytest
from msgspec.structs import replace

from services.edge.canonical.commands import Command, ReadHistory, ResumeChats
from services.edge.canonical.replies import ChatsResumed, ChatToResume, DisplayMessage, HistoryPage, Reply
from services.edge.dialects.base import LoadedChat
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message, ProfileSummary
from shared.contract.resume import ResumedChat
from tests.unit.services.edge.dialects.driving import LONG_AFTER, frames
from tests.unit.services.edge.dialects.irc.test_session import (
    CHAT,
    OTHER,
    OWN,
    IrcConnection,
    _texts,
    group,
    joined,
    page_of,
    shown,
    unavailable,
)

PAIR, LAST = ChatId(7), 1_724_400_000
CAPABILITIES = "znc.in/playback message-tags"


def chats(*numbers: ChatId, last: int = 9) -> ChatsResumed:
    """Returns the chats of the account. The last message of each has this index."""
    listed = []
    for number in numbers:
        pair = (OWN, OTHER) if number == PAIR else None
        state = ResumedChat(number, last, 1000 * LAST + last, 1, 1, 0, 0, [], pair)
        other = ProfileSummary("Bob", "u34") if pair else None
        listed.append(ChatToResume(replace(group(number), created=1000), state, (), other=other))
    return ChatsResumed("e", False, tuple(listed), (), (), None)


def playing(capabilities: str = CAPABILITIES, head: int = 9) -> IrcConnection:
    """Returns a connection that has joined the group. The account has a private chat, too. Each chat has `head`
    messages, one each millisecond.
    """

    def answer(command: Command) -> Reply | Failure:
        if isinstance(command, ResumeChats):
            return chats(CHAT, PAIR, last=head)
        assert isinstance(command, ReadHistory)
        if command.at:
            messages = tuple(one for one in map(shown, range(1, head + 1)) if one.message.time >= command.at)
            return HistoryPage(messages[:3], head, True)
        page = page_of(command, head)
        return replace(page, messages=tuple(moved(one, command.chat) for one in page.messages))

    connection = joined(capabilities)
    connection.answer = answer
    connection.dialect.chats_loaded([LoadedChat(PAIR, (OWN, OTHER))], LONG_AFTER)
    return connection


def moved(one: DisplayMessage, chat: ChatId, sender: AccountId = OTHER) -> DisplayMessage:
    """Returns the message as one of another chat or sender."""
    old = one.message
    message = Message(chat, old.index, old.id, sender, old.time, old.body, old.nonce)
    return replace(one, message=message, to=None)


def played(lines: list[str]) -> list[str]:
    """Returns the ids of the messages among the lines."""
    return [line.partition("msgid=")[2].split(" ")[0] for line in lines if "msgid=" in line]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("#Fruit~5 {}.007", ["5-8", "5-9"]),
        ("#fruit~5 {}.0065", ["5-7", "5-8", "5-9"]),
        ("#Fruit~5 {}.003 {}.005", ["5-4", "5-5"]),
        ("#Fruit~5 0 {}.002", ["5-1", "5-2"]),
        ("#Fruit~5 {}.009", []),
        ("#Fruit~5 {}.005 {}.005", []),
        ("#Fruit~5 0 1", []),
        ("Bob|34 {}.008", ["7-9"]),
        ("user|34,#Fruit~5 {}.008", ["7-9", "5-9"]),
        ("* {}.008", ["5-9", "7-9"]),
        ("#* {}.008", ["5-9"]),
        ("b?b* {}.008", ["7-9"]),
        ("* {}.009", []),
        ("#other {}.008", []),
    ],
)
def test_the_messages_between_the_times_are_played_once_and_in_order(request_: str, expected: list[str]) -> None:
    connection = playing()
    if request_.startswith("Bob"):  # the name of the user is known once the chats are listed
        connection.send("PRIVMSG *playback :LIST")
    lines = connection.send(f"PRIVMSG *playback :play {request_.format(LAST, LAST)}")
    assert played(lines) == expected
    assert not any(" *playback" in line for line in lines)


def test_a_message_that_was_pushed_is_not_played_again() -> None:
    connection = playing()
    assert played(_texts(frames(connection.hold(shown(8))))) == ["5-8"]
    assert played(connection.send(f"PRIVMSG *playback :PLAY #Fruit~5 {LAST}.005")) == ["5-6", "5-7"]


def test_a_channel_that_was_left_open_elsewhere_is_not_played_or_listed() -> None:
    connection = playing()
    connection.dialect._session.channels[CHAT].hidden = True  # type: ignore[attr-defined]
    assert played(connection.send(f"PRIVMSG *playback :PLAY * {LAST}.008")) == ["7-9"]
    assert played(connection.send(f"PRIVMSG *playback :PLAY #Fruit~5 {LAST}.008")) == []
    times = "timestamp=2000-01-01T00:00:00.000Z timestamp=2100-01-01T00:00:00.000Z"
    assert not any("#Fruit~5" in line for line in connection.send(f"CHATHISTORY TARGETS {times} 50"))


def test_the_oldest_of_too_many_messages_are_left_out_and_can_be_requested() -> None:
    connection = playing(head=700)
    *lines, hint = connection.send("PRIVMSG *playback :PLAY #Fruit~5 0")
    assert played(lines) == [f"5-{number}" for number in range(201, 701)]
    assert hint.startswith(
        ":*playback!playback@irc.dragoman.local PRIVMSG n|12 :Messages of #Fruit~5 are left out: PLAY"
    )
    rest = connection.send(f"PRIVMSG *playback :PLAY{hint.partition(': PLAY')[2]}")
    assert played(rest) == [f"5-{number}" for number in range(1, 201)]


def test_all_chats_together_fit_into_the_output_of_a_connection() -> None:
    connection = playing()
    answer = connection.answer

    def at_length(command: Command) -> Reply | Failure:
        if isinstance(command, ResumeChats):
            return chats(*map(ChatId, range(10, 20)))
        page = answer(command)
        assert isinstance(page, HistoryPage)
        long = [moved(shown(one.message.index, "a" * 20_000), one.message.chat) for one in page.messages]
        return replace(page, messages=tuple(long))

    connection.answer = at_length
    lines = connection.send("PRIVMSG *playback :PLAY *")
    assert 400_000 < sum(map(len, lines)) < 500_000
    hints = [line for line in lines if " are left out: PLAY " in line]
    whole = [f"#Fruit~{number} 0.000" for number in range(12, 20)]
    assert [hint.rpartition(" PLAY ")[2] for hint in hints] == [f"#Fruit~11 0.000 {LAST}.001", *whole]


def test_a_chat_that_cannot_be_read_leaves_the_others() -> None:
    connection = playing()
    answer = connection.answer

    def fails(command: Command) -> Reply | Failure:
        is_group = isinstance(command, ReadHistory) and command.chat == CHAT
        return unavailable(command) if is_group else answer(command)

    connection.answer = fails
    failed, *lines = connection.send(f"PRIVMSG *playback :PLAY * {LAST}.008")
    assert " FAIL PRIVMSG TEMPORARILY_UNAVAILABLE #Fruit~5 :later" in failed
    assert played(lines) == ["7-9"]


@pytest.mark.parametrize(("capabilities", "expected"), [("echo-message", 9), ("", 0)])
def test_own_private_messages_are_played_to_clients_that_can_show_them(capabilities: str, expected: int) -> None:
    connection = playing(f"{CAPABILITIES} {capabilities}")
    answer = connection.answer

    def own(command: Command) -> Reply | Failure:
        page = answer(command)
        if isinstance(page, HistoryPage):
            return replace(page, messages=tuple(moved(one, one.message.chat, OWN) for one in page.messages))
        return page

    connection.answer = own
    assert len(played(connection.send("PRIVMSG *playback :PLAY user|34"))) == expected
    assert len(played(connection.send("PRIVMSG *playback :PLAY #Fruit~5"))) == 9


def test_a_client_without_times_gets_them_in_the_texts() -> None:
    connection = playing("message-tags")
    (line,) = connection.send(f"PRIVMSG *playback :PLAY #Fruit~5 {LAST}.008")
    assert line.endswith(" PRIVMSG #Fruit~5 :[08:00] hi")


def test_the_chats_are_listed_with_the_times_of_their_first_and_last_messages() -> None:
    start = ":*playback!playback@irc.dragoman.local PRIVMSG n|12 :"
    connection = playing()
    assert connection.send("PRIVMSG *playback :LIST") == [
        f"{start}#Fruit~5 1.000 {LAST}.009", f"{start}Bob|34 1.000 {LAST}.009",
    ]  # fmt: skip
    assert connection.send("PRIVMSG *playback :list bob*") == [f"{start}Bob|34 1.000 {LAST}.009"]


@pytest.mark.parametrize(
    "text", ["PLAY", "PLAY * -1", "PLAY * soon", "PLAY * 1 2 3", "LIST a b", "CLEAR", "LIMIT x", "?"]
)
def test_a_wrong_command_is_answered_with_the_right_ones(text: str) -> None:
    connection = playing()
    before = len(connection.commands)
    (line,) = connection.send(f"PRIVMSG *playback :{text}")
    assert " PRIVMSG n|12 :PLAY <chats> [from] [to], LIST " in line
    assert connection.send(f"NOTICE *playback :{text}") == []
    assert len(connection.commands) == before


def test_lists_of_all_chats_above_the_rate_are_rejected_and_named_chats_are_not() -> None:
    connection = playing()
    answers = [connection.send(f"PRIVMSG *playback :PLAY * {LAST}.009") for _ in range(21)]
    assert answers[:20] == [[]] * 20
    assert " FAIL PRIVMSG RATE_LIMITED :" in answers[20][0]
    assert played(connection.send(f"PRIVMSG *playback :PLAY #Fruit~5 {LAST}.008")) == ["5-9"]
