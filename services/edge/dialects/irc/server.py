"""Lines about the server: the welcome once the account is known, the answers to queries about the server, and the last
line of a connection."""

from collections.abc import Iterator
from datetime import UTC, datetime

from services.edge.canonical.commands import GiveState
from services.edge.dialects.base import Disconnect
from services.edge.dialects.irc import webpush
from services.edge.dialects.irc.channels import show_channel
from services.edge.dialects.irc.lines import Line, encode_line, plain, word
from services.edge.dialects.irc.membership import MOST_KICKED
from services.edge.dialects.irc.metadata import show_own
from services.edge.dialects.irc.names import CHANNEL_CHARACTERS, NICK_CHARACTERS, user_of
from services.edge.dialects.irc.session import MOST_TARGETS, NOBODY, Answer, IrcSession, Lines
from services.edge.dialects.irc.subscriptions import CAPABILITY
from shared.contract.auth import DeleteAccount
from shared.contract.session import AccountView, GetAccount

EXTENDED_ISUPPORT = "draft/extended-isupport"
HISTORY_MESSAGES = 500
_TOKENS_PER_LINE = 13
_SUBJECTS = frozenset(
    {"JOIN", "PART", "LIST", "PRIVMSG", "NOTICE", "WHOIS", "WHO", "MONITOR", "CHATHISTORY", "PING", "INDEX"}
)
_HELP = (
    "JOIN #group, PART #group, LIST: groups. MSG and NOTICE: messages.",
    "WHOIS, WHO, MONITOR: users. CHATHISTORY: earlier messages.",
)


def request_welcome(session: IrcSession, answer: Answer) -> Lines:
    if session.has(webpush.CAPABILITY):
        webpush.learn_key(session, answer)
    return session.request(
        GetAccount(session.account, lists=True),
        answer,
        lambda view: _welcome(session, view, answer),
        lambda failure: [session.fail(NOBODY, failure), *goodbye(session, failure.words)],
    )


def _welcome(session: IrcSession, view: AccountView, answer: Answer) -> Iterator[bytes]:
    """The lines of the welcome. If the connection logs in to another account later, only the lines of that account's
    groups are written."""
    yield from session.rename(user_of(session.account, view.profile, session.server))
    session.is_guest = bool(view.profile.guest)
    if not session.welcomed:
        session.welcomed = True
        yield from _greetings(session)
        if session.away:
            session.request(GiveState("away", session.away), answer, lambda _: ())
        if session.has(CAPABILITY):
            show_own(session, answer)
    for chat in view.chats or ():
        if chat not in session.channels and chat not in session.partners:
            show_channel(session, chat, answer, silent=True)


def _greetings(session: IrcSession) -> Iterator[bytes]:
    build, server = session.info.server.build or "0", session.server
    yield session.numeric("001", last=f"Welcome to Dragoman, {session.nick}")
    yield session.numeric("002", last=f"Your host is {server}, running version dragoman-{word(build)}")
    yield session.numeric("003", last="This server stores the messages that you miss")
    yield session.numeric("004", server, f"dragoman-{word(build)}", "Biow", "beiklmnostqvCI", "beIklovq")
    yield from supported(session)
    yield session.numeric("422", last="There is no message of the day")


def supported(session: IrcSession) -> Iterator[bytes]:
    tokens = list(_tokens(session))
    for start in range(0, len(tokens), _TOKENS_PER_LINE):
        yield session.numeric("005", *tokens[start : start + _TOKENS_PER_LINE], last="are supported by this server")


def list_supported(session: IrcSession, line: Line, answer: Answer) -> Lines:
    lines = supported(session)
    return session.batch("draft/isupport", lines) if session.has("batch") else lines


