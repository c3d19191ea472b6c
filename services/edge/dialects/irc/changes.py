"""Handles REDACT, and shows which users are away."""

from services.edge.dialects.irc import reactions
from services.edge.dialects.irc.channels import find_chat
from services.edge.dialects.irc.lines import Line, encode_line, plain, word
from services.edge.dialects.irc.names import is_channel, user_of
from services.edge.dialects.irc.session import Answer, IrcSession, Lines
from services.edge.dialects.irc.users import NO_NICK
from shared.contract.ephemeral import AwayChanged
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import ChatId
from shared.contract.message import ChangeMessage, RecallText

_REASON_CHARACTERS = 300


def away_changed(session: IrcSession, event: AwayChanged) -> Lines:
    user = user_of(event.account, event.face, session.server)
    in_common = any(chat in session.channels for chat in event.chats)
    of_guest = bool(event.face.guest) and session.has("extended-monitor")
    if not session.has("away-notify") or not (in_common or of_guest):
        return ()
    if event.account in session.states:
        session.states[event.account] = event.text
    return [session.line("AWAY", last=event.text or None, source=user.mask)]


# REDACT


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
        session.request(command, answer, lambda _: [done] if session.has(reactions.REDACTION) else (), failed)
        return ()

    def missing(failure: Failure) -> Lines:
        return [session.fail("REDACT", failure, word(target), code="INVALID_TARGET")]

    if is_channel(target):
        return find_chat(session, target, answer, change, missing)
    chat = session.private_chat(target)
    return missing(Failure(ErrorCode.NOT_FOUND, NO_NICK)) if chat is None else change(chat)
