"""Handles queries about users (WHO, WHOIS, WHOWAS, USERHOST, ISON), and changes of the connection's own user (SETNAME,
AWAY)."""

from collections.abc import Callable, Iterator, Sequence

from services.edge.canonical.commands import FindUsers, GiveState
from services.edge.canonical.irc_commands import ReadStates
from services.edge.canonical.replies import PresenceShown, UsersFound
from services.edge.dialects.irc.lines import Line, fill_lines, plain, word
from services.edge.dialects.irc.names import User, channel_of, fold, is_channel, marks, user_of
from services.edge.dialects.irc.names import user_of_member as member_user
from services.edge.dialects.irc.session import Answer, IrcSession, Lines, targets
from shared.contract.directory import FindByMask, FindNicks, UserFound, UsersOfNicks
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import ListMembers, MemberList, MemberRole
from shared.contract.metadata import ListMetadata, MetadataValue
from shared.contract.model import Role
from shared.contract.session import FindHandle, HandleFound, SetProfile

NO_NICK = "There is no such nick"
OFFLINE = "offline"
"""The text that is shown for a user without a connection."""
PRE_AWAY = "draft/pre-away"
_AWAY_CHARACTERS = 120
_WHOX = "tcuihsnfdlaor"
"""The fields of WHOX in the order in which they are written."""
_LIST_BYTES = 390


def find_users(
    session: IrcSession, nicks: list[str], answer: Answer, done: Callable[[dict[str, User]], Lines]
) -> Lines:
    """Find the users with these nicks. A username is also accepted in place of a nick."""

    def found(reply: UsersOfNicks) -> Lines:
        users = [user_of(one.profile.id, one.profile, session.server) for one in reply.users]
        session.users |= {user.account: user for user in users if user.account in session.users}
        by_nick = {user.nick.lower(): user for user in users}
        known = {nick: by_nick[nick.lower()] for nick in nicks if nick.lower() in by_nick}
        if len(nicks) == 1 and not known:
            return _find_username(session, nicks[0], answer, done)
        return done(known)

    return session.request(FindNicks(list(dict.fromkeys(nicks))), answer, found)


def _find_username(session: IrcSession, name: str, answer: Answer, done: Callable[[dict[str, User]], Lines]) -> Lines:
    def found(reply: UsersFound) -> Lines:
        users = [user_of(one.id, one, session.server) for one in reply.profiles]
        return done({name: users[0]} if users else {})

    return session.request(FindUsers(name), answer, found, session.failing(answer.command, word(name)))


def find_user(
    session: IrcSession,
    nick: str,
    answer: Answer,
    found: Callable[[User], Lines],
    missing: Callable[[], Lines] | None = None,
) -> Lines:
    """Find the user with this nick. Without `missing`, the client is told that there is no such nick."""

    def done(known: dict[str, User]) -> Lines:
        if nick in known:
            return found(known[nick])
        return [no_nick(session, nick)] if missing is None else missing()

    return find_users(session, [nick], answer, done)


def no_nick(session: IrcSession, nick: str) -> bytes:
    return session.numeric("401", word(nick), last=NO_NICK)


def list_members(
    session: IrcSession,
    chat: ChatId,
    answer: Answer,
    write: Callable[[list[MemberRole]], Lines],
    end: Callable[[], Lines],
    failed: Callable[[Failure], Lines],
) -> Lines:
    """List the members of a chat. `write` gets the members of each page, and `end` is called after the last page."""

    def page(found: MemberList) -> Iterator[bytes]:
        yield from write(found.members)
        if found.more:
            session.request(ListMembers(chat, found.members[-1].account), answer, page, failed)
        else:
            yield from end()

    return session.request(ListMembers(chat), answer, page, failed)


def with_states(
    session: IrcSession, accounts: list[AccountId], answer: Answer, done: Callable[[dict[AccountId, str]], Lines]
) -> Lines:
    """Call `done` with the away texts of these accounts. The text is empty for an account that is online and not away,
    and if the states cannot be read now."""

    def shown(reply: PresenceShown) -> Lines:
        return done({one.account: away_text(one.state, one.text) for one in reply.presence})

    if not accounts:
        return done({})
    unread = dict.fromkeys(accounts, "")
    return session.request(ReadStates(tuple(accounts)), answer, shown, lambda failure: done(unread))


def away_text(state: str, text: str) -> str:
    return (text or state) if state in ("away", "busy", "offline") else ""


# WHOIS, WHOWAS


