"""sample-irc: a subset of IRC (RFC 1459). Frames are lines: `:PREFIX COMMAND PARAMETER :TEXT`.

Commands: CAP, PASS, NICK, USER, PING, QUIT, `JOIN #CHAT`, `PRIVMSG #CHAT|ACCOUNT :TEXT`.
Chats and accounts are numbers.
"""

import re
from collections.abc import Sequence

from services.edge.canonical.commands import Command, PostMessage
from services.edge.canonical.events import ChatJoined, ChatLeft, Event
from services.edge.canonical.frames import Binary, Frame, Outgoing
from services.edge.canonical.replies import DisplayMessage, MessageAccepted, Reply
from services.edge.dialects import credentials, validation
from services.edge.dialects.base import (
    Action,
    ConnectionInfo,
    DecodeError,
    Dialect,
    Disconnect,
    FirstFrame,
    LoadedChat,
    LocalReply,
    Mask,
    Push,
    Request,
    never_requested,
)
from services.edge.dialects.text_fallback import render_message
from services.edge.dialects.wire_ids import parse_id
from shared.contract.auth import Authenticated, IdentifierKind, Login, VerificationNeeded
from shared.contract.edge import ChatRenamed
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import MembershipRequested, RequestMembership
from shared.contract.model import ChatKind, Text
from shared.contract.session import ChatView, GetChat
from shared.settings.limits import LimitsSettings

_LINE = re.compile(r"(?::\S+ +)?(?P<command>[A-Za-z]+)(?P<words>(?: +[^ :]\S*)*)(?: +:(?P<text>.*))? *")
_PASSWORD = re.compile(r"(?P<before>\s*(?::\S+ +)?PASS +:?)(?P<password>.*)", re.IGNORECASE | re.DOTALL)
_OWN = "own"
"""The context of the dialect's own requests. The client gets no errors for them."""
_FIRST_COMMANDS = frozenset({"CAP", "PASS", "NICK", "USER", "PING"})


def detects(first: FirstFrame) -> bool:
    return first.text.split(" ")[0].upper() in _FIRST_COMMANDS


def read_line(frame: Frame, limits: LimitsSettings) -> tuple[str, list[str]]:
    """Returns command and parameters. Raises DecodeError."""
    if isinstance(frame, Binary):
        raise DecodeError("a text frame is expected")
    if len(frame) > limits.text_frame_bytes:
        raise DecodeError(f"a frame has at most {limits.text_frame_bytes} bytes", ErrorCode.TOO_LARGE)
    try:
        line = frame.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DecodeError("not UTF-8") from error
    match = _LINE.fullmatch(line)
    if match is None or "\0" in line or len(line.splitlines()) != 1:
        raise DecodeError("one line with a command is expected")
    text = [] if match["text"] is None else [match["text"]]
    return match["command"].upper(), [*match["words"].split(), *text]


def encode_line(*words: object, text: str = "") -> bytes:
    """Returns a frame. Line breaks in a user's text become spaces, because clients end frames at them."""
    return " ".join([*map(str, words), f":{' '.join(text.splitlines())}"] if text else map(str, words)).encode()


def parse_number(word: str) -> int:
    if (number := parse_id(word)) is None:
        raise DecodeError(f"a number is expected instead of {word[:20]}")
    return number


