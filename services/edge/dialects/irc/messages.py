"""Encodes messages as lines, and handles the lines that send messages.

A message is encoded once for all connections of a variant. So its lines name the chat by its number, as `#~5` or `|34`.
For each connection, `addressed` then replaces the number by the name that the connection has for the chat.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Final, NamedTuple

from msgspec.structs import replace

from services.edge.canonical.commands import PostMessage
from services.edge.canonical.frames import Outgoing
from services.edge.canonical.replies import DisplayMessage, MessageAccepted
from services.edge.dialects import validation
from services.edge.dialects.base import Request
from services.edge.dialects.irc.channels import find_chat
from services.edge.dialects.irc.lines import (
    LINE_BYTES,
    Line,
    cut_text,
    cut_whole,
    encode_line,
    escape,
    one_line,
    plain,
    with_tag,
    word,
)
from services.edge.dialects.irc.marks import JOINED, Mark, is_marked, read_mark
from services.edge.dialects.irc.names import (
    CHANNEL_CHARACTERS,
    User,
    account_of,
    fold,
    is_channel,
    is_nickserv,
    unknown_user,
    user_of,
)
from services.edge.dialects.irc.session import Answer, IrcSession, Lines, Sent, rejection, targets
from services.edge.dialects.irc.users import NO_NICK, OFFLINE, find_users, with_states
from services.edge.dialects.text_fallback import only_text, readable_size, render_segment
from shared.clock import utc_time
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import File, Image, Media, Mention, RichSegment, Text
from shared.contract.session import ChatOpened, OpenPrivateChat
from shared.irc_names import message_id
from shared.message_event import media_url
from shared.setting_types import Language

MOST_RECIPIENTS = 4
_NO_SERVICES = "Log in by SASL, or by the server password USERNAME:PASSWORD. /quote REGISTER * * PASSWORD registers"
_ACTION, _CTCP_END = "\x01ACTION ", "\x01"
_ME: Final = "/me "
_SENT_ACTION = re.compile(r"\x01ACTION(?: (.*?))?\x01?", re.DOTALL)
_MESSAGE: Final = re.compile(rb"(?:@[^ ]* )?:[^ ]* (?:PRIVMSG|NOTICE) [^ ]* :(?:\x01ACTION )?")
_DATE_BYTES = len("[11-28 12:04] ")
_FRAME_BYTES: Final = len(": PRIVMSG  :") + len(_ACTION) + len(_CTCP_END) + CHANNEL_CHARACTERS + _DATE_BYTES
MESSAGES_UNDER_WAY = 256
_SHOWN_AWAY = 256
"""The number of users for whom a connection remembers when it was told that they are away."""
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_MEDIA_ID = re.compile(r"[0-9a-f]{32}")
REPLY_TAGS = ("+draft/reply", "+reply")
_CLIENT_TAG = re.compile(r"\+(?:[A-Za-z0-9.-]+/)?[A-Za-z0-9-]+")
_FIRST_TAGS = frozenset({"msgid", *REPLY_TAGS})
"""The tags that only the first line of a message has."""
_BATCH: Final = re.compile(rb"(?:@[^ ]* )?:[^ ]* BATCH \+[^ ]* draft/multiline (?P<target>[^ ]*)")
_PLAIN: Final = re.compile(r"(?:@label=([^ ;\\]{1,64}) )?PRIVMSG (#[^ ,]+) :(.+)", re.IGNORECASE)


class MessageStyle(NamedTuple):
    """The properties that connections of one variant share. `times`, `accounts`, `ids`: whether lines have the tags
    `time`, `account`, `msgid`. `batches`: whether a message of several lines is sent as a batch."""

    server: str
    base_url: str
    language: Language
    times: bool = False
    accounts: bool = False
    ids: bool = False
    batches: bool = False


# Out


def encode_message(shown: DisplayMessage, style: MessageStyle) -> tuple[bytes, ...]:
    """Encode a message. Most messages are one ordinary text and take a short path, whose result must be the same as
    with `_encode`."""
    text = only_text(shown.segments)
    if text is None or shown.rich is not None or shown.dialect or not text.isprintable() or text.startswith(_ME):
        return tuple(_encode(shown, style))
    user, message, data = _sender(shown, style), shown.message, text.encode()
    source = user.mask
    if not 0 < len(data) <= LINE_BYTES - _FRAME_BYTES - len(source):
        return tuple(_encode(shown, style))
    tags = f";time={utc_time(message.time)}" if style.times else ""
    if style.accounts and user.account_name:
        tags = f"{tags};account={escape(user.account_name)}"
    if style.ids:
        tags = f"{tags};msgid={message_id(message.chat, message.index)}"
    before = f"@{tags[1:]} :{source}" if tags else f":{source}"
    return (f"{before} PRIVMSG {_numbered_target(shown)} :".encode() + data,)


def _encode(shown: DisplayMessage, style: MessageStyle) -> Iterator[bytes]:
    message, user, target = shown.message, _sender(shown, style), _numbered_target(shown)
    source, mark = user.mask, read_mark(shown.dialect)
    tags = _tags(shown, style, user, mark)
    text = mark.text or _line_ends(_text(shown, style))
    command = "NOTICE" if mark.unanswered else "PRIVMSG"
    size = LINE_BYTES - _FRAME_BYTES - len(source)
    start, end = ("", "")
    if text.startswith(_ME):
        text, start, end = text[len(_ME) :], _ACTION, _CTCP_END
    elif style.batches and (pieces := _pieces(text, size))[1:]:
        yield from _batch(pieces, message_id(message.chat, message.index), command, target, source, tags)
        return
    text = text.replace(JOINED, "\n").replace(
        _CTCP_END, ""
    )  # clients would answer a line that begins with the character for CTCP
    whole = LINE_BYTES - len(f":{source} {command} {target} :{start}{end}")
    if len(text.encode()) <= whole:
        # The text is written as one line. `addressed` cuts the line if the chat's name is too long for it.
        size = whole
    for piece in cut_text(text, size):
        yield encode_line(command, target, last=f"{start}{piece}{end}", source=source, tags=tags)
        tags = {name: value for name, value in tags.items() if name not in _FIRST_TAGS}


def _numbered_target(shown: DisplayMessage) -> str:
    return f"#~{shown.message.chat}" if shown.to is None else f"|{shown.to}"


class _Piece(NamedTuple):
    text: str
    joined: bool = False


def _pieces(text: str, size: int) -> list[_Piece]:
    """The lines of a text, including blank lines. A long line is cut into several pieces."""
    return [
        _Piece(one, joined=bool(number or place))
        for line in text.replace(_CTCP_END, "").split("\n")
        for number, part in enumerate(line.split(JOINED))
        for place, one in enumerate(cut_whole(one_line(part), size))
    ]


def _batch(
    pieces: list[_Piece], number: str, command: str, target: str, source: str, tags: dict[str, str]
) -> Iterator[bytes]:
    name = f"m{number}"
    yield encode_line("BATCH", f"+{name}", "draft/multiline", target, source=source, tags=tags)
    for piece in pieces:
        joins = {"draft/multiline-concat": ""} if piece.joined else {}
        yield encode_line(command, target, last=piece.text, source=source, tags={"batch": name} | joins)
    yield encode_line("BATCH", f"-{name}", source=source)


def _sender(shown: DisplayMessage, style: MessageStyle) -> User:
    sender = shown.message.sender
    return user_of(sender, shown.summary, style.server) if shown.summary else unknown_user(sender, style.server)


def _tags(shown: DisplayMessage, style: MessageStyle, user: User, mark: Mark) -> dict[str, str]:
    """The tags of the first line of a message."""
    message, tags = shown.message, dict[str, str]()
    if style.times:
        tags["time"] = utc_time(message.time)
    if style.accounts and user.account_name:
        tags["account"] = user.account_name
    if style.ids:
        tags |= mark.tags
        tags["msgid"] = message_id(message.chat, message.index)
        if shown.reply_to:
            tags |= dict.fromkeys(REPLY_TAGS, message_id(message.chat, shown.reply_to))
    return tags


def _text(shown: DisplayMessage, style: MessageStyle) -> str:
    """The text of a message. A picture or file is a line of its own."""
    segments: Iterable[RichSegment] = shown.segments
    if shown.rich is not None and (style.ids or is_marked(shown.dialect)):
        segments = shown.rich
    text, joined = "", False
    for segment in segments:
        if isinstance(segment, Image | File):
            media = segment.media
            address = f"{media.name} {media_url(media, style.base_url)} ({readable_size(media.size)})"
            text, joined = f"{text}\n{address}\n", False
        else:
            shown_text = segment.text if isinstance(segment, Mention) else render_segment(segment, "", style.language)
            text, joined = f"{text} {shown_text}" if joined else f"{text}{shown_text}", True
    return text


def _line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def addressed(frames: tuple[Outgoing, ...], target: str) -> tuple[bytes, ...]:
    """Return the lines of a message with the chat's number replaced by `target`, this connection's name for the
    chat."""
    name = target.encode()
    named = [_named(line, name) for line in lines(frames)]
    if len(named) == 1 and len(named[0]) <= LINE_BYTES:
        return (named[0],)
    return tuple(piece for line in named for piece in _fitting(line))


def _named(line: bytes, name: bytes) -> bytes:
    start, end = _target_place(line)
    return line[:start] + name + line[end:] if start else line


def _target_place(line: bytes) -> tuple[int, int]:
    """Where a line of a message names its chat: the first byte of the name, and the byte after the name. (0, 0) if the
    line does not name it."""
    command = line.find(b" ", line.find(b" ") + 1 if line.startswith(b"@") else 0) + 1  # after the tags and the source
    if line.startswith(b"PRIVMSG ", command):
        start = command + len(b"PRIVMSG ")
    elif line.startswith(b"NOTICE ", command):
        start = command + len(b"NOTICE ")
    else:
        found = _BATCH.match(line)
        return (0, 0) if found is None else found.span("target")
    return start, line.find(b" ", start)


def _fitting(line: bytes) -> Iterator[bytes]:
    """Return the line, cut into several lines if it is too long. Tags do not count."""
    bare = line.partition(b" ")[2] if line.startswith(b"@") and len(line) > LINE_BYTES else line
    if len(bare) <= LINE_BYTES or (found := _MESSAGE.match(line)) is None:
        yield line
        return
    room = LINE_BYTES - (len(bare) - len(line)) - found.end() - len(_CTCP_END)
    for piece in cut_text(line[found.end() :].decode().removesuffix(_CTCP_END), room):
        yield found[0] + piece.encode() + (_CTCP_END.encode() if line.endswith(_CTCP_END.encode()) else b"")


def dated(frames: Iterable[bytes], sent_ms: int, now_ms: int) -> tuple[bytes, ...]:
    """Write the time into the text of old messages, for clients without server-time."""
    time = datetime.fromtimestamp(sent_ms // 1000, UTC)
    text = (f"[{time:%H:%M}] " if now_ms - sent_ms < _DAY_MS else f"[{time:%m-%d %H:%M}] ").encode()
    shown = (_MESSAGE.sub(lambda found: found[0] + text, each, count=1) for each in frames)
    return tuple(piece for each in shown for piece in _fitting(each))


@lru_cache(MESSAGES_UNDER_WAY)
def recipient_of(frames: tuple[Outgoing, ...]) -> AccountId | None:
    """The account that the lines of a private message name. None if they name a group."""
    for line in lines(frames):
        start, end = _target_place(line)
        if start:
            return account_of(line[start:end].decode())
    return None


def lines(frames: Iterable[Outgoing]) -> list[bytes]:
    return [frame for frame in frames if isinstance(frame, bytes)]


# In


def send(session: IrcSession, line: Line, answer: Answer) -> Lines:
    """Handle PRIVMSG and NOTICE."""
    if not line.parameters or not line.parameters[0]:
        raise rejection(answer, "411", "No recipient was named")
    if len(line.parameters) < 2 or not line.parameters[1]:
        raise rejection(answer, "412", "There is no text")
    names = targets(line, answer, MOST_RECIPIENTS)
    raw = line.parameters[1]
    check_fits(session, raw, names, answer)
    text = _sent_text(raw, answer)
    mark = Mark(
        answer.command == "NOTICE",
        raw if plain(raw) != raw and not text.startswith(_ME) else "",
        client_tags(line) | ({"bot": ""} if "B" in session.user_modes else {}),
    )
    segments = validation.message_text((_segment(text, session.info.base_url),), session.info.limits)
    return session.each(names, lambda target: send_to(session, target, segments, mark, line, answer))


def post_plain(session: IrcSession, frame: bytes) -> Request | None:
    """Decode the most common line, an ordinary text to a channel, faster than `send` does it. Returns None for another
    line."""
    if not session.welcomed or session.account == NO_ACCOUNT or "B" in session.user_modes:
        return None
    try:
        line = frame.decode()
    except UnicodeDecodeError:
        return None
    found = _PLAIN.fullmatch(line)
    if found is None or not line.isprintable() or len(frame) + len(session.mask) + len(": ") > LINE_BYTES:
        return None
    label, target, text = found.groups("")
    chat = session.find_channel(target)
    if chat is None or len(frame) > session.info.limits.message_text_bytes or text.startswith(session.info.base_url):
        return None
    return Request(PostMessage(chat, (Text(text),)), Sent(target, label if session.has("labeled-response") else ""))


def posted(session: IrcSession, sent: Sent, reply: MessageAccepted) -> tuple[bytes, ...]:
    """Acknowledge an ordinary text."""
    lines = addressed(reply.frames(), sent.target) if session.has("echo-message") else ()
    if not sent.label:
        return lines
    if len(lines) > 1:
        return Answer("PRIVMSG", sent.label).add(lines, session)
    return (with_tag(lines[0] if lines else session.acknowledgement, "label", sent.label),)


def not_posted(session: IrcSession, sent: Sent, failure: Failure) -> tuple[bytes, ...]:
    answer = Answer("PRIVMSG", sent.label)
    return answer.add([_not_sent(session, failure, sent.target, answer)], session)


def _segment(text: str, base_url: str) -> RichSegment:
    """Return a segment for a text. If the text is only the address of a picture or file on this server, the segment is
    this picture or file."""
    prefix = f"{base_url}/media/"
    found = _MEDIA_ID.fullmatch(text.removeprefix(prefix)) if text.startswith(prefix) else None
    return Text(text) if found is None else File(Media(found[0], "", 0, "", ""))


def check_fits(session: IrcSession, text: str, names: Iterable[str], answer: Answer) -> None:
    """Check that the line is short enough for other clients, who get it with its sender's name. Raises DecodeError."""
    for target in names:
        room = LINE_BYTES - len(f":{session.mask} {answer.command} {target} :".encode())
        if len(text.encode()) > room:
            raise rejection(answer, "417", "The line is too long for other clients", code=ErrorCode.TOO_LARGE)


