"""The dialect irc: lines of IRC (RFC 1459, RFC 2812, IRCv3). Begin with `session`, which describes how a line is
answered.

`registration` handles the lines before the welcome. Afterwards, each command has a handler in the table below.
`messages` decodes and encodes messages. Messages to the client then pass the `gate`, which writes the name of their
chat into them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from sys import intern
from typing import Any, Final, NamedTuple

from services.edge.canonical.events import Event, MessageChanged
from services.edge.canonical.frames import Binary, Frame, Outgoing
from services.edge.canonical.replies import DisplayMessage, MessageAccepted, Reply, TokenRenewed
from services.edge.dialects.base import (
    Action,
    ConnectionInfo,
    DecodeError,
    Dialect,
    FirstFrame,
    LoadedChat,
    LocalReply,
    Mask,
    Push,
    Request,
)
from services.edge.dialects.irc import (
    channels,
    history,
    membership,
    messages,
    metadata,
    modes,
    monitor,
    multiline,
    operators,
    playback,
    reactions,
    read_markers,
    relay,
    searches,
    server,
    users,
    webpush,
)
from services.edge.dialects.irc.events import encode_event
from services.edge.dialects.irc.gate import MessageGate
from services.edge.dialects.irc.lines import Line, encode_line, parse_line, read_line
from services.edge.dialects.irc.messages import MessageStyle
from services.edge.dialects.irc.names import is_nickserv, user_of
from services.edge.dialects.irc.registration import CAPABILITIES, IrcRegistration
from services.edge.dialects.irc.server import quit_server
from services.edge.dialects.irc.session import Answer, IrcSession, LineRejection, Lines, Sent, Task, rejection
from services.edge.dialects.irc.subscriptions import CAPABILITY
from shared.contract.auth import Authenticated
from shared.contract.ephemeral import TagsRelayed, Typing
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.message import ChangeKind
from shared.contract.model import ProfileSummary

_FIRST_COMMANDS: Final = frozenset({"CAP", "NICK", "PASS", "USER", "AUTHENTICATE"})
_REGISTRATION: Final = _FIRST_COMMANDS | {"REGISTER"}
_SECRET_COMMANDS: Final = frozenset({"PASS", "AUTHENTICATE", "OPER", "REGISTER", "WEBPUSH", "NICKSERV", "NS"})
_FIRST_SECRETS: Final[Mapping[str, int]] = {"OPER": 1, "REGISTER": 2, "WEBPUSH": 1, "NICKSERV": 1, "NS": 1}
"""The commands with a secret, and how many parameters come before it."""
_PUBLIC_PARAMETERS: Final = frozenset({"*", "+", *CAPABILITIES["sasl"].split(",")})
"""The parameters of AUTHENTICATE that are not secret."""

_PING: Final = re.compile(rb" *(?:@[^ ]* +)?(?::[^ ]* +)?(?i:PING)(?: |$)")


def detects(first: FirstFrame) -> bool:
    """Whether the first frame of a connection is a command with which IRC clients begin."""
    line = parse_line(first.text)
    return line is not None and line.command.upper() in _FIRST_COMMANDS and "|" not in line.command


class Handler(NamedTuple):
    """A handler of a command, with the fewest parameters that the command needs."""

    handle: Callable[[IrcSession, Line, Answer], Lines]
    parameters: int = 0


def _ping(session: IrcSession, line: Line, answer: Answer) -> Lines:
    return [session.line("PONG", session.server, last=line.parameters[0])]


def _pong(session: IrcSession, line: Line, answer: Answer) -> Lines:
    return ()


def _send(session: IrcSession, line: Line, answer: Answer) -> Lines:
    send = relay.send_ctcp if messages.is_ctcp(line) else messages.send
    return send(session, line, answer)


_ALWAYS: Final[Mapping[str, Handler]] = {
    "PING": Handler(_ping, 1),
    "PONG": Handler(_pong),
    "QUIT": Handler(quit_server),
}
_HANDLERS: Final[Mapping[str, Handler]] = {
    "ADMIN": Handler(server.admin),
    "AWAY": Handler(users.away),
    "BATCH": Handler(multiline.batch, 1),
    "HELP": Handler(server.help_text),
    "HELPOP": Handler(server.help_text),
    "INFO": Handler(server.info),
    "INVITE": Handler(membership.invite),
    "ISUPPORT": Handler(server.list_supported),
    "ISON": Handler(users.is_on, 1),
    "JOIN": Handler(membership.join, 1),
    "KICK": Handler(membership.kick, 2),
    "KILL": Handler(operators.kill, 1),
    "LINKS": Handler(server.links),
    "LIST": Handler(modes.list_channels),
    "LUSERS": Handler(server.users),
    "MARKREAD": Handler(read_markers.mark_read),
    "METADATA": Handler(metadata.metadata, 2),
    "MODE": Handler(modes.mode, 1),
    "MONITOR": Handler(monitor.monitor, 1),
    "MOTD": Handler(server.message_of_the_day),
    "NAMES": Handler(channels.names),
    "NOTICE": Handler(_send),
    "OPER": Handler(operators.become_operator, 2),
    "PART": Handler(membership.part, 1),
    "PRIVMSG": Handler(_send),
    "REDACT": Handler(reactions.redact, 2),
    "RENAME": Handler(membership.rename, 2),
    "SETNAME": Handler(users.set_name, 1),
    "STATS": Handler(server.stats),
    "TAGMSG": Handler(relay.tag_message, 1),
    "TIME": Handler(server.server_time),
    "TOPIC": Handler(channels.topic, 1),
    "USERHOST": Handler(users.user_hosts, 1),
    "VERSION": Handler(server.version),
    "WALLOPS": Handler(operators.wall_operators, 1),
    "WEBPUSH": Handler(webpush.webpush, 1),
    "WHO": Handler(users.list_users, 1),
    "WHOIS": Handler(users.whois, 1),
    "WHOWAS": Handler(users.whowas, 1),
}
_EARLY: Final[Mapping[str, tuple[str, Handler]]] = {
    "AWAY": (users.PRE_AWAY, Handler(users.away_before_welcome)),
    "ISUPPORT": (server.EXTENDED_ISUPPORT, Handler(server.list_supported)),
    "METADATA": (CAPABILITY, Handler(metadata.metadata_before_welcome, 2)),
}
"""The commands that a client with a capability may send before the welcome."""


class Irc(Dialect):
    """See services.edge.dialects.base."""

    name = "irc"
    names_senders = True
    shows_ephemeral = True
    line_ending = b"\r\n"

    def __init__(self, info: ConnectionInfo) -> None:
        super().__init__(info)
        self._session = IrcSession(info)
        self._registration = IrcRegistration(self._session)
        self._style = MessageStyle(self._session.server, self.base_url, self.language)
        self._gate = MessageGate(self._session)
        self.gate = self._gate
        self.follow_ups = self._session.follow_ups
        self.delivery_reads = info.server.delivery_reads
        self._set_variant()

    def _set_variant(self) -> None:
        """Set the variant, and whether missed messages are pushed. Connections whose lines have the same tags share a
        variant."""
        session = self._session
        self.pushes_missed = not any(map(session.has, ("draft/chathistory", playback.CAPABILITY)))
        times, accounts, ids = map(session.has, ("server-time", "account-tag", "message-tags"))
        batches = session.has(multiline.CAPABILITY) and session.has("batch")
        self._style = self._style._replace(times=times, accounts=accounts, ids=ids, batches=batches)
        self.variant = intern(f"irc {self._style}")

    @property
    def device(self) -> str:
        return self._session.device if self.pushes_missed else ""

    # Lines in

    def decode(self, frame: Frame, now: float) -> Sequence[Action]:
        if not isinstance(frame, Binary) and (post := messages.post_plain(self._session, frame)) is not None:
            return (post,)
        answer = Answer()
        try:
            line = self._read(frame)
            answer.command, answer.label = line.command, self._label(line)
            written = answer.add(list(self._handle(line, answer, now)), self._session)
        except DecodeError as error:
            self._session.follow_ups.clear()
            if not isinstance(frame, Binary) and b"batch=" in frame.partition(b" ")[0]:
                multiline.line_rejected(self._session)
            if error.context is None:
                error.context = self._rejection(answer, frame, error.failure)
            raise
        made = self._take_follow_ups()
        return [LocalReply(written), *made] if written else made

    def _take_follow_ups(self) -> list[Action]:
        self._gate.replan()
        made = [*self._session.follow_ups]
        self._session.follow_ups.clear()
        return made

    def _read(self, frame: Frame) -> Line:
        if isinstance(frame, Binary):
            raise DecodeError("a text frame is expected")
        return read_line(frame)

    def _label(self, line: Line) -> str:
        return line.tags.get("label", "")[:64] if self._session.has("labeled-response") else ""

    def _rejection(self, answer: Answer, frame: Frame, failure: Failure) -> LineRejection:
        """Return how to reject a frame. If the frame is no valid line, its command and label are read as far as
        possible."""
        if answer.command:
            return LineRejection(answer)
        line = None if isinstance(frame, Binary) else parse_line(frame.decode(errors="replace"))
        named = answer if line is None else Answer(line.command.upper(), self._label(line))
        if failure.code is ErrorCode.TOO_LARGE:
            return LineRejection(named, "417")
        return LineRejection(named, code="INVALID_UTF8" if "UTF-8" in failure.text else "")

    def _handle(self, line: Line, answer: Answer, now: float) -> Lines:
        session, command = self._session, line.command
        if command in _REGISTRATION:
            lines = self._registration.handle(line, answer)
            self._set_variant()
            return lines
        handler = _ALWAYS.get(command)
        capability, early = _EARLY.get(command, ("", None))
        if early is not None and not session.welcomed and session.has(capability):
            handler = early
        if handler is None:
            if session.account == NO_ACCOUNT or self._registration.pending:
                raise rejection(answer, "451", "You are not logged in", code=ErrorCode.UNAUTHENTICATED)
            if "batch" in line.tags and command in ("PRIVMSG", "NOTICE") and session.has(multiline.CAPABILITY):
                return multiline.add_line(session, line, answer)
            if command == "CHATHISTORY":
                return history.chat_history(session, line, answer, self._style)
            if playback.is_playback(line):
                return playback.playback(session, line, answer, self._style, now)
            if command == "SEARCH":
                return searches.search(session, line, answer, self._style, now)
            if (handler := _HANDLERS.get(command)) is None:
                raise rejection(answer, "421", "There is no such command", command)
        if len(line.parameters) < handler.parameters:
            raise rejection(answer, "461", "A parameter is missing", command)
        return handler.handle(session, line, answer)

    def identify(self, frame: Frame) -> object:
        try:
            line = self._read(frame)
        except DecodeError:
            return None
        return LineRejection(Answer(line.command, self._label(line)), batched="batch" in line.tags)

    def overtakes(self, frame: Frame) -> bool:
        return not isinstance(frame, Binary) and _PING.match(frame) is not None

    # Lines out

    def encode_reply(self, request: Request, reply: Reply, now: float) -> tuple[Outgoing, ...]:
        task = request.context
        if isinstance(task, Sent) and isinstance(reply, MessageAccepted):  # the most frequent reply
            return messages.posted(self._session, task, reply)
        if isinstance(reply, (Authenticated, TokenRenewed)):
            self._session.sid = reply.sid
        if not isinstance(task, Task):
            if isinstance(reply, Authenticated):
                face = ProfileSummary(reply.nickname, reply.uuid, 0, reply.nick)
                self._session.rename(user_of(reply.account, face, self._session.server))
                self._session.welcomed = True
            return ()
        return self._finish(task, task.done, reply)

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Outgoing, ...]:
        if request is not None and isinstance(request.context, Sent):
            return messages.not_posted(self._session, request.context, failure)
        if request is not None and isinstance(request.context, Task):
            return self._finish(request.context, request.context.failed, failure)
        rejected = context if isinstance(context, LineRejection) else LineRejection(Answer())
        if rejected.batched:
            multiline.line_rejected(self._session)
        return self._session.reject(rejected, failure)

    def _finish(self, task: Task, handle: Callable[[Any], Lines], result: object) -> tuple[Outgoing, ...]:
        """Write the lines for one reply. A handler may find only now that a part of the line is wrong."""
        try:
            written = list(handle(result))  # encoding the lines may cause further requests of the same answer
        except DecodeError as error:
            context = error.context if isinstance(error.context, LineRejection) else LineRejection(task.answer)
            written = [self._session.rejected(context, error.failure)]
        task.answer.opened -= 1
        if not task.answer.opened and self._session.waiting is task.answer:
            self._session.waiting = None
        self._gate.replan()
        return task.answer.add(written, self._session)

    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        if isinstance(event, MessageChanged) and event.shown.change.kind is ChangeKind.RECALL:
            self._gate.recalled(event.shown.change.chat, event.shown.change.index)
        pushes = encode_event(self._session, event)
        if not isinstance(event, Typing | TagsRelayed):  # these events are frequent, and change no channel
            self._gate.replan()
        return pushes

    def encode_message(self, shown: DisplayMessage) -> tuple[Outgoing, ...]:
        return messages.encode_message(shown, self._style)

    def encode_close(self, code: int, reason: str) -> tuple[tuple[Frame, ...], int, str]:
        line = encode_line("ERROR", last=f"Closing the connection: {reason}")
        return () if self._session.ended else (line,), code, reason

    # Records

    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        try:
            text = frame.decode()
        except UnicodeDecodeError:
            return None
        line = parse_line(text.rstrip("\r\n"))
        if line is None:
            return None
        command = line.command.upper()
        if command in ("PRIVMSG", "NOTICE") and any(map(is_nickserv, "".join(line.parameters[:1]).split(","))):
            command = "NICKSERV"
        if command not in _SECRET_COMMANDS:
            return frame
        first = _FIRST_SECRETS.get(command, 0)
        first = first if len(line.parameters) > first else 0
        secrets = [one for one in line.parameters[first:] if one not in _PUBLIC_PARAMETERS]
        if not secrets:
            return frame
        start = text.find(line.command) + len(line.command)
        return f"{' '.join([text[:start], *line.parameters[:first]])} :{mask(' '.join(secrets))}".encode()

    # The login

    def logged_in(self, account: AccountId, now: float) -> None:
        self._session.enter(account)
        self._gate.enter()

    def chats_loaded(self, chats: Sequence[LoadedChat], now: float) -> tuple[Push, ...]:
        """Request the nicks of the other members of private chats. Groups are shown with the welcome instead."""
        session = self._session
        lines: list[bytes] = []
        pairs = {loaded.chat: loaded.pair for loaded in chats if loaded.pair is not None}
        for chat, pair in pairs.items():
            session.partners[chat] = next(iter({*pair} - {session.account}), session.account)
            channel = session.channels.pop(chat, None)
            # The chat may have been shown as a channel, before this connection knew that it is private.
            if channel is not None and channel.shown:
                lines.append(session.own("PART", channel.name))
        channels.learn_users(session, [session.partners[chat] for chat in pairs], Answer())
        requests = session.take_requests()
        self._gate.replan()
        return (Push(tuple(lines), requests=requests),) if lines or requests else ()
