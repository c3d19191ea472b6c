"""Operators: OPER, KILL, WALLOPS."""

from services.edge.canonical.irc_commands import ActAsOperator, BecomeOperator
from services.edge.dialects import credentials
from services.edge.dialects.base import DecodeError
from services.edge.dialects.irc.lines import Line, plain
from services.edge.dialects.irc.names import User, user_of
from services.edge.dialects.irc.session import Answer, IrcSession, Lines
from services.edge.dialects.irc.users import find_user
from shared.contract.ephemeral import OperatorActed
from shared.contract.errors import ErrorCode, Failure


def become_operator(session: IrcSession, line: Line, answer: Answer) -> Lines:
    name, password, *_ = line.parameters

    def done(_: object) -> Lines:
        session.user_modes.add("o")
        return [
            session.numeric("381", last="You are an operator now"),
            session.line("MODE", session.nick, "+o", source=session.mask),
        ]

    def failed(failure: Failure) -> Lines:
        if failure.code is ErrorCode.UNAVAILABLE:
            return [session.fail("OPER", failure)]
        return [session.numeric("464", last="This is no operator, or the password is wrong")]

    try:
        command = BecomeOperator(name, credentials.password(password))
    except DecodeError as error:
        return failed(error.failure)
    return session.request(command, answer, done, failed)


def kill(session: IrcSession, line: Line, answer: Answer) -> Lines:
    nick, *rest = line.parameters

    def found(user: User) -> Lines:
        return _act(session, ActAsOperator(plain(" ".join(rest)), user.account), answer)

    if "o" not in session.user_modes:
        return _not_operator(session)
    return find_user(session, nick, answer, found)


def wall_operators(session: IrcSession, line: Line, answer: Answer) -> Lines:
    """Handle WALLOPS. The text is shown to all users with the mode `w`."""
    return _act(session, ActAsOperator(plain(line.parameters[0])), answer)


def _act(session: IrcSession, command: ActAsOperator, answer: Answer) -> Lines:
    if "o" not in session.user_modes:
        return _not_operator(session)
    return session.request(command, answer, lambda _: ())


def _not_operator(session: IrcSession) -> Lines:
    return [session.numeric("481", last="Only operators may do this")]


def acted(session: IrcSession, event: OperatorActed) -> Lines:
    if "w" not in session.user_modes:
        return ()
    user = user_of(event.account, event.face, session.server)
    return [session.by(user, session.line("WALLOPS", last=event.text, source=user.mask))]
