"""Joining and leaving groups: JOIN, PART, KICK, INVITE."""

from collections.abc import Iterator
from functools import partial

from services.edge.dialects.irc.channels import (
    failed_in,
    failing_in,
    find_chat,
    hide,
    no_channel,
    not_in,
    show_channel,
    show_described,
    show_hidden,
)
from services.edge.dialects.irc.lines import Line, plain, word
from services.edge.dialects.irc.names import User, channel_of
from services.edge.dialects.irc.session import Answer, IrcSession, Lines, rejection, targets
from services.edge.dialects.irc.users import find_user, find_users, no_nick
from shared.contract.errors import ErrorCode, Failure, Reason
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import (
    EndMembership,
    Invite,
    InvitedChats,
    ListInvitations,
    MembershipRequested,
    RequestMembership,
    SetChat,
)
from shared.contract.model import JoinPolicy
from shared.contract.session import CreateChat

MOST_KICKED = 4
"""The most users that one KICK line removes."""
_REASON_CHARACTERS = 300
_CREATORS = {
    "accounts": "There is no such channel, and guests create none",
    "operators": "There is no such channel, and only operators create channels",
}


def join(session: IrcSession, line: Line, answer: Answer) -> Iterator[bytes]:
    names, keys = ([*text.split(",")] for text in [*line.parameters, ""][:2])
    key_of = dict([*zip(names, keys, strict=False)][::-1])
    for name in targets(line, answer):
        if name == "0":
            yield session.numeric("403", "0", last="JOIN 0 would leave all groups for ever: use PART")
        else:
            yield from _join(session, name, key_of.get(name, ""), answer)


def _join(session: IrcSession, name: str, key: str, answer: Answer) -> Lines:
    def found(chat: ChatId) -> Lines:
        channel = session.channels.get(chat)
        if channel is None or channel.ended:
            session.channels.pop(chat, None)
            return _request_membership(session, chat, name, key, answer)
        return show_hidden(session, chat, answer) if channel.hidden else ()

    return find_chat(session, name, answer, found, lambda failure: _create(session, name, answer))


def _create(session: IrcSession, name: str, answer: Answer) -> Lines:
    if not name.startswith("#"):
        return [no_channel(session, name)]
    if not _may_create(session):
        return [session.numeric("403", word(name), last=_CREATORS[session.info.server.creators])]
    handle = name[1:]

    def made_meanwhile(chat: ChatId) -> Lines:
        return _request_membership(session, chat, name, "", answer)

    def failed(failure: Failure) -> Lines:
        if failure.code is ErrorCode.CONFLICT:
            return find_chat(session, name, answer, made_meanwhile)
        code = "403" if failure.code is ErrorCode.INVALID else "405"
        return [session.numeric(code, word(name), last=failure.words)]

    command = CreateChat([], handle, join_policy=JoinPolicy.OPEN, handle=handle)
    return session.request(command, answer, lambda view: show_described(session, view, answer), failed)


def _may_create(session: IrcSession) -> bool:
    match session.info.server.creators:
        case "operators":
            return "o" in session.user_modes
        case "accounts":
            return not session.is_guest
    return True


def _request_membership(session: IrcSession, chat: ChatId, name: str, key: str, answer: Answer) -> Lines:
    def done(reply: MembershipRequested) -> Lines:
        if reply.joined:
            return show_channel(session, chat, answer)
        text = "This group has to accept you: your request is sent, and you will join once it is accepted"
        return [session.numeric("473", word(name), last=text)]

    def failed(failure: Failure) -> Lines:
        if failure.code is ErrorCode.CONFLICT:  # the user is a member already
            return show_hidden(session, chat, answer)
        numeric = {Reason.BANNED: "474", Reason.WRONG_KEY: "475"}.get(Reason(failure.reason)) if failure.reason else ""
        others = {ErrorCode.FORBIDDEN: "473", ErrorCode.NOT_FOUND: "403", ErrorCode.LIMIT: "471"}
        if found := numeric or others.get(failure.code):
            return [session.numeric(found, word(name), last=failure.words)]
        return [session.fail(answer.command, failure, word(name))]

    return session.request(RequestMembership(chat, key=key), answer, done, failed)


def part(session: IrcSession, line: Line, answer: Answer) -> Iterator[bytes]:
    """Leave an open group. If the account could not return to a group without help, the group is only hidden."""
    reason = " ".join(line.parameters[1:2])
    for name in targets(line, answer):
        yield from find_chat(session, name, answer, partial(_part, session, name, reason, answer))