class SampleIrc(Dialect):
    """See services.edge.dialects.base."""

    name = "sample-irc"
    line_ending = b"\r\n"

    def __init__(self, info: ConnectionInfo) -> None:
        super().__init__(info)
        self._account = NO_ACCOUNT
        self._password = self._nick = ""

    # Frames in

    def decode(self, frame: Frame, now: float) -> Sequence[Action]:
        command, parameters = read_line(frame, self.limits)
        match command, parameters:
            case "CAP", ["LS", *_]:
                return (LocalReply((encode_line("CAP * LS :"),)),)
            case "PING", [token]:
                return (LocalReply((encode_line("PONG server", text=token),)),)
            case "PASS", [password]:
                self._password = password
                return ()
            case "NICK", [nick]:
                self._nick = nick
                return ()
            case "USER", [_, _, _, _]:
                return (Request(self._login()),)
            case "JOIN", [channel]:
                chat = ChatId(parse_number(channel.removeprefix("#")))
                return (Request(RequestMembership(chat)), Request(GetChat(chat)))
            case "PRIVMSG", [target, text]:
                return (Request(self._message(target, text)),)
            case "QUIT", _:
                return (LocalReply((encode_line("ERROR", text="closing the connection"),)), Disconnect())
            case _:
                raise DecodeError("unknown command, or a wrong number of parameters", context=command)

    def _login(self) -> Login:
        if not self._nick:
            raise DecodeError("NICK must come before USER", context="USER")
        return Login(kind=IdentifierKind.ANY, identifier=self._nick, secret=credentials.password(self._password))

    def _message(self, target: str, text: str) -> Command:
        segments = validation.message_text((Text(text),), self.limits)
        if target.startswith("#"):
            return PostMessage(ChatId(parse_number(target[1:])), segments)
        return PostMessage(ChatId(0), segments, to=AccountId(parse_number(target)))

    # Frames out

    def encode_reply(self, request: Request, reply: Reply, now: float) -> tuple[Outgoing, ...]:
        match reply:
            case Authenticated(account=account):
                return (encode_line(":server 001", account, text="welcome"),)
            case VerificationNeeded():
                return self.encode_error(request, credentials.VERIFY_BY_MAIL)
            case MessageAccepted():
                return reply.frames()
            case MembershipRequested(joined):
                return () if joined else self.encode_error(request, Failure(ErrorCode.FORBIDDEN, "you have applied"))
            case ChatView():
                return self._joined(reply) if reply.chat.kind is ChatKind.GROUP else ()
            case _:
                raise never_requested("sample-irc")

    def _joined(self, view: ChatView) -> tuple[Outgoing, ...]:
        chat, me = f"#{view.chat.id}", self._account
        return (
            encode_line(f":{me}", "JOIN", chat),
            encode_line(":server 332", me, chat, text=view.chat.name or chat),
            encode_line(":server 353", me, "=", chat, text=" ".join(map(str, view.members))),
            encode_line(":server 366", me, chat, text="end of names"),
        )

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Outgoing, ...]:
        if request is not None and request.context is _OWN:
            return ()
        command = type(request.command).__name__ if request else context or "*"
        return (encode_line(":server 400", self._account or "*", command, text=failure.text or failure.code),)

    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        match event:
            case ChatJoined(chat):
                return (Push((), requests=(Request(GetChat(chat), _OWN),)),)
            case ChatRenamed(chat, name, by):
                return (Push((encode_line(f":{by}", "TOPIC", f"#{chat}", text=name),)),)
            case ChatLeft(chat):
                return (Push((encode_line(f":{self._account}", "PART", f"#{chat}"),)),)
            case _:
                return ()

    def encode_message(self, shown: DisplayMessage) -> tuple[Outgoing, ...]:
        target = f"#{shown.message.chat}" if shown.to is None else shown.to
        text = render_message(shown.segments, self.base_url, self.language)
        return (encode_line(f":{shown.message.sender}", "PRIVMSG", target, text=text),)

    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        try:
            line = frame.decode()
        except UnicodeDecodeError:
            return None
        match = _PASSWORD.fullmatch(line)
        return frame if match is None else (match["before"] + mask(match["password"])).encode()

    # The login

    def logged_in(self, account: AccountId, now: float) -> None:
        self._account = account

    def chats_loaded(self, chats: Sequence[LoadedChat], now: float) -> tuple[Push, ...]:
        groups = [loaded.chat for loaded in chats if loaded.pair is None]
        return tuple(Push((encode_line(f":{self._account}", "JOIN", f"#{group}"),)) for group in groups)
