"""Handles messages to `*playback`, by which a client requests the messages since a time, as from the module playback of
ZNC: PLAY, LIST and CLEAR."""

import re
from collections.abc import Callable
from typing import NamedTuple

from services.edge.canonical.commands import ReadHistory
from services.edge.canonical.replies import ChatsResumed, DisplayMessage, HistoryPage
from services.edge.dialects.irc.channels import shows
from services.edge.dialects.irc.history import (
    ANSWER_BYTES,
    BESIDE,
    LARGEST,
    PAGE_MESSAGES,
    find_known_chat,
    index_at,
    lines_of,
    name_of,
    request_chats,
)
from services.edge.dialects.irc.lines import Line, word
from services.edge.dialects.irc.messages import MessageStyle, dated, is_quiet
from services.edge.dialects.irc.modes import matches
from services.edge.dialects.irc.names import fold, is_channel
from services.edge.dialects.irc.server import HISTORY_MESSAGES
from services.edge.dialects.irc.session import Answer, IrcSession, Lines, rejection, targets
from shared.contract.body import RECALLED_BODY
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import ChatId

CAPABILITY = "znc.in/playback"
_NICK = "*playback"
_USAGE = "PLAY <chats> [from] [to], LIST [chats]: chats with commas between them and * and ?, times in Unix seconds"
_SECONDS = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?")
_PATTERN = frozenset("*?")


class _Listed(NamedTuple):
    """A chat, its name, and the times of its creation and of its last message in Unix milliseconds."""

    chat: ChatId
    name: str
    created: int = 0
    last: int = LARGEST


def is_playback(line: Line) -> bool:
    return line.command in ("PRIVMSG", "NOTICE") and fold("".join(line.parameters[:1])) == _NICK


def playback(session: IrcSession, line: Line, answer: Answer, style: MessageStyle, now: float) -> Lines:
    action, *words = "".join(line.parameters[1:2]).split() or [""]
    times = [_unix_ms(word) for word in words[1:]]
    match action.upper(), words:
        case "PLAY", [_, *_] if len(times) < 3 and -1 not in times:
            after, upto = [*times, *(0, LARGEST)[len(times) :]]
            play = _Play(session, answer, style, after, upto)
            return _with_chats(session, words[0], answer, now, play.play)
        case "LIST", [*_] if len(words) < 2:
            return _list_chats(session, words or ["*"], answer, now, lambda chats: _show(session, chats))
        case "CLEAR", [_]:
            return [_reply(session, "The history of a chat cannot be cleared")]
    return () if is_quiet(answer) else [_reply(session, _USAGE)]


def _unix_ms(text: str) -> int:
    """A time in milliseconds. -1 if the text is no time."""
    found = _SECONDS.fullmatch(text)
    return -1 if found is None else int(found[1]) * 1000 + int(f"{found[2] or ''}000"[:3])


def _seconds(time: int) -> str:
    return f"{time // 1000}.{time % 1000:03}"


def _reply(session: IrcSession, text: str) -> bytes:
    return session.line("PRIVMSG", session.nick, last=text, source=f"{_NICK}!playback@{session.server}")


def _show(session: IrcSession, chats: list[_Listed]) -> Lines:
    return [_reply(session, f"{one.name} {_seconds(one.created)} {_seconds(one.last)}") for one in chats]


# Chats


def _with_chats(
    session: IrcSession, names: str, answer: Answer, now: float, done: Callable[[list[_Listed]], Lines]
) -> Lines:
    """Call `done` with the chats of these names. Names with * or ? are compared with the names of all chats."""
    wanted = targets(Line({}, "", "", [names]), answer)
    if _PATTERN & set(names):
        return _list_chats(session, wanted, answer, now, done)
    known = [(find_known_chat(session, one), one) for one in wanted]
    return done([_Listed(chat, name) for chat, name in known if chat is not None and shows(session, chat)])