def _tokens(session: IrcSession) -> Iterator[str]:
    limits, many = session.info.limits, ",".join(f"{each}:{MOST_TARGETS}" for each in ("NAMES", "JOIN", "PART", "WHO"))
    yield from (
        "NETWORK=Dragoman", "CASEMAPPING=ascii", "CHANTYPES=#", "PREFIX=(qov)~@+", "CHANMODES=beI,k,l,Cimnst",
        "EXCEPTS", "INVEX", "EXTBAN=,am", "ACCOUNTEXTBAN=a", "ELIST=CMNTU", "BOT=B", "MONITOR=100", "STATUSMSG=",
        "MAXLIST=beI:100", "AWAYLEN=120", f"KICKLEN={300}", f"USERLEN={10}",
        f"NICKLEN={NICK_CHARACTERS}", f"CHANNELLEN={CHANNEL_CHARACTERS}", f"TOPICLEN={limits.topic_characters}",
        "MODES=50", f"TARGMAX=PRIVMSG:4,NOTICE:4,{many},WHOIS:1,KICK:{MOST_KICKED}", "UTF8ONLY", "WHOX", "SAFELIST",
        f"CHATHISTORY={HISTORY_MESSAGES}", "MSGREFTYPES=msgid,timestamp", "draft/ACCOUNTREQUIRED",
    )  # fmt: skip
    if not session.is_guest:
        yield f"soju.im/FILEHOST={session.info.base_url}/media/filehost"
    if session.info.server.icon:
        yield f"draft/ICON={session.info.server.icon}"
    if session.push_key:
        yield f"VAPID={session.push_key}"


def quit_server(session: IrcSession, line: Line, answer: Answer) -> Lines:
    """Handle QUIT: end the connection. The account of a guest is deleted before the last line is written, so that its
    nick is free afterwards."""
    reason = plain(" ".join(line.parameters[:1]))
    text = f"Closing the connection: {reason or 'bye'}"
    if not session.is_guest:
        return goodbye(session, text)
    session.leaving = True
    end = lambda _: goodbye(session, text)  # noqa: E731
    return session.request(
        DeleteAccount(reason=f"Quit: {reason}" if reason else "Quit", of_guest=True), answer, end, end
    )


def goodbye(session: IrcSession, text: str) -> Lines:
    """The last line. The connection closes after this line."""
    session.ended = True
    session.follow_ups.append(Disconnect())
    return [encode_line("ERROR", last=text)]


# Answers


def message_of_the_day(session: IrcSession, line: Line, answer: Answer) -> Lines:
    return [session.numeric("422", last="There is no message of the day")]


def server_time(session: IrcSession, line: Line, answer: Answer) -> Lines:
    now = session.info.unix_ms() // 1000
    shown = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return [session.numeric("391", session.server, now, "0", last=shown)]


def version(session: IrcSession, line: Line, answer: Answer) -> Lines:
    build = word(session.info.server.build or "0")
    return [session.numeric("351", f"dragoman-{build}", session.server, last="Dragoman"), *supported(session)]


def info(session: IrcSession, line: Line, answer: Answer) -> Lines:
    if line.parameters and line.parameters[0].lower() not in (session.server.lower(), session.nick.lower()):
        return [session.numeric("402", word(line.parameters[0]), last="There is no such server")]
    return [session.numeric("371", last="Dragoman, one server for many protocols"), session.numeric("374", last="End")]


def users(session: IrcSession, line: Line, answer: Answer) -> Lines:
    """Handle LUSERS: answer with the number of users on this edge."""
    now = session.info.server.users()
    return [
        session.numeric("251", last=f"There are 0 users and {now} invisible on 1 servers"),
        session.numeric("255", last=f"I have {now} clients and 0 servers"),
        session.numeric("265", last=f"Current local users {now}"),
        session.numeric("266", last=f"Current global users {now}"),
    ]


def links(session: IrcSession, line: Line, answer: Answer) -> Lines:
    return [
        session.numeric("364", session.server, session.server, last=f"0 {session.info.server.description}"),
        session.numeric("365", "*", last="End of LINKS"),
    ]


def help_text(session: IrcSession, line: Line, answer: Answer) -> Lines:
    subject = word(line.parameters[0]) if line.parameters else "*"
    if line.parameters and subject.upper() not in _SUBJECTS:
        return [session.numeric("524", subject, last="There is no help about this")]
    first, *rest = _HELP
    return [
        session.numeric("704", subject, last=first), *(session.numeric("705", subject, last=text) for text in rest),
        session.numeric("706", subject, last="End of help"),
    ]  # fmt: skip


def admin(session: IrcSession, line: Line, answer: Answer) -> Lines:
    return [session.numeric("423", session.server, last="The operator has published no address")]


def stats(session: IrcSession, line: Line, answer: Answer) -> Lines:
    mode = word(line.parameters[0]) if line.parameters else "*"
    return [session.numeric("219", mode, last="End of STATS")]
