"""Handles the lines that clients send to each other and that are not stored: TAGMSG, and CTCP other than ACTION."""

from collections.abc import Mapping
from typing import NamedTuple

from services.edge.canonical.commands import Command
from services.edge.canonical.irc_commands import RelayTags
from services.edge.dialects.irc import reactions
from services.edge.dialects.irc.channels import find_chat, no_channel, shows
from services.edge.dialects.irc.lines import Line, encode_line, word
from services.edge.dialects.irc.messages import MOST_RECIPIENTS, REPLY_TAGS, check_fits, client_tags, is_quiet
from services.edge.dialects.irc.names import User, is_channel, user_of
from services.edge.dialects.irc.session import Answer, IrcSession, Lines, rejection, targets
from services.edge.dialects.irc.users import find_user, no_nick
from shared.contract.ephemeral import TagsRelayed
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import ListMembers, MemberList
from shared.contract.message import Changed
from shared.contract.model import Role
from shared.contract.session import ChatOpened, OpenPrivateChat

_NO_CTCP = "C"
_REJECTED = "DCC"
_SILENCED = Failure(ErrorCode.FORBIDDEN, "You may not write here")


class _Relayed(NamedTuple):
    """`text`: the text of a CTCP, otherwise empty."""

    tags: Mapping[str, str]
    text: str = ""
    unanswered: bool = False

    def line(self, target: str, source: str, tags: Mapping[str, str]) -> bytes:
        if not self.text:
            return encode_line("TAGMSG", word(target), source=source, tags=tags)
        command = "NOTICE" if self.unanswered else "PRIVMSG"
        return encode_line(command, word(target), last=self.text, source=source, tags=tags)


def tag_message(session: IrcSession, line: Line, answer: Answer) -> Lines:
    tags = client_tags(line) | {name: line.tags[name] for name in REPLY_TAGS if name in line.tags}
    if not session.has("message-tags"):
        raise rejection(answer, "421", "There is no such command", "TAGMSG")
    return session.each(targets(line, answer), lambda target: _relay(session, target, _Relayed(tags), answer))


def send_ctcp(session: IrcSession, line: Line, answer: Answer) -> Lines:
    text, names = line.parameters[1], targets(line, answer, MOST_RECIPIENTS)
    check_fits(session, text, names, answer)
    if text[1:].upper().startswith(_REJECTED):
        raise rejection(answer, "404", "DCC would show your address", *names[:1], code=ErrorCode.FORBIDDEN)
    wanted = _Relayed(client_tags(line), text, answer.command == "NOTICE")
    return session.each(names, lambda target: _relay(session, target, wanted, answer))


def _relay(session: IrcSession, target: str, wanted: _Relayed, answer: Answer) -> Lines:
    def unsent(line: bytes) -> Lines:
        return () if is_quiet(answer) else [line]

    def relay(chat: ChatId, name: str) -> Lines:
        def failed(failure: Failure) -> Lines:
            return unsent(session.numeric("404", word(name), last=failure.words))

        def permitted() -> Lines:
            command, tags = _command(session, wanted, chat)

            def done(reply: object) -> Lines:
                lines = _echo(session, name, wanted, tags)
                if not isinstance(reply, Changed):
                    return lines
                return [session.happened(line, chat, reply.time, reply.rev) for line in lines]

            return session.request(command, answer, done, failed)

        def found(own: MemberList) -> Lines:
            return permitted() if _may_write(session, own) else failed(_SILENCED)

        channel = session.channels.get(chat)
        if not wanted.text or not is_channel(target):
            return permitted()
        if channel is not None and _NO_CTCP in channel.modes:
            return failed(Failure(ErrorCode.FORBIDDEN, "This channel takes no CTCP"))
        return session.request(ListMembers(chat, after=AccountId(session.account - 1), count=1), answer, found, failed)

    if is_channel(target):
        missing = unsent(no_channel(session, target))
        return find_chat(session, target, answer, lambda chat: relay(chat, target), lambda _: missing)

    def user_found(user: User) -> Lines:
        if user.account == session.account:
            answer.follow([wanted.line(user.nick, session.mask, _shown(session, wanted.tags))])
            return _echo(session, user.nick, wanted, wanted.tags)

        def opened(reply: ChatOpened) -> Lines:
            session.users[user.account] = user
            return relay(reply.chat, user.nick)

        unopened = lambda failure: unsent(session.fail(answer.command, failure))  # noqa: E731
        return session.request(OpenPrivateChat(user.account), answer, opened, unopened)

    return find_user(session, target, answer, user_found, lambda: unsent(no_nick(session, target)))


def _command(session: IrcSession, wanted: _Relayed, chat: ChatId) -> tuple[Command, Mapping[str, str]]:
    """Return the command, and the tags that the sender sees. Raises DecodeError."""
    meant = reactions.command_of(wanted.tags, chat) if not wanted.text else None
    if meant is not None:
        return meant, wanted.tags
    tags = {**wanted.tags, "msgid": f"{session.account}.{session.info.unix_ms()}.{session.new_batch()}"}
    return RelayTags(chat, tags, wanted.text, wanted.unanswered), tags


def _may_write(session: IrcSession, own: MemberList) -> bool:
    """Whether the account may write in the group. `own`: the member list with only this account."""
    member = own.members[0] if own.members else None
    if member is None or member.account != session.account:
        return False
    now, exempt = session.info.unix_ms(), member.role is not Role.MEMBER or member.speaker
    return member.silenced <= now and (exempt or own.silenced <= now)


def _echo(session: IrcSession, target: str, wanted: _Relayed, tags: Mapping[str, str]) -> Lines:
    return [wanted.line(target, session.mask, _shown(session, tags))] if session.has("echo-message") else ()


def _shown(session: IrcSession, tags: Mapping[str, str]) -> Mapping[str, str]:
    return tags if session.has("message-tags") else {}


def relayed(session: IrcSession, event: TagsRelayed) -> Lines:
    if not session.has("message-tags") and not event.text:
        return ()
    if not shows(session, event.chat):
        return ()
    user, channel = user_of(event.account, event.face, session.server), session.channels.get(event.chat)
    wanted = _Relayed(event.tags, event.text, event.unanswered)
    return [wanted.line(channel.name if channel else session.nick, user.mask, _shown(session, event.tags))]
