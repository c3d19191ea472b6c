"""Handles CHATHISTORY, which reads the messages of a chat by index or time, and other events of a group such as
joins."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from services.edge.canonical.commands import ReadHistory, ResumeChats
from services.edge.canonical.replies import ChatsResumed, ChatToResume, DisplayMessage, HistoryPage
from services.edge.dialects.base import DecodeError
from services.edge.dialects.irc.channels import join_line, kick_line, part_line
from services.edge.dialects.irc.lines import Line, word
from services.edge.dialects.irc.messages import MessageStyle, addressed, encode_message
from services.edge.dialects.irc.modes import mode_lines
from services.edge.dialects.irc.names import User, channel_of, is_channel, unknown_user, user_of
from services.edge.dialects.irc.server import HISTORY_MESSAGES
from services.edge.dialects.irc.session import HAPPENING, Answer, IrcSession, Lines, rejection
from shared.clock import utc_time
from shared.contract.body import RECALLED_BODY
from shared.contract.errors import ErrorCode, Failure
from shared.contract.happenings import Happening, HappeningKind, HappeningList, ListHappenings
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import ProfileSummary

EVENT_PLAYBACK = "draft/event-playback"
_EVENT = re.compile(rf"{HAPPENING}([0-9]+)(?:\.[0-9]+)?")
LARGEST = 2**53 - 1
"""The largest index and the last time that a request can name."""
_PAGE_CHATS = 500
PAGE_MESSAGES = 200
"""The most messages of one request."""
ANSWER_BYTES = 400_000
_MOST_READ = 2_000
BESIDE = 3
"""The number of messages that are read to find a time: the message at this time, one before it, and one after it."""


class Selector(NamedTuple):
    """A place in a chat. It is the index `number` or, if `number` is 0, a time in Unix milliseconds."""

    number: int = 0
    at: int = 0


class _Span(NamedTuple):
    """The period whose group events (such as joins) are wanted. `newest`: whether the last events of the period are
    wanted."""

    after: int
    before: int
    newest: bool


class _ChatHistory(NamedTuple):
    """`target`: the chat's name as the client has written it. `span`: None if the client wants messages and no group
    events."""

    session: IrcSession
    style: MessageStyle
    answer: Answer
    subcommand: str
    chat: ChatId
    target: str
    most: int
    span: _Span | None = None


def chat_history(session: IrcSession, line: Line, answer: Answer, style: MessageStyle) -> Lines:
    subcommand, *parameters = line.parameters or [""]
    subcommand = subcommand.upper()
    places = {"LATEST": 1, "BEFORE": 1, "AFTER": 1, "AROUND": 1, "BETWEEN": 2, "TARGETS": 2}.get(subcommand)
    if places is None:
        raise _bad(answer, "INVALID_PARAMS", "There is no such subcommand", subcommand)
    named = subcommand != "TARGETS"
    if len(parameters) != named + places + 1:
        raise _bad(answer, "NEED_MORE_PARAMS", "The number of parameters is wrong", subcommand)
    count, chat = _count(parameters[-1], subcommand, answer), find_known_chat(session, parameters[0]) if named else None
    if named and chat is None:
        raise _bad(answer, "INVALID_TARGET", "There is no such chat", subcommand, parameters[0])
    selectors = [_selector(text, subcommand, chat, answer) for text in parameters[named:-1]]
    if chat is None:
        return _targets(session, selectors[0].at, selectors[1].at, count, answer)
    request = _ChatHistory(session, style, answer, subcommand, chat, parameters[0], count)
    if not session.has(EVENT_PLAYBACK) or chat in session.partners:
        return _read_selected(request, subcommand, selectors)
    return _with_times(request, selectors, lambda times: _read_all(request, subcommand, selectors, times))


def _read_selected(request: _ChatHistory, subcommand: str, selectors: Sequence[Selector]) -> Lines:
    match subcommand:
        case "LATEST":
            return _located(request, selectors[0], lambda place: _read_older(request, -1, place.upto))
        case "BEFORE":
            return _located(request, selectors[0], lambda place: _read_older(request, place.since - 1, 0))
        case "AFTER":
            return _located(request, selectors[0], lambda place: _read_newer(request, place.upto, 0))
        case "AROUND":
            index, at = selectors[0]
            command = ReadHistory(request.chat, 1, min(request.most, PAGE_MESSAGES), older=False, around=index, at=at)
            return _read_page(request, command, lambda page: _finish(request, page.messages))
        case _:
            return _between(request, *selectors)


def _bad(answer: Answer, fail: str, text: str, *words: str) -> DecodeError:
    return rejection(answer, "", text, *words, fail=fail)


def _count(text: str, subcommand: str, answer: Answer) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _bad(answer, "INVALID_PARAMS", "A number of messages is expected", subcommand, text)
    return max(1, min(int(text[:9]), HISTORY_MESSAGES))


def _selector(text: str, subcommand: str, chat: ChatId | None, answer: Answer) -> Selector:
    kind, _, value = text.partition("=")
    if text == "*" and subcommand == "LATEST":
        return Selector()
    if kind == "timestamp" and (at := unix_ms(value)) is not None:
        return Selector(at=at)
    if kind == "msgid" and chat is not None:
        number, _, index = value.partition("-")
        if number == str(chat) and (event := _EVENT.fullmatch(index)):
            return Selector(at=max(1, min(int(event[1][:16]), LARGEST)))
        if number == str(chat) and index.isascii() and index.isdigit() and int(index[:16]) > 0:
            return Selector(number=min(int(index[:16]), LARGEST))
        raise _bad(answer, "UNKNOWN_MSGID", "There is no such message in this chat", subcommand, text)
    fail = "INVALID_MSGREFTYPE" if kind != "timestamp" else "INVALID_PARAMS"
    raise _bad(answer, fail, "This names no message", subcommand, text)


def unix_ms(text: str) -> int | None:
    try:
        time = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return max(1, int(time.replace(microsecond=0).timestamp()) * 1000 + time.microsecond // 1000)


def find_known_chat(session: IrcSession, target: str) -> ChatId | None:
    """The chat of this name, if it is known to the connection."""
    if is_channel(target):
        return session.find_channel(target)
    return session.private_chat(target)


def _targets(session: IrcSession, first: int, second: int, count: int, answer: Answer) -> Lines:
    """List the chats whose last message is between both times, without hidden channels. The list begins at the first
    time, and is written oldest first."""
    low, high = sorted((first, second))
    found: list[tuple[int, str]] = []

    def listed(page: ChatsResumed) -> Lines:
        hidden = {chat for chat, channel in session.channels.items() if channel.hidden}
        within = [one for one in page.chats if low < one.state.time < high and one.chat.id not in hidden]
        found.extend((one.state.time, name_of(session, one)) for one in within)
        enough = second < first and len(found) >= count
        if page.before is not None and page.before[0] > low and not enough:
            return request_chats(session, answer, listed, page.before)
        chosen = sorted(found[:count] if second < first else found[-count:])
        lines = [session.line("CHATHISTORY", "TARGETS", name, utc_time(time)) for time, name in chosen]
        return session.batch("draft/chathistory-targets", lines)

    return request_chats(session, answer, listed)


def request_chats(
    session: IrcSession,
    answer: Answer,
    listed: Callable[[ChatsResumed], Lines],
    before: tuple[int, int] | None = None,
) -> Lines:
    """Request a page of the account's chats, in which the chat with the newest message is first. `before`: the end of
    the previous page."""
    return session.request(ResumeChats("", {}, _PAGE_CHATS, 0, before), answer, listed)


def name_of(session: IrcSession, resumed: ChatToResume) -> str:
    """The name of a chat, which is then also known to the connection."""
    chat, pair = resumed.chat, resumed.state.pair
    if pair is None:
        return session.channels[chat.id].name if chat.id in session.channels else channel_of(chat)
    partner = next(iter({*pair} - {session.account}), session.account)
    session.partners[chat.id] = partner
    if resumed.other is not None:
        session.users[partner] = user_of(partner, resumed.other, session.server)
    return session.user_for(partner).nick


# Reading


class _Located(NamedTuple):
    """A place between messages. The messages up to index `upto` are not newer than the place, and the messages from
    index `since` on are not older."""

    since: int
    upto: int


def _located(request: _ChatHistory, selector: Selector, read: Callable[[_Located], Lines]) -> Lines:
    if not selector.at:
        return read(_Located(selector.number, selector.number))

    def found(page: HistoryPage) -> Lines:
        since = index_at(page, selector.at)
        has_time = any(one.message.time == selector.at for one in page.messages)
        return read(_Located(since, since if has_time else since - 1))

    return _read_page(request, ReadHistory(request.chat, 1, BESIDE, older=False, at=selector.at), found)


def index_at(page: HistoryPage, time: int) -> int:
    """The index of the first message that is not older than `time`, in a page that was read `at` this time."""
    return next((one.message.index for one in page.messages if one.message.time >= time), page.head + 1)


def _with_times(
    request: _ChatHistory, selectors: Sequence[Selector], done: Callable[[tuple[int, ...]], Lines], *times: int
) -> Lines:
    """Call `done` with the times of these places."""
    if len(times) == len(selectors):
        return done(times)
    number, at = selectors[len(times)]
    if not number:
        return _with_times(request, selectors, done, *times, at)

    def found(page: HistoryPage) -> Lines:
        time = page.messages[0].message.time if page.messages else LARGEST
        return _with_times(request, selectors, done, *times, time)

    return _read_page(request, ReadHistory(request.chat, number, 1, older=False), found)


def _read_all(request: _ChatHistory, subcommand: str, selectors: Sequence[Selector], times: tuple[int, ...]) -> Lines:
    """Read the messages and group events that a subcommand selects."""
    first, last = times[0], times[-1]
    match subcommand:
        case "LATEST":
            span = _Span(first, LARGEST, newest=True)
        case "BEFORE":
            span = _Span(0, first, newest=True)
        case "AFTER":
            span = _Span(first, LARGEST, newest=False)
        case "BETWEEN":
            span = _Span(min(times), max(times), newest=last < first)
        case _:
            return _read_around(request, selectors[0], first)
    return _read_selected(request._replace(span=span), subcommand, selectors)


def _read_around(request: _ChatHistory, selector: Selector, time: int) -> Lines:
    before, since = _Span(0, time, newest=True), _Span(time - 1, LARGEST, newest=False)

    def read(page: HistoryPage) -> Lines:
        entries = _entries(request, _without_recalled(page.messages))
        return _read_happenings(request, before, lambda earlier, _: read_later([*entries, *earlier]))

    def read_later(entries: list[_Entry]) -> Lines:
        return _read_happenings(request, since, lambda later, _: write(sorted([*entries, *later])))

    def write(entries: list[_Entry]) -> Lines:
        place = sum(one.time < time for one in entries)
        start = max(0, min(place - request.most // 2, len(entries) - request.most))
        return _batch(request, entries[start : start + request.most])

    number, at = selector
    command = ReadHistory(request.chat, 1, min(request.most, PAGE_MESSAGES), older=False, around=number, at=at)
    return _read_page(request, command, read)


def _read_older(request: _ChatHistory, start: int, after: int) -> Lines:
    """Read the newest messages up to index `start`, and after index `after`. With `start` -1, the last message is
    included."""
    if start == 0:
        return _finish(request, [])
    return _read(request, ReadHistory(request.chat, start, request.most, older=True), after=after)


def _read_newer(request: _ChatHistory, after: int, before: int) -> Lines:
    return _read(request, ReadHistory(request.chat, after + 1, request.most, older=False), before=before)


def _between(request: _ChatHistory, first: Selector, second: Selector) -> Lines:
    """Read the messages between two places, without the messages at these places. The direction is from the first place
    to the second."""

    def with_both(one: _Located, other: _Located) -> Lines:
        low, high = sorted((one, other))
        if other < one:
            return _read_older(request, high.since - 1, low.upto)
        return _read_newer(request, low.upto, high.since)

    return _located(request, first, lambda one: _located(request, second, lambda other: with_both(one, other)))


def _read(request: _ChatHistory, command: ReadHistory, after: int = 0, before: int = 0) -> Lines:
    """Read the messages between the indexes in ascending order, from as many pages as necessary."""
    found: list[DisplayMessage] = []

    def done(page: HistoryPage) -> Lines:
        indexes = range(after + 1, before or LARGEST)
        wanted = [one for one in page.messages if one.message.index in indexes]
        found.extend(wanted)
        kept = _without_recalled(found)
        left = request.most - len(kept)
        if page.more and page.messages and len(wanted) == len(page.messages) and left > 0 and _has_room(found):
            last = page.messages[-1].message.index
            start = last - 1 if command.older else last + 1
            return _read_page(request, replace(command, start=start, count=PAGE_MESSAGES), done)
        kept = sorted(kept[: request.most], key=lambda one: one.message.index)
        return _finish(request, kept, is_cut=page.more and left > 0 and len(wanted) == len(page.messages))

    return _read_page(request, replace(command, count=min(command.count, PAGE_MESSAGES)), done)


def _has_room(found: Sequence[DisplayMessage]) -> bool:
    """Whether the answer can take more messages. A long answer would fill the output of the connection, and many
    recalled messages would be read for nothing. The client requests further messages itself."""
    return sum(len(one.message.body) for one in found) < ANSWER_BYTES and len(found) < _MOST_READ


def _read_page(request: _ChatHistory, command: ReadHistory, done: Callable[[HistoryPage], Lines]) -> Lines:
    return request.session.request(command, request.answer, done, lambda failure: _failed(request, failure))


def _failed(request: _ChatHistory, failure: Failure) -> Lines:
    unknown = failure.code in (ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND)
    code = "INVALID_TARGET" if unknown else "MESSAGE_ERROR"
    return [request.session.fail("CHATHISTORY", failure, request.subcommand, word(request.target), code=code)]


class _Entry(NamedTuple):
    """The lines of a message or of a group event."""

    time: int
    lines: tuple[bytes, ...]


def _entries(request: _ChatHistory, shown: Sequence[DisplayMessage]) -> list[_Entry]:
    """The lines of these messages."""
    return [_Entry(one.message.time, lines_of(request.session, one, request.style, request.target)) for one in shown]


def _without_recalled(shown: Sequence[DisplayMessage]) -> list[DisplayMessage]:
    """Recalled messages do not count: a client takes an answer with fewer messages than requested for the last."""
    return [one for one in shown if one.message.body != RECALLED_BODY]


def _finish(request: _ChatHistory, shown: Sequence[DisplayMessage], *, is_cut: bool = False) -> Lines:
    """Write the messages and the group events. `is_cut`: the client has to request further messages, so group events
    beyond the written messages are left out."""
    entries = _entries(request, shown)
    span = request.span
    if span is None:
        return _batch(request, entries)
    if is_cut and entries:
        span = span._replace(after=entries[0].time) if span.newest else span._replace(before=entries[-1].time)

    def write(happened: list[_Entry], more: bool) -> Lines:
        found = sorted([*entries, *happened])
        if more and happened:
            first, last = happened[0].time, happened[-1].time
            found = [one for one in found if (one.time >= first if span.newest else one.time <= last)]
        return _batch(request, found[-request.most :] if span.newest else found[: request.most])

    return _read_happenings(request, span, write)


def _read_happenings(request: _ChatHistory, span: _Span, done: Callable[[list[_Entry], bool], Lines]) -> Lines:
    def listed(found: HappeningList) -> Lines:
        return done([_happened(request, one, found.faces) for one in found.happenings], found.more)

    command = ListHappenings(request.chat, span.after, span.before, request.most, newest=span.newest)
    return request.session.request(command, request.answer, listed, lambda failure: _failed(request, failure))


def _happened(request: _ChatHistory, one: Happening, faces: Mapping[AccountId, ProfileSummary]) -> _Entry:
    session, channel = request.session, request.target

    def user(account: AccountId) -> User:
        face = faces.get(account)
        return user_of(account, face, session.server) if face else unknown_user(account, session.server)

    by = user(one.by)
    match one.kind:
        case HappeningKind.JOIN:
            lines = [session.by(by, join_line(session, by, channel))]
        case HappeningKind.LEAVE if one.account == one.by:
            lines = [part_line(session, channel, by, one.text)]
        case HappeningKind.LEAVE:
            lines = [kick_line(session, channel, user(one.account), by, one.text)]
        case HappeningKind.TOPIC:
            lines = [session.by(by, session.line("TOPIC", channel, last=one.text, source=by.mask))]
        case HappeningKind.MODES:
            nick = lambda account: user(account).nick  # noqa: E731
            lines = [session.by(by, line) for line in mode_lines(session, channel, one.changes, nick, by.mask)]
    return _Entry(one.time, tuple(session.happened(each, request.chat, one.time, at) for at, each in enumerate(lines)))


def _batch(request: _ChatHistory, entries: Sequence[_Entry]) -> Lines:
    session = request.session
    lines = [line for one in entries for line in one.lines]
    if not session.has("batch"):
        return lines
    return session.batch("chathistory", lines, word(request.target))


def lines_of(session: IrcSession, shown: DisplayMessage, style: MessageStyle, channel: str) -> tuple[bytes, ...]:
    """The lines of a message. `channel`: the name of its channel as the client has written it, or empty."""
    message = shown.message
    known = session.partners.get(message.chat)
    partner = session.partner_of(message, shown.to) if known is None else known
    name = session.chat_name(message, partner, channel)
    return addressed(encode_message(shown, style), name)
