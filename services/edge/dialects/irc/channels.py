"""Groups as channels: names, members, topics. `membership` shows who joins and leaves, and `modes` shows settings."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from services.edge.canonical.commands import ReadHistory, ShowProfiles
from services.edge.canonical.irc_commands import ShowAway
from services.edge.canonical.replies import HistoryPage, UsersFound
from services.edge.dialects import validation
from services.edge.dialects.irc.lines import Line, fill_lines, plain, word
from services.edge.dialects.irc.names import MODES, User, channel_of, marks, numbered_channel, user_of
from services.edge.dialects.irc.names import user_of_member as member_user
from services.edge.dialects.irc.session import Answer, Channel, IrcSession, Lines, targets
from services.edge.dialects.irc.subscriptions import sync_chat, sync_later
from services.edge.dialects.irc.users import list_members
from shared.clock import utc_time
from shared.contract.body import mention_mark
from shared.contract.errors import ErrorCode, Failure, Reason
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import MemberRole, SetChat
from shared.contract.model import Chat, ChatKind, JoinPolicy, Role
from shared.contract.session import (
    ChatVersion,
    ChatView,
    FindHandle,
    GetChat,
    HandleFound,
    MarkReadTime,
    PlaceChat,
    ReadTime,
)

_NAMES_BYTES = 300
_NO_CHANNEL = "There is no such channel"
_NOT_IN = "You are not in this channel"
_REASON_CHARACTERS = 300
_SEARCHED_MESSAGES = 100


# Showing a channel


def show_channel(session: IrcSession, chat: ChatId, answer: Answer, *, silent: bool = False) -> Lines:
    """Show JOIN, topic and names of a group that the account is in. `silent`: whether the client has not asked for
    it."""
    channel = session.channels.setdefault(chat, Channel(numbered_channel(chat, ""), invited=True))
    channel.hidden = False

    def failed(failure: Failure) -> Lines:
        """Release the messages of a group that the client cannot join. Otherwise these messages would wait forever."""
        if failure.code in (ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND) or chat in session.partners:
            session.channels.pop(chat, None)
            return () if silent else [session.fail(answer.command, failure)]
        return [session.fail(answer.command or "JOIN", failure, channel.name), *_joined(session, chat, [], answer)]

    return session.request(GetChat(chat, members=2), answer, lambda view: show_described(session, view, answer), failed)


def hide(session: IrcSession, chat: ChatId, answer: Answer) -> None:
    """Hide a channel from all IRC clients of the account, until one of them joins or a message mentions the account."""

    def hidden(_: object) -> Lines:
        channel = session.channels.get(chat)
        if channel is not None:
            yield from hidden_elsewhere(session, channel)
            yield session.notice(f"You are still a member of {channel.name}: PART {channel.name} :leave ends it")

    failed = failing_in(session, answer, session.channel_name(chat))
    session.request(PlaceChat(chat, hidden=session.info.unix_ms()), answer, hidden, failed)


def hidden_elsewhere(session: IrcSession, channel: Channel) -> Lines:
    """Note that an IRC client of the account has hidden the channel."""
    was_shown = channel.shown and not channel.hidden
    channel.hidden, channel.wanted = True, False
    return [session.own("PART", channel.name)] if was_shown else ()


def show_hidden(session: IrcSession, chat: ChatId, answer: Answer) -> Lines:
    """Show a hidden channel again."""
    channel = session.channels.setdefault(chat, Channel(numbered_channel(chat, ""), invited=True))
    channel.shown, channel.wanted = False, True
    return show_channel(session, chat, answer)


def _find_mention(session: IrcSession, chat: ChatId, hidden: int, answer: Answer) -> Lines:
    """Show a hidden channel whose newest messages mention the account. Its messages are held until this is known."""
    mark = mention_mark(session.account)

    def found(page: HistoryPage) -> Lines:
        if any(one.message.time > hidden and mark in one.message.body for one in page.messages):
            return show_hidden(session, chat, answer)
        return keep_hidden()

    def keep_hidden(_: Failure | None = None) -> Lines:
        channel = session.channels.get(chat)
        if channel is not None and not channel.wanted:
            channel.hidden = True
        return ()

    return session.request(ReadHistory(chat, -1, _SEARCHED_MESSAGES, older=True), answer, found, keep_hidden)


def show_described(session: IrcSession, view: ChatView, answer: Answer) -> Lines:
    chat = view.chat.id
    if view.chat.kind is not ChatKind.GROUP:
        session.channels.pop(chat, None)
        others = [member for member in view.members if member != session.account]
        session.partners[chat] = (others or [session.account])[0]
        return learn_users(session, others, answer)
    channel = session.channels.setdefault(chat, Channel(""))
    remember(channel, view.chat)
    if view.mute is not None and view.mute.hidden:
        if not channel.wanted:
            return _find_mention(session, chat, view.mute.hidden, answer)
        session.request(PlaceChat(chat, hidden=0), answer, lambda _: (), lambda _: ())
    if channel.topic_by not in (NO_ACCOUNT, session.account):
        learn_users(session, [channel.topic_by], answer)
    if not session.has("draft/read-marker"):
        return _with_names(session, chat, answer, b"")

    def marked(reply: ReadTime) -> Lines:
        return _with_names(session, chat, answer, marker_line(session, channel.name, reply.time))

    unmarked = marker_line(session, channel.name, 0)
    return session.request(
        MarkReadTime(chat), answer, marked, lambda failure: _with_names(session, chat, answer, unmarked)
    )


def marker_line(session: IrcSession, target: str, time: int) -> bytes:
    return session.line("MARKREAD", word(target), f"timestamp={utc_time(time)}" if time else "*")


def _with_names(session: IrcSession, chat: ChatId, answer: Answer, marker: bytes) -> Lines:
    if session.has("no-implicit-names"):
        return _joined(session, chat, [], answer, marker)
    lines: list[bytes] = []

    def keep(members: list[MemberRole]) -> Lines:
        """Encode a page of members now, because all members together would take long."""
        if (channel := session.channels.get(chat)) is not None:
            lines.extend(_names_lines(session, channel.name, _names(session, members), channel.modes))
        return ()

    def joined(_: Failure | None = None) -> Lines:
        """The lines of a join. They contain no members if the members cannot be read now."""
        return _joined(session, chat, lines, answer, marker)

    return list_members(session, chat, answer, keep, joined, joined)


def remember(channel: Channel, chat: Chat) -> None:
    channel.name = channel.name if channel.shown else channel_of(chat)
    channel.topic_by, channel.topic_time = (chat.topic_by, chat.topic_time) if chat.topic else (NO_ACCOUNT, 0)
    channel.topic = chat.topic or ("" if chat.name == chat.handle else chat.name)
    channel.created, channel.invited = chat.created // 1000, chat.join_policy is not JoinPolicy.OPEN
    channel.modes, channel.key, channel.most = chat.modes, chat.join_key, chat.most_members
    channel.ownerless, channel.has_topic = chat.ownerless, bool(chat.topic)


def _joined(
    session: IrcSession, chat: ChatId, names: list[bytes], answer: Answer, marker: bytes = b""
) -> Iterator[bytes]:
    channel = session.channels.get(chat)
    if channel is None or channel.shown:  # shown already, or the account has left in the meantime
        return
    channel.shown = True
    yield join_line(session, session.user, channel.name)
    if channel.topic:
        yield from _topic_lines(session, channel)
    if marker:
        yield marker
    if not session.has("no-implicit-names"):
        yield from names
        yield _end_of_names(session, channel.name)
    if answer.command == "JOIN":
        if session.away:
            session.request(ShowAway(chat, session.away), answer, lambda _: (), lambda _: ())
        sync_chat(session, chat, channel.name, answer, requested=False)
    else:
        yield from sync_later(session, channel.name)


def shows(session: IrcSession, chat: ChatId) -> bool:
    """Whether the client shows the chat. It shows every private chat, and every channel that it has not left."""
    channel = session.channels.get(chat)
    return channel is None or (channel.shown and not channel.hidden)


def shown_channel(session: IrcSession, chat: ChatId) -> Channel | None:
    """The channel of a chat. None if the client does not show the channel, and so must not get its events."""
    if not shows(session, chat):
        return None
    return session.channels.get(chat) or Channel(numbered_channel(chat, ""), shown=True)


def join_line(session: IrcSession, user: User, channel: str) -> bytes:
    if session.has("extended-join"):
        return session.line("JOIN", channel, user.account_name or "*", last=user.real_name, source=user.mask)
    return session.line("JOIN", channel, source=user.mask)


def part_line(session: IrcSession, channel: str, user: User, reason: str) -> bytes:
    return session.by(user, session.line("PART", channel, last=reason or None, source=user.mask))


def kick_line(session: IrcSession, channel: str, user: User, by: User, reason: str) -> bytes:
    return session.by(by, session.line("KICK", channel, user.nick, last=reason or by.nick, source=by.mask))


def learn_users(session: IrcSession, accounts: list[AccountId], answer: Answer) -> Lines:
    """Learn the names of the other members of private chats."""

    def found(users: UsersFound) -> Lines:
        session.users |= {profile.id: user_of(profile.id, profile, session.server) for profile in users.profiles}
        return ()

    unknown = tuple(account for account in accounts if account not in session.users)
    return session.request(ShowProfiles(unknown), answer, found, lambda failure: ()) if unknown else ()


def _names(session: IrcSession, members: list[MemberRole]) -> Iterator[str]:
    for member in members:
        user = member_user(member, session.server)
        shown = user.mask if session.has("userhost-in-names") else user.nick
        yield session.prefixes(marks(member.role, speaker=member.speaker)) + shown


def _names_lines(session: IrcSession, channel: str, names: Iterable[str], modes: str = "") -> Iterator[bytes]:
    for line in fill_lines(names, _NAMES_BYTES):
        yield session.numeric("353", "@" if "s" in modes else "=", channel, last=line)


def _end_of_names(session: IrcSession, channel: str) -> bytes:
    return session.numeric("366", channel, last="End of names")


def _topic_lines(session: IrcSession, channel: Channel) -> Iterator[bytes]:
    if not channel.topic:
        yield session.numeric("331", channel.name, last="There is no topic")
        return
    yield session.numeric("332", channel.name, last=channel.topic)
    if channel.topic_time:
        by = session.user_for(channel.topic_by)
        yield session.numeric("333", channel.name, by.mask, channel.topic_time // 1000)


# Names of channels


def find_chat(
    session: IrcSession,
    name: str,
    answer: Answer,
    found: Callable[[ChatId], Lines],
    missing: Callable[[Failure], Lines] | None = None,
) -> Lines:
    """Find the group that has this channel name."""
    chat = session.find_channel(name)
    if chat is not None:
        return found(chat)

    def failed(failure: Failure) -> Lines:
        if failure.code is not ErrorCode.NOT_FOUND:
            return [session.fail(answer.command, failure, word(name))]
        return missing(failure) if missing is not None else [no_channel(session, name)]

    if not name.startswith("#") or len(name) < 2:
        return failed(Failure(ErrorCode.NOT_FOUND, _NO_CHANNEL))
    done: Callable[[HandleFound], Lines] = lambda reply: found(reply.chat)  # noqa: E731
    return session.request(FindHandle(name[1:]), answer, done, failed)


def no_channel(session: IrcSession, name: str) -> bytes:
    return session.numeric("403", word(name), last=_NO_CHANNEL)


def not_in(session: IrcSession, name: str) -> bytes:
    return session.numeric("442", word(name), last=_NOT_IN)


def failing_in(session: IrcSession, answer: Answer, name: str, nick: str = "") -> Callable[[Failure], Lines]:
    """A function that writes the error line for a failed request about a group or, with `nick`, about its member."""
    words = [word(nick)] if nick else []
    return lambda failure: [failed_in(session, failure, answer, name, *words)]


def failed_in(session: IrcSession, failure: Failure, answer: Answer, name: str, *words: str) -> bytes:
    """The error line for a failed request about a group."""
    if failure.reason == Reason.NOT_MEMBER or (failure.code is ErrorCode.NOT_FOUND and failure.field == "chat"):
        return not_in(session, name)
    if failure.code is ErrorCode.FORBIDDEN:
        return session.numeric("482", word(name), last=failure.words)
    if failure.code is ErrorCode.NOT_FOUND and words:
        return session.numeric("441", *words, word(name), last=failure.words)
    return session.fail(answer.command, failure, word(name))


# Topics and members


def topic(session: IrcSession, line: Line, answer: Answer) -> Lines:
    name, *new = line.parameters

    def found(chat: ChatId) -> Lines:
        failed = failing_in(session, answer, name)
        if new:
            text = validation.topic(plain(new[0]), session.info.limits)
            changed: Callable[[ChatVersion], Lines] = lambda reply: topic_changed(session, chat, text, reply.time)  # noqa: E731
            return session.request(SetChat(chat, topic=text), answer, changed, failed)
        return described(session, chat, answer, lambda channel: _topic_lines(session, channel), failed)

    return find_chat(session, name, answer, found)


def described(
    session: IrcSession,
    chat: ChatId,
    answer: Answer,
    describe: Callable[[Channel], Lines],
    failed: Callable[[Failure], Lines],
) -> Lines:
    """Write the lines that `describe` returns for a channel. If the client does not see the channel, the channel's data
    is requested first."""
    known = session.channels.get(chat)
    if known is not None and known.shown:
        return describe(known)

    def done(view: ChatView) -> Lines:
        channel = Channel("")
        remember(channel, view.chat)
        return describe(channel)

    return session.request(GetChat(chat, members=2), answer, done, failed)


def topic_changed(
    session: IrcSession, chat: ChatId, text: str, time: int, by: AccountId = NO_ACCOUNT, source: str = ""
) -> Iterator[bytes]:
    """Show a new topic once, when either the reply or the event arrives first."""
    channel = shown_channel(session, chat)
    if channel is not None and channel.topic != text:
        channel.topic, channel.has_topic = text, bool(text)
        channel.topic_by, channel.topic_time = by or session.account, time or session.info.unix_ms()
        line = session.line("TOPIC", channel.name, last=text, source=source or session.mask)
        yield session.happened(line, chat, time)


def names(session: IrcSession, line: Line, answer: Answer) -> Iterator[bytes]:
    """Answer NAMES. Only one end line is written, after the names of all channels."""
    names = targets(line, answer)
    for place, name in enumerate(names, 1):
        end = [_end_of_names(session, ",".join(map(word, names)))] if place == len(names) else []
        write = partial(_list_names, session, word(name), answer, end)
        yield from find_chat(session, name, answer, write, partial(_same, end))


def _same(lines: Lines, failure: Failure) -> Lines:
    return lines


def _list_names(session: IrcSession, name: str, answer: Answer, end: list[bytes], chat: ChatId) -> Lines:
    known = session.channels.get(chat)

    def write(members: list[MemberRole]) -> Lines:
        return _names_lines(session, name, _names(session, members), known.modes if known else "")

    no_list = partial(_same, end)  # users who are no members get no list
    return list_members(session, chat, answer, write, lambda: end, no_list)


def role_line(session: IrcSession, channel: str, nick: str, role: Role, source: str) -> bytes:
    """The MODE line that gives a member `+q` or `+o`, or takes both from it."""
    if role in MODES:
        return session.line("MODE", channel, f"+{MODES[role]}", nick, source=source)
    return session.line("MODE", channel, "-qo", nick, nick, source=source)