def client_tags(line: Line) -> dict[str, str]:
    """The tags that are passed on to other clients. Names of an invalid form are left out, because they could break the
    lines of these clients."""
    return {name: value for name, value in line.tags.items() if _CLIENT_TAG.fullmatch(name) and name not in REPLY_TAGS}


def is_ctcp(line: Line) -> bool:
    """Whether the line is a CTCP other than ACTION."""
    recipient, text = [*line.parameters[:2], "", ""][:2]
    return bool(recipient) and text.startswith(_CTCP_END) and _SENT_ACTION.fullmatch(text) is None


def _sent_text(text: str, answer: Answer) -> str:
    """Return the text for other dialects, without formatting. An ACTION becomes a text that begins with `/me`. Raises
    DecodeError."""
    action = _SENT_ACTION.fullmatch(text)
    if action is not None:
        return f"{_ME}{plain(action[1] or '') or ' '}"
    if not (shown := plain(text)):
        raise rejection(answer, "412", "There is no text")
    return shown


def send_to(
    session: IrcSession, target: str, segments: tuple[RichSegment, ...], mark: Mark, line: Line, answer: Answer
) -> Lines:
    if is_nickserv(target):
        return () if is_quiet(answer) else [session.notice(_NO_SERVICES, source=f"NickServ!NickServ@{session.server}")]
    if not is_channel(target):
        _post_to_user(session, target, segments, mark, line, answer)
        return ()

    def found(chat: ChatId) -> Lines:
        replied = replied_index(line.tags, chat)
        command = PostMessage(chat, segments, reply_to=replied, mark=mark._replace(replies=replied > 0).packed)
        _post(session, command, target, answer)
        return ()

    def missing(failure: Failure) -> Lines:
        return () if is_quiet(answer) else [session.numeric("403", word(target), last=failure.words)]

    return find_chat(session, target, answer, found, missing)


