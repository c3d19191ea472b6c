"""The dialect irc, in which each frame is a line of IRC. A login takes several lines. It also requests message ids and
echoes."""

import base64
import re
from collections.abc import Iterator
from typing import ClassVar

from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec, Destination, Unsupported, echo_of
from dragoman_client.codec.events import (
    ClientEvent,
    MaintenanceStatus,
    NotificationKind,
    OtherFrame,
    ReceivedChange,
    ReceivedMessage,
    ReceivedNotification,
    ReplyKind,
    ServerReply,
)

_LINE = re.compile(
    r"(?:@[^ ]+ )?(?::(?P<source>\S+) )?(?P<command>\S+)(?P<words>(?: (?!:)\S*)*)(?: :(?P<last>.*))?", re.DOTALL
)
_USER = re.compile(r"(?P<nick>[^!]+)!~?[^@]*@(?P<account>\d+)\.")
_MESSAGE_ID = re.compile(rb"@(?:[^ ]*;)?msgid=(\d+)-(\d+)[; ]")
_CHANNEL = re.compile(r"#.*~(\d+)")
_CHUNK = 400
"""The bytes of a line of SASL. A shorter line is the last one."""
_KINDS = {"PRIVMSG": ReplyKind.MESSAGE, "REGISTER": ReplyKind.REGISTRATION}
_LOGIN_ERRORS = frozenset({"464", "902", "904", "905", "906"})
_NO_MOTD = "422"
_CTCP, _ACTION = "\x01", "\x01ACTION "
_MAINTENANCE = "The operator has "
_RENAMED = re.compile(r"The group is called (.*) now")


class IrcCodec(Codec):
    dialect = "irc"
    capabilities: ClassVar[str] = "echo-message message-tags server-time"

    # Requests

    def register(self, account: ClientAccount) -> ClientRequest:
        if not account.name:
            raise Unsupported(f"{self.dialect} registers an account by a nick")
        register = f"REGISTER * {account.email or '*'} :{account.secret}"
        # the server sends the welcome only after USER and CAP END
        before = (f"CAP REQ :{self.capabilities}", f"NICK {account.name}", register, "CAP END")
        frame = f"USER {account.name} 0 * :{account.name}"
        return ClientRequest(frame.encode(), ReplyKind.REGISTRATION, before=_lines(*before))

    def login(self, account: ClientAccount) -> ClientRequest:
        """Log in with the token, if there is one. The user gets the nick of its account, even if the client requests
        another one."""
        if account.token:
            mechanism, message = "IRCV3BEARER", f"\0jwt\0{account.token}"
        else:
            name = account.number or account.email or account.name
            mechanism, message = "PLAIN", f"\0{name}\0{account.secret}"
        before = (f"CAP REQ :{self.capabilities}", "CAP END", f"AUTHENTICATE {mechanism}", "NICK n", "USER n 0 * :n")
        *chunks, last = _sasl(message)
        return ClientRequest(last, ReplyKind.LOGIN, before=(*_lines(*before), *chunks))

    def post(self, account: ClientAccount, to: Destination, text: str) -> ClientRequest:
        self._check(text)
        target = _channel(to.chat) if to.chat else f"n|{to.user}"
        return ClientRequest(f"PRIVMSG {target} :{text}".encode(), ReplyKind.MESSAGE, text, account.number)

    def reply(self, chat: int, index: int, text: str) -> ClientRequest:
        self._check(text)
        frame = f"@+reply={chat}-{index} PRIVMSG {_channel(chat)} :{text}"
        return ClientRequest(frame.encode(), None)

    def message_parts(self, account: ClientAccount, chat: int) -> tuple[bytes, bytes]:
        return f"PRIVMSG {_channel(chat)} :".encode(), b""

    def open_private(self, account: ClientAccount, user: ClientAccount) -> Destination:
        return Destination(user=user.number)

    def join(self, account: ClientAccount, chat: int) -> ClientRequest:
        return ClientRequest(f"JOIN {_channel(chat)}".encode(), None)

    def recall(self, chat: int, index: int) -> ClientRequest:
        return ClientRequest(f"REDACT {_channel(chat)} {chat}-{index}".encode(), None)

    def _check(self, text: str) -> None:
        if "\n" in text or "\r" in text:
            raise Unsupported(f"{self.dialect} sends texts of one line")

    # Frames received

    def decode(self, frame: bytes) -> ClientEvent:
        text = frame.decode().rstrip("\r")
        if (line := _LINE.fullmatch(text)) is None:
            raise ValueError(f"{text!r} is no line")
        command, words, last = line["command"], line["words"].split(), line["last"] or ""
        user = _USER.match(line["source"] or "")
        if command in ("PRIVMSG", "NOTICE"):
            if user is None:
                return _announcement(words, last)
            return _message(frame, user, words, last)
        if command == "900":
            by = _USER.match(words[1])
            return ServerReply(ReplyKind.LOGIN, number=int(by["account"]) if by else 0)
        if command == "FAIL":
            return ServerReply(_KINDS.get(words[0], ReplyKind.ANY), error=last)
        if command == "ACK":
            return ServerReply(ReplyKind.ANY)
        if command == "REGISTER":
            return _registered(words, last)
        if command in _LOGIN_ERRORS:
            return ServerReply(ReplyKind.LOGIN, error=last)
        if command.isdigit():
            is_error = command[0] in "45" and command != _NO_MOTD
            return ServerReply(ReplyKind.ANY, error=last or command) if is_error else OtherFrame()
        return OtherFrame() if not words and not user else _news(command, user, words, last)

    def position(self, frame: bytes) -> int | None:
        found = _MESSAGE_ID.match(frame)
        return int(found[2]) if found else None

    def match(self, request: ClientRequest, event: object) -> ServerReply | None:
        """A registration also logs in, and the reply to this login has the account's number. If a message is rejected,
        the reply is a numeric."""
        if isinstance(event, ServerReply) and event.to is ReplyKind.LOGIN and request.reply is ReplyKind.REGISTRATION:
            return event
        return super().match(request, event) or echo_of(request, event)