def _list_chats(
    session: IrcSession, wanted: list[str], answer: Answer, now: float, done: Callable[[list[_Listed]], Lines]
) -> Lines:
    if session.info.limits.rates and not session.searches.take(now):
        raise rejection(answer, "", "Too many requests", code=ErrorCode.RATE_LIMITED, fail="RATE_LIMITED")
    found: list[_Listed] = []

    def listed(page: ChatsResumed) -> Lines:
        for one in page.chats:
            name = name_of(session, one)
            if one.state.time and shows(session, one.chat.id) and any(matches(mask, name) for mask in wanted):
                found.append(_Listed(one.chat.id, name, one.chat.created, one.state.time))
        return done(found) if page.before is None else request_chats(session, answer, listed, page.before)

    return request_chats(session, answer, listed)


# Messages


class _Play:
    """Plays the messages after the time `after`, up to the time `upto`, of one chat after the other. If they are too
    many, the oldest are left out, and the client is told how to request them. A client with the capability gets no
    message again that it was shown when the message was sent."""

    def __init__(self, session: IrcSession, answer: Answer, style: MessageStyle, after: int, upto: int) -> None:
        self._session = session
        self._answer = answer
        self._style = style
        self._after = after
        self._upto = upto
        self._room = ANSWER_BYTES
        self._chats: list[_Listed] = []
        self._played: list[tuple[bytes, ...]] = []
        """The lines of the messages of the present chat, the newest first."""

    def play(self, chats: list[_Listed]) -> Lines:
        self._chats = [one for one in chats if one.last > self._after]
        return self._next()

    def _next(self) -> Lines:
        while self._chats:
            one, *self._chats = self._chats
            if self._room < 0:
                yield self._left_out(one, self._upto)
                continue
            if self._upto == LARGEST:
                self._read(one, -1)
            else:
                self._request(one, ReadHistory(one.chat, 1, BESIDE, older=False, at=self._upto + 1), self._found)
            return

    def _found(self, one: _Listed, page: HistoryPage) -> Lines:
        last = index_at(page, self._upto + 1) - 1
        if not last:
            return self._next()
        return self._read(one, last)

    def _read(self, one: _Listed, start: int) -> Lines:
        count = min(PAGE_MESSAGES, HISTORY_MESSAGES + 1 - len(self._played))
        return self._request(one, ReadHistory(one.chat, start, count, older=True), self._keep)

    def _request(self, one: _Listed, command: ReadHistory, done: Callable[[_Listed, HistoryPage], Lines]) -> Lines:
        def failed(failure: Failure) -> Lines:
            return [self._session.fail(self._answer.command, failure, word(one.name)), *self._written(one)]

        return self._session.request(command, self._answer, lambda page: done(one, page), failed)

    def _keep(self, one: _Listed, page: HistoryPage) -> Lines:
        for shown in page.messages:
            if shown.message.time <= self._after:
                return self._written(one)
            if self._room < 0 or len(self._played) == HISTORY_MESSAGES:
                return self._written(one, self._left_out(one, shown.message.time))
            if self._is_wanted(shown):
                lines = self._lines(one, shown)
                self._room -= sum(map(len, lines))
                self._played.append(lines)
        if page.more and page.messages:
            return self._read(one, page.messages[-1].message.index - 1)
        return self._written(one)

    def _is_wanted(self, shown: DisplayMessage) -> bool:
        session, message = self._session, shown.message
        is_own_private = message.sender == session.account and message.chat in session.partners
        if message.body == RECALLED_BODY or (is_own_private and not session.shows_own):
            return False
        return not session.has(CAPABILITY) or message.index < session.pushed_from.get(message.chat, LARGEST)

    def _lines(self, one: _Listed, shown: DisplayMessage) -> tuple[bytes, ...]:
        session, channel = self._session, one.name if is_channel(one.name) else ""
        lines = lines_of(session, shown, self._style, channel)
        return lines if session.has("server-time") else dated(lines, shown.message.time, session.info.unix_ms())

    def _written(self, one: _Listed, *further: bytes) -> Lines:
        session, lines = self._session, [line for lines in reversed(self._played) for line in lines]
        self._played.clear()
        if lines and session.has("batch"):
            lines = [*session.batch("chathistory", lines, word(one.name))]
        return [*lines, *further, *self._next()]

    def _left_out(self, one: _Listed, upto: int) -> bytes:
        times = [self._after] if upto == LARGEST else [self._after, upto]
        command = " ".join(("PLAY", word(one.name), *map(_seconds, times)))
        return _reply(self._session, f"Messages of {word(one.name)} are left out: {command}")