def replied_index(tags: Mapping[str, str], chat: ChatId) -> int:
    """The index of the message in the same chat that this message replies to, or 0."""
    for name in REPLY_TAGS:
        number, _, index = tags.get(name, "").partition("-")
        if number == str(chat) and index.isascii() and index.isdigit():
            return int(index[:15])
    return 0


def _post_to_user(
    session: IrcSession, target: str, segments: tuple[RichSegment, ...], mark: Mark, line: Line, answer: Answer
) -> None:
    numbered = account_of(target)
    if numbered is not None:
        _post_to_account(session, numbered, target, segments, mark, line, answer)
        return

    def found(known: dict[str, User]) -> Lines:
        if target not in known:
            return () if is_quiet(answer) else [session.numeric("401", word(target), last=NO_NICK)]
        user = known[target]
        session.users[user.account] = user
        _post_to_account(session, user.account, user.nick, segments, mark, line, answer)
        return () if user.account == session.account else _show_away(session, user, answer)

    find_users(session, [target], answer, found)


def _post_to_account(
    session: IrcSession,
    account: AccountId,
    target: str,
    segments: tuple[RichSegment, ...],
    mark: Mark,
    line: Line,
    answer: Answer,
) -> None:
    chat = session.chat_with(account)
    if replied := replied_index(line.tags, chat):
        command = PostMessage(chat, segments, reply_to=replied, mark=mark._replace(replies=True).packed)
    elif account == session.account:
        _post_to_oneself(session, segments, mark, answer)
        return
    else:
        command = PostMessage(ChatId(0), segments, to=account, mark=mark.packed)
    _post(session, command, target, answer)