def whois(session: IrcSession, line: Line, answer: Answer) -> Lines:
    name = line.parameters[-1].split(",")[0]
    shown = word(name)

    def found(reply: UsersOfNicks) -> Lines:
        if not reply.users:
            return missing()
        one = reply.users[0]

        def with_away(away: dict[AccountId, str]) -> Lines:
            def described(values: Sequence[MetadataValue] = ()) -> Lines:
                return _describe(session, shown, one, away, values)

            if not session.has("draft/metadata-3"):
                return described()
            request = ListMetadata(one.profile.id)
            return session.request(request, answer, lambda listed: described(listed.values), lambda _: described())

        return with_states(session, [one.profile.id], answer, with_away)

    def missing() -> Lines:
        return [
            no_nick(session, shown), session.numeric("318", shown, last="End of WHOIS"),
        ]  # fmt: skip

    return session.request(FindNicks([name], groups=True), answer, found)


def _describe(
    session: IrcSession,
    shown: str,
    one: UserFound,
    away: dict[AccountId, str],
    metadata: Sequence[MetadataValue],
) -> Iterator[bytes]:
    user = user_of(one.profile.id, one.profile, session.server)
    yield session.numeric("311", user.nick, user.user, user.host, "*", last=user.real_name)
    groups = [
        marks(each.role, speaker=each.speaker and each.role is Role.MEMBER) + channel_of(each.chat)
        for each in one.groups
    ]
    for text in fill_lines(groups, _LIST_BYTES):
        yield session.numeric("319", user.nick, last=text)
    yield session.numeric("312", user.nick, session.server, last=session.info.server.description)
    if away.get(user.account):
        yield session.numeric("301", user.nick, last=away[user.account])
    if user.account_name:
        yield session.numeric("330", user.nick, user.account_name, last="is logged in as")
    modes = session.info.server.user_modes(user.account)
    if "o" in modes:
        yield session.numeric("313", user.nick, last="is an operator")
    if one.profile.bot or "B" in modes:
        yield session.numeric("335", user.nick, last="is a bot")
    for each in metadata:
        yield session.numeric("760", user.nick, each.key, "*", last=each.value)
    yield session.numeric("318", shown, last="End of WHOIS")


def whowas(session: IrcSession, line: Line, answer: Answer) -> Iterator[bytes]:
    """Handle WHOWAS: list the guests that have left or taken another nick, the last one first."""
    nick, count = line.parameters[0].split(",")[0], "".join(line.parameters[1:2])
    most = int(count[:9]) if count.isascii() and count.isdigit() else 0
    past = [user_of(account, face, session.server) for account, face in reversed(session.info.server.past_guests())]
    found = [user for user in past if fold(user.nick) == fold(nick)]
    for user in found[: most or None]:
        yield session.numeric("314", user.nick, user.user, user.host, "*", last=user.real_name)
        yield session.numeric("312", user.nick, session.server, last=session.info.server.description)
    if not found:
        yield session.numeric("406", word(nick), last="Nobody has had this nick")
    yield session.numeric("369", word(nick), last="End of WHOWAS")


# WHO


def list_users(session: IrcSession, line: Line, answer: Answer) -> Lines:
    """Handle WHO: list the users of channels, nicks and masks. `%FIELDS,TOKEN` chooses the columns (WHOX)."""
    fields, token = "", ""
    if len(line.parameters) > 1 and "%" in line.parameters[1]:
        fields, _, token = line.parameters[1].partition("%")[2].partition(",")
    lines: list[bytes] = []
    for name in targets(line, answer):
        lines += _list_users(session, name, _Row(session, fields, word(token)), answer)
    return lines


class _Row:
    """Writes one user as a reply to WHO, or with the fields that the client has chosen (WHOX)."""

    def __init__(self, session: IrcSession, fields: str, token: str) -> None:
        self._session = session
        self._fields = fields
        self._token = token

    def write(self, channel: str, user: User, signs: str, *, away: bool, bot: bool = False) -> bytes:
        session, modes = self._session, self._session.info.server.user_modes(user.account)
        flags = "G" if away else "H"
        flags += ("*" if "o" in modes else "") + ("B" if bot or "B" in modes else "") + session.prefixes(signs)
        if not self._fields:
            return session.numeric(
                "352", channel, user.user, user.host, session.server, user.nick, flags, last=f"0 {user.real_name}"
            )
        values = {
            "t": self._token, "c": channel, "u": user.user, "i": "255.255.255.255", "h": user.host,
            "s": session.server, "n": user.nick, "f": flags, "d": "0", "l": "0", "a": user.account_name or "0",
            "o": "n/a",
        }  # fmt: skip
        shown = [values[field] for field in _WHOX if field in self._fields and field in values]
        return session.numeric("354", *shown, last=user.real_name if "r" in self._fields else None)