def _part(session: IrcSession, name: str, reason: str, answer: Answer, chat: ChatId) -> Iterator[bytes]:
    channel = session.channels.get(chat)
    if channel is None or channel.hidden:
        yield not_in(session, name)
    elif channel.invited and not channel.ownerless and reason != "leave":
        hide(session, chat, answer)
    else:
        _end_membership(session, chat, session.account, answer, name, reason=reason)


def kick(session: IrcSession, line: Line, answer: Answer) -> Lines:
    """Remove users. The line names several users of one channel, or one channel for each user."""
    names, nicks, *rest = line.parameters
    reason = plain(rest[0]) if rest and rest[0] else session.nick
    wanted, channels = nicks.split(","), names.split(",")
    if len(wanted) > MOST_KICKED:
        raise rejection(answer, "407", f"At most {MOST_KICKED} targets", nicks, code=ErrorCode.LIMIT)
    if len(channels) == 1:
        return _kick(session, names, wanted, reason, answer)
    pairs = zip(channels, wanted, strict=False)
    return [one for name, nick in pairs for one in _kick(session, name, [nick], reason, answer)]


def _kick(session: IrcSession, name: str, wanted: list[str], reason: str, answer: Answer) -> Lines:
    def found(chat: ChatId) -> Lines:
        def users(known: dict[str, User]) -> Iterator[bytes]:
            for nick in wanted:
                if nick in known:
                    _end_membership(session, chat, known[nick].account, answer, name, nick, reason)
                else:
                    yield no_nick(session, nick)

        return find_users(session, wanted, answer, users)

    return find_chat(session, name, answer, found)


def _end_membership(
    session: IrcSession,
    chat: ChatId,
    account: AccountId,
    answer: Answer,
    name: str,
    nick: str = "",
    reason: str = "",
) -> None:
    def done(_: object) -> Lines:
        channel = session.channels.get(chat)
        if account != session.account or channel is None or not channel.shown:
            return ()  # a later event shows this to the client
        channel.shown, channel.hidden, channel.ended = False, True, True
        return [session.own("PART", channel.name, last=reason or None)]

    failed = failing_in(session, answer, name, nick)
    session.request(EndMembership(chat, account, reason=reason[:_REASON_CHARACTERS]), answer, done, failed)


def rename(session: IrcSession, line: Line, answer: Answer) -> Lines:
    """Give a group another handle. The client sees the change when the event arrives."""
    name, new, *rest = line.parameters

    def failed(failure: Failure) -> Lines:
        if failure.code is ErrorCode.CONFLICT:
            return [session.fail("RENAME", failure, word(name), word(new), code="CHANNEL_NAME_IN_USE")]
        if failure.code is ErrorCode.FORBIDDEN:
            return [failed_in(session, failure, answer, name)]
        return [session.fail("RENAME", failure, word(name), word(new), code="CANNOT_RENAME")]

    def found(chat: ChatId) -> Lines:
        reason = plain("".join(rest[:1]))[:_REASON_CHARACTERS]
        return session.request(SetChat(chat, handle=new[1:], reason=reason), answer, lambda _: (), failed)

    if not new.startswith("#") or len(new) < 2:
        return failed(Failure(ErrorCode.INVALID, "A channel begins with # and has a name"))
    return find_chat(session, name, answer, found)


def invite(session: IrcSession, line: Line, answer: Answer) -> Lines:
    if not line.parameters:
        return session.request(ListInvitations(), answer, lambda reply: _invitations(session, reply))
    if len(line.parameters) < 2:
        raise rejection(answer, "461", "A parameter is missing", "INVITE")
    nick, name, *_ = line.parameters

    def found(chat: ChatId) -> Lines:
        def invite_user(user: User) -> Lines:
            done = session.numeric("341", user.nick, word(name))
            return session.request(Invite(chat, user.account), answer, lambda _: [done], failed)

        def failed(failure: Failure) -> Lines:
            if failure.code is ErrorCode.CONFLICT:
                return [session.numeric("443", word(nick), word(name), last="is in this channel already")]
            return [failed_in(session, failure, answer, name)]

        return find_user(session, nick, answer, invite_user)

    return find_chat(session, name, answer, found)


def _invitations(session: IrcSession, found: InvitedChats) -> Iterator[bytes]:
    for chat in found.chats:
        yield session.numeric("336", channel_of(chat))
    yield session.numeric("337", last="End of the invitations")