def _post_to_oneself(session: IrcSession, segments: tuple[RichSegment, ...], mark: Mark, answer: Answer) -> None:
    def opened(reply: ChatOpened) -> Lines:
        _post(session, PostMessage(reply.chat, segments, mark=mark.packed), session.nick, answer)
        return ()

    failed = partial(_show_unsent, session, session.nick, answer)
    session.request(OpenPrivateChat(session.account, alone=True), answer, opened, failed)


def _show_away(session: IrcSession, user: User, answer: Answer) -> Lines:
    """Show the sender that the recipient is away, at most once an hour."""
    now = session.info.unix_ms()
    if answer.command == "NOTICE" or now - session.shown_away.get(user.account, 0) < _HOUR_MS:
        return ()

    def found_state(away: dict[AccountId, str]) -> Lines:
        text = away.get(user.account, "")
        if not text or text == OFFLINE:
            return ()
        session.shown_away[user.account] = now
        if len(session.shown_away) > _SHOWN_AWAY:
            del session.shown_away[next(iter(session.shown_away))]
        return [session.numeric("301", user.nick, last=text)]

    return with_states(session, [user.account], answer, found_state)


def _post(session: IrcSession, command: PostMessage, target: str, answer: Answer) -> None:
    if any([isinstance(one, File) for one in command.segments]):
        command = replace(command, references_media=True, kind_by_content=True)

    def done(reply: MessageAccepted) -> Lines:
        # no event delivers this message to the sender, so the reply shows it a second time
        if not is_channel(target) and fold(target) == fold(session.nick):
            answer.follow(addressed(reply.frames(), target))
        return addressed(reply.frames(), target) if session.has("echo-message") else ()

    session.request(command, answer, done, partial(_show_unsent, session, target, answer))


def _show_unsent(session: IrcSession, target: str, answer: Answer, failure: Failure) -> Lines:
    return () if is_quiet(answer) else [_not_sent(session, failure, target, answer)]


def is_quiet(answer: Answer) -> bool:
    """Whether errors are not shown. A NOTICE gets no reply, unless it has a label."""
    return answer.command == "NOTICE" and not answer.label


def _not_sent(session: IrcSession, failure: Failure, target: str, answer: Answer) -> bytes:
    in_channel, shown, text = is_channel(target), word(target), failure.words
    match failure.code:
        case ErrorCode.FORBIDDEN:
            return session.numeric("404" if in_channel else "531", shown, last=text)
        case ErrorCode.NOT_FOUND if failure.field != "reply_to":
            return session.numeric("403" if in_channel else "401", shown, last=text)
        case ErrorCode.TOO_LARGE:
            return session.numeric("417", last=text)
        case _:
            return session.fail(answer.command, failure, shown)
