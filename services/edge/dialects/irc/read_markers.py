"""Handles MARKREAD, which sets the time until which the account has read a chat. Other dialects have the index of the
last read message instead."""

from services.edge.canonical.commands import MarkChatRead, ReadHistory
from services.edge.canonical.replies import HistoryPage
from services.edge.dialects.irc.channels import find_chat, marker_line
from services.edge.dialects.irc.history import unix_ms
from services.edge.dialects.irc.lines import Line
from services.edge.dialects.irc.names import User, is_channel
from services.edge.dialects.irc.session import Answer, IrcSession, Lines, rejection
from services.edge.dialects.irc.users import find_user
from shared.contract.ephemeral import ChatRead, ReadTimeMoved
from shared.contract.errors import Failure
from shared.contract.ids import ChatId
from shared.contract.session import ChatOpened, MarkReadTime, OpenPrivateChat, ReadTime

_BESIDE = 3


def mark_read(session: IrcSession, line: Line, answer: Answer) -> Lines:
    if not line.parameters:
        raise rejection(answer, "", "A target is missing", fail="NEED_MORE_PARAMS")
    target, *rest = line.parameters
    time = _time(rest[0], target, answer) if rest else 0

    def found(chat: ChatId) -> Lines:
        return _mark(session, chat, target, time, answer)

    def missing(_: Failure | None = None) -> Lines:
        return [marker_line(session, target, 0)]

    if is_channel(target):
        return find_chat(session, target, answer, found, missing)
    known = session.private_chat(target)
    if known is not None:
        return found(known)

    def open_chat(user: User) -> Lines:
        if not time:
            return missing()
        opened = OpenPrivateChat(user.account, alone=True)
        done = lambda reply: _opened(session, reply, user, target, time, answer)  # noqa: E731
        return session.request(opened, answer, done, missing)

    return find_user(session, target, answer, open_chat, missing)


def _opened(session: IrcSession, reply: ChatOpened, user: User, target: str, time: int, answer: Answer) -> Lines:
    session.users[user.account] = user
    session.partners[reply.chat] = user.account
    return _mark(session, reply.chat, target, time, answer)


def _time(text: str, target: str, answer: Answer) -> int:
    kind, _, value = text.partition("=")
    time = unix_ms(value) if kind == "timestamp" else None
    if time is None:
        raise rejection(answer, "", "A time is expected", target, fail="INVALID_PARAMS")
    return time


def read_elsewhere(session: IrcSession, event: ReadTimeMoved | ChatRead) -> Lines:
    """Show that another connection of the account has read messages. IRC gives the time until which they are read, and
    other protocols the index."""
    chat, partner = event.chat, session.partners.get(event.chat)
    if not session.has("draft/read-marker") or (chat not in session.channels and partner is None):
        return ()
    target = session.channel_name(chat) if partner is None else session.user_for(partner).nick

    def show(reply: ReadTime) -> Lines:
        before, session.shown_times[chat] = session.shown_times.get(chat), reply.time
        return [marker_line(session, target, reply.time)] if reply.time != before else ()

    def found(page: HistoryPage) -> Lines:
        if page.messages:
            marked = MarkReadTime(chat, page.messages[0].message.time)
            session.request(marked, Answer(), show, lambda failure: ())
        return ()

    if isinstance(event, ReadTimeMoved):
        return show(ReadTime(event.time))
    if event.index:
        session.request(ReadHistory(chat, event.index, 1, older=False), Answer(), found, lambda failure: ())
    return ()


def _mark(session: IrcSession, chat: ChatId, target: str, time: int, answer: Answer) -> Lines:
    def marked(reply: ReadTime) -> Lines:
        if 0 < reply.time <= time:
            _move(session, chat, reply.time, answer)
        session.shown_times[chat] = reply.time
        return [marker_line(session, target, reply.time)]

    def failed(failure: Failure) -> Lines:
        return [marker_line(session, target, 0)]

    return session.request(MarkReadTime(chat, time), answer, marked, failed)


def _move(session: IrcSession, chat: ChatId, time: int, answer: Answer) -> None:
    """Move the read position that all dialects share."""

    def found(page: HistoryPage) -> Lines:
        read = [shown.message.index for shown in page.messages if shown.message.time <= time]
        if read:
            session.request(MarkChatRead(chat, max(read), counts=False), answer, lambda _: (), lambda _: ())
        return ()

    command = ReadHistory(chat, 1, _BESIDE, older=False, at=time)
    session.request(command, answer, found, lambda failure: ())
