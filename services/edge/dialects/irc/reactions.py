"""Handles the TAGMSG tags that mean the same in all dialects: reactions and typing. Handles REDACT. Shows
reactions, typing and REDACT to IRC clients."""

from collections.abc import Callable, Mapping

from services.edge.canonical.commands import AnnounceTyping, ShowProfiles
from services.edge.canonical.events import MessageChanged
from services.edge.canonical.replies import UsersFound
from services.edge.dialects import validation
from services.edge.dialects.irc.channels import find_chat, shows
from services.edge.dialects.irc.lines import Line, encode_line, plain, word
from services.edge.dialects.irc.messages import REPLY_TAGS, replied_index
from services.edge.dialects.irc.names import User, is_channel, user_of
from services.edge.dialects.irc.session import Answer, IrcSession, Lines
from services.edge.dialects.irc.users import NO_NICK
from shared.contract.ephemeral import Typing
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ChangeKind, ChangeMessage, MessageChange, React, RecallText
from shared.contract.model import ProfileSummary
from shared.irc_names import message_id

REDACTION = "draft/message-redaction"
_REASON_CHARACTERS = 300
_REACT, _UNREACT, _TYPING = "+draft/react", "+draft/unreact", "+typing"


def command_of(tags: Mapping[str, str], chat: ChatId) -> ChangeMessage | AnnounceTyping | None:
    """Return the command for tags that mean the same in all dialects. None for tags that only IRC has, such as a
    reaction without a message. Raises DecodeError."""
    index, emoji = replied_index(tags, chat), tags.get(_REACT) or tags.get(_UNREACT)
    if index and emoji:
        return ChangeMessage(chat, index, React(validation.reaction(emoji), bool(tags.get(_REACT))))
    return AnnounceTyping(chat, tags[_TYPING] == "active") if tags.keys() == {_TYPING} else None


def message_changed(session: IrcSession, event: MessageChanged) -> Lines:
    change = event.shown.change
    if not shows(session, change.chat):
        return ()
    if change.kind is ChangeKind.RECALL and session.has(REDACTION):
        return _show_by(session, change.by, event.shown.summary, lambda by: _recalled(session, change, by))
    if change.kind is ChangeKind.REACTION and change.emoji and session.has("message-tags"):
        return _show_by(session, change.by, event.shown.summary, lambda by: _reacted(session, change, by))
    return ()


def _recalled(session: IrcSession, change: MessageChange, by: User) -> Lines:
    name, target = message_id(change.chat, change.index), _target(session, change.chat, by.account)
    return [session.line("REDACT", target, name, last=change.reason or None, source=by.mask)]


def _reacted(session: IrcSession, change: MessageChange, by: User) -> Lines:
    tags = dict.fromkeys(REPLY_TAGS, message_id(change.chat, change.index))
    tags[_REACT if change.on else _UNREACT] = change.emoji
    line = encode_line("TAGMSG", _target(session, change.chat, by.account), source=by.mask, tags=tags)
    return [session.happened(line, change.chat, change.time, change.rev)]


def typing(session: IrcSession, event: Typing) -> Lines:
    if not session.has("message-tags") or not shows(session, event.chat):
        return ()
    return _show_by(session, event.account, event.face, lambda by: _types(session, event, by))


def _types(session: IrcSession, event: Typing, by: User) -> Lines:
    tags = {_TYPING: "active" if event.ttl_ms else "done"}
    return [encode_line("TAGMSG", _target(session, event.chat, by.account), source=by.mask, tags=tags)]


def _target(session: IrcSession, chat: ChatId, by: AccountId) -> str:
    """The name of the chat in a line about an action of the account `by`."""
    if chat in session.partners:
        return session.user_for(session.partners[chat]).nick if by == session.account else session.nick
    return session.channel_name(chat)


def _show_by(
    session: IrcSession, account: AccountId, face: ProfileSummary | None, show: Callable[[User], Lines]
) -> Lines:
    """Show an action of an account. `face`: its profile summary. Without it, the account's names are requested
    first."""
    if account == session.account:
        return show(session.user)
    if face is not None:
        return show(user_of(account, face, session.server))

    def found(users: UsersFound) -> Lines:
        profiles = users.profiles
        return show(user_of(account, profiles[0], session.server) if profiles else session.user_for(account))

    return session.request(ShowProfiles((account,)), Answer(), found, lambda _: show(session.user_for(account)))


def redact(session: IrcSession, line: Line, answer: Answer) -> Lines:
    target, name, *rest = line.parameters
    reason = plain(rest[0])[:_REASON_CHARACTERS] if rest else ""

    def failed(failure: Failure) -> Lines:
        codes = {ErrorCode.FORBIDDEN: "REDACT_FORBIDDEN", ErrorCode.NOT_FOUND: "UNKNOWN_MSGID"}
        words = (word(target), word(name))
        return [session.fail("REDACT", failure, *words, code=codes.get(failure.code, ""))]

    def change(chat: ChatId) -> Lines:
        number, _, index = name.partition("-")
        if number != str(chat) or not (index.isascii() and index.isdigit() and len(index) < 16):
            return failed(Failure(ErrorCode.NOT_FOUND, "There is no such message"))
        shown = session.channel_name(chat) if is_channel(target) else word(target)
        done = encode_line("REDACT", shown, name, last=reason or None, source=session.mask)
        command = ChangeMessage(chat, int(index), RecallText(reason))
        return session.request(command, answer, lambda _: [done] if session.has(REDACTION) else (), failed)

    missing = session.failing("REDACT", word(target), code="INVALID_TARGET")
    if is_channel(target):
        return find_chat(session, target, answer, change, missing)
    chat = session.private_chat(target)
    return missing(Failure(ErrorCode.NOT_FOUND, NO_NICK)) if chat is None else change(chat)
