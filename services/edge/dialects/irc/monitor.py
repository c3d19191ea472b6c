"""Handles MONITOR, which shows a client which nicks are online.

Guests announce that they come and leave. Of users with an account, the client is shown the presence that native shows:
that of friends and of members of private chats."""

from collections.abc import Callable, Iterable, Iterator

from services.edge.canonical.commands import WatchAccounts
from services.edge.canonical.irc_commands import MonitorNicks
from services.edge.canonical.replies import PresenceShown
from services.edge.dialects.irc.lines import Line, fill_lines, word
from services.edge.dialects.irc.names import NICK_CHARACTERS, User, account_of, fold, user_of
from services.edge.dialects.irc.session import Answer, IrcSession, Lines
from services.edge.dialects.irc.users import OFFLINE, away_text
from shared.contract.directory import FindNicks, UsersOfNicks
from shared.contract.ephemeral import NickSeen, PresenceChanged
from shared.contract.ids import AccountId
from shared.irc_names import is_nick

MOST_MONITORED = 100
_BYTES = 300


def monitor(session: IrcSession, line: Line, answer: Answer) -> Lines:
    action, *rest = line.parameters
    nicks = [nick for nick in ",".join(rest).split(",") if nick]
    match action.upper():
        case "+":
            return _add(session, nicks, answer)
        case "-":
            _set(session, {key: nick for key, nick in session.monitored.items() if key not in map(fold, nicks)}, answer)
        case "C":
            _set(session, {}, answer)
        case "L":
            lines = fill_lines(session.monitored.values(), _BYTES, ",")
            return [
                *(session.numeric("732", last=text) for text in lines),
                session.numeric("733", last="End of the monitored nicks"),
            ]
        case "S":
            return _show_here(session, list(session.monitored.values()), answer)
    return ()


def _add(session: IrcSession, nicks: list[str], answer: Answer) -> Iterator[bytes]:
    valid = [nick for nick in nicks if is_nick(nick) or (account_of(nick) and len(nick) <= NICK_CHARACTERS)]
    yield from _lines(session, "731", (word(nick) for nick in nicks if nick not in valid))
    wanted = session.monitored | {fold(nick): nick for nick in valid}
    if len(wanted) > MOST_MONITORED:
        yield session.numeric("734", MOST_MONITORED, ",".join(map(word, nicks)), last="The list is full")
        return
    _set(session, wanted, answer)
    yield from _show_here(session, valid, answer)


def _set(session: IrcSession, monitored: dict[str, str], answer: Answer) -> None:
    session.monitored = monitored
    session.request(MonitorNicks(frozenset(monitored)), answer, lambda _: ())
    kept = {one: user for one, user in session.watched.items() if fold(user.nick) in monitored}
    if kept.keys() != session.watched.keys():
        _watch(session, kept, answer)


def _watch(
    session: IrcSession, users: dict[AccountId, User], answer: Answer, done: Callable[[], Lines] = tuple
) -> None:
    """Watch these users. `done` is called when their states are known, or cannot be read now."""

    def shown(reply: PresenceShown) -> Iterator[bytes]:
        for one in reply.presence:
            yield from presence_changed(session, one)
        yield from done()

    session.watched = users
    session.states = {one: text for one, text in session.states.items() if one in users}
    session.request(WatchAccounts(tuple(users)), answer, shown, lambda failure: done())


def presence_changed(session: IrcSession, event: PresenceChanged) -> Iterator[bytes]:
    user = session.watched.get(event.account)
    if user is None:
        return
    before = session.states.pop(event.account, OFFLINE)
    now = OFFLINE if event.state == "unknown" else away_text(event.state, event.text)
    if now != OFFLINE:
        session.states[event.account] = now
    if (before == OFFLINE) is not (now == OFFLINE):
        yield from _lines(session, "731" if now == OFFLINE else "730", [user.nick if now == OFFLINE else user.mask])
    shows_away = session.has("extended-monitor") and session.has("away-notify")
    if shows_away and now != before and OFFLINE not in (now, before):
        yield session.line("AWAY", last=now or None, source=user.mask)


def _show_here(session: IrcSession, nicks: list[str], answer: Answer) -> Lines:
    """Show which of these nicks are online. A user whose presence the account must not see counts as offline."""
    if not nicks:
        return ()

    def found(reply: UsersOfNicks) -> Lines:
        users = [user_of(one.profile.id, one.profile, session.server) for one in reply.users]
        guests = [user for user in users if not user.account_name]
        others = {user.account: user for user in users if user.account_name}

        def missing() -> Iterator[bytes]:
            here = {fold(user.nick) for user in users if user in guests or user.account in session.states}
            yield from _lines(session, "731", (nick for nick in nicks if fold(nick) not in here))

        lines = list(_lines(session, "730", (user.mask for user in guests)))
        if not others:
            return [*lines, *missing()]
        for account in others:
            session.states.pop(account, None)  # so that the reply shows the user again
        _watch(session, session.watched | others, answer, missing)
        return lines

    return session.request(FindNicks(nicks), answer, found)


def _lines(session: IrcSession, numeric: str, words: Iterable[str]) -> Iterator[bytes]:
    for text in fill_lines(words, _BYTES, ","):
        yield session.numeric(numeric, last=text)


def seen(session: IrcSession, event: NickSeen) -> Lines:
    user = user_of(event.account, event.face, session.server)
    nick = session.monitored.get(fold(user.nick))
    if nick is None:
        return ()
    if event.described:
        return session.real_name_line(user) if session.has("extended-monitor") else ()
    return _lines(session, "730" if event.online else "731", [user.mask if event.online else user.nick])