def _list_users(session: IrcSession, name: str, row: _Row, answer: Answer) -> Lines:
    shown = word(name)
    end = session.numeric("315", shown, last="End of WHO")
    if not is_channel(name):
        return _list_matching(session, name, row, answer, end)

    def found(chat: ChatId) -> Lines:
        return _list_channel(session, chat, shown, row, answer, end)

    chat = session.find_channel(name)
    if chat is not None:
        return found(chat)
    done: Callable[[HandleFound], Lines] = lambda reply: found(reply.chat)  # noqa: E731
    return session.request(FindHandle(name[1:]), answer, done, lambda failure: [end])


def _list_channel(session: IrcSession, chat: ChatId, shown: str, row: _Row, answer: Answer, end: bytes) -> Lines:
    name = session.channels[chat].name if chat in session.channels else shown

    def page(found: MemberList) -> Lines:
        def write(away: dict[AccountId, str]) -> Iterator[bytes]:
            for one in found.members:
                user, signs = member_user(one, session.server), marks(one.role, speaker=one.speaker)
                yield row.write(name, user, signs, away=bool(away.get(one.account)), bot=one.bot)
            if found.more:
                session.request(ListMembers(chat, found.members[-1].account), answer, page, failed)
            else:
                yield end

        return with_states(session, [one.account for one in found.members], answer, write)

    def failed(failure: Failure) -> Lines:
        return [end]

    return session.request(ListMembers(chat), answer, page, failed)


def _list_matching(session: IrcSession, name: str, row: _Row, answer: Answer, end: bytes) -> Lines:
    def found(reply: UsersOfNicks) -> Lines:
        def write(away: dict[AccountId, str]) -> Iterator[bytes]:
            for one in reply.users:
                user = user_of(one.profile.id, one.profile, session.server)
                yield row.write("*", user, "", away=bool(away.get(user.account)), bot=one.profile.bot)
            yield end

        return with_states(session, [one.profile.id for one in reply.users], answer, write)

    has_wildcard = "*" in name or "?" in name
    command = FindByMask("*" if name == "0" else name) if has_wildcard or name == "0" else FindNicks([name])
    return session.request(command, answer, found, lambda failure: [session.fail("WHO", failure, word(name)), end])


# SETNAME, AWAY, USERHOST, ISON


def set_name(session: IrcSession, line: Line, answer: Answer) -> Lines:
    """Handle SETNAME, which changes the nickname of an account. The nickname of a guest is its nick."""
    text = plain(line.parameters[0])

    def failed(failure: Failure) -> Lines:
        is_invalid = failure.code is ErrorCode.INVALID
        return [session.fail("SETNAME", failure, code="INVALID_REALNAME" if is_invalid else "CANNOT_CHANGE_REALNAME")]

    if not text:
        return failed(Failure(ErrorCode.INVALID, "A name is missing"))
    command = SetProfile(session.account, signature=text) if session.is_guest else SetProfile(session.account, text)
    return session.request(command, answer, lambda _: session.set_real_name(text), failed)


def away(session: IrcSession, line: Line, answer: Answer) -> Lines:
    text = _sent_away(line)

    def done(_: object) -> Lines:
        session.away = text
        return [_shown_away(session)]

    return session.request(GiveState("away" if text else "active", text), answer, done)


def away_before_welcome(session: IrcSession, line: Line, answer: Answer) -> Lines:
    """Handle AWAY before the welcome, when the state is set."""
    session.away = _sent_away(line)
    return [_shown_away(session)]


def _sent_away(line: Line) -> str:
    """The text of AWAY. With `*`, no user is at the client."""
    text = plain(" ".join(line.parameters[:1]))[:_AWAY_CHARACTERS]
    return "away" if text == "*" else text


def _shown_away(session: IrcSession) -> bytes:
    if session.away:
        return session.numeric("306", last="You are away")
    return session.numeric("305", last="You are no longer away")


def user_hosts(session: IrcSession, line: Line, answer: Answer) -> Lines:
    nicks = line.parameters[:5]

    def found(reply: UsersOfNicks) -> Lines:
        users = [user_of(one.profile.id, one.profile, session.server) for one in reply.users]

        def shown(away: dict[AccountId, str]) -> Lines:
            texts = [f"{one.nick}={'-' if away.get(one.account) else '+'}{one.user}@{one.host}" for one in users]
            return [session.numeric("302", last=" ".join(texts))]

        return with_states(session, [one.account for one in users], answer, shown)

    return session.request(FindNicks(nicks), answer, found)


def is_on(session: IrcSession, line: Line, answer: Answer) -> Lines:
    nicks = " ".join(line.parameters).split()[:100]

    def found(reply: UsersOfNicks) -> Lines:
        online = [one.profile.nick for one in reply.users if one.profile.guest]
        # A client takes each line for a whole answer, so nicks that do not fit are left out.
        return [session.numeric("303", last=next(fill_lines(online, _LIST_BYTES), ""))]

    return session.request(FindNicks(nicks), answer, found)