def _lines(*lines: str) -> tuple[bytes, ...]:
    return tuple(line.encode() for line in lines)


def _sasl(message: str) -> Iterator[bytes]:
    encoded = base64.b64encode(message.encode())
    for start in range(0, len(encoded) + 1, _CHUNK):
        yield b"AUTHENTICATE " + (encoded[start : start + _CHUNK] or b"+")


def _channel(chat: int) -> str:
    """A name for a channel. Only the number in it is used."""
    return f"#chat~{chat}"


def _chat(words: list[str]) -> int:
    found = _CHANNEL.fullmatch(words[0]) if words else None
    return int(found[1]) if found else 0


def _message(frame: bytes, user: re.Match[str], words: list[str], text: str) -> ClientEvent:
    """Only the first line of a message has an index. A CTCP other than ACTION is no message."""
    if text.startswith(_CTCP) and not text.startswith(_ACTION):
        return OtherFrame()
    found = _MESSAGE_ID.match(frame)
    chat, position = (int(found[1]), int(found[2])) if found else (_chat(words), 0)
    if text.startswith(_ACTION):
        text = f"/me {text.removeprefix(_ACTION).removesuffix(_CTCP)}"
    return ReceivedMessage(text, position, chat, int(user["account"]), sender_name=user["nick"])


def _announcement(words: list[str], text: str) -> ClientEvent:
    if text.startswith(_MAINTENANCE):
        return MaintenanceStatus("begun" in text)
    if found := _RENAMED.fullmatch(text):
        return ReceivedNotification(NotificationKind.CHAT_RENAMED, _chat(words), name=found[1])
    return OtherFrame()


def _registered(words: list[str], text: str) -> ClientEvent:
    """The reply to a registration. After a success, the reply to the login follows, so a success itself is no reply."""
    if words[0] == "SUCCESS":
        return OtherFrame()
    return ServerReply(ReplyKind.REGISTRATION, error=text, needs_verification=True)


def _news(command: str, user: re.Match[str] | None, words: list[str], last: str) -> ClientEvent:
    chat, by = _chat(words), int(user["account"]) if user else 0
    match command:
        case "JOIN":
            return ReceivedNotification(NotificationKind.MEMBERSHIP_GRANTED, chat, by, words[0])
        case "PART":
            return ReceivedNotification(NotificationKind.ROLE_CHANGED, chat, by, text="left")
        case "MODE" | "KICK":
            changed = " ".join([*words[1:], last]).strip()
            return ReceivedNotification(NotificationKind.ROLE_CHANGED, chat, by, text=changed)
        case "TOPIC":
            return ReceivedNotification(NotificationKind.CHAT_SETTINGS_CHANGED, chat, by, text=last)
        case "NICK" | "SETNAME":
            return ReceivedNotification(NotificationKind.USER_RENAMED, user=by, name=last or words[0])
        case "INVITE":
            return ReceivedNotification(NotificationKind.MEMBERSHIP_REQUESTED, user=by, text=words[1])
        case "REDACT" if "-" in words[1]:
            number, _, index = words[1].partition("-")
            return ReceivedChange("recall", int(number), int(index), 0, by)
    return OtherFrame()
