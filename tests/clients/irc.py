"""Clients of IRC over WebSocket, written from the dialect's document.

The server sends missed messages to `Irc` after its login; `IrcWithHistory` requests them.
"""

import base64
import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, NamedTuple

from tests.clients.client import Account, Client, Malformed, RequestRejected, Segment, Sight
from tests.clients.line import SECONDS
from tests.clients.ourchat_v2 import V2

_LINE = re.compile(r"(?:@(\S+) )?(?::(\S+) )?(\S+)((?: (?!:)\S+)*)(?: :(.*))?", re.DOTALL)
_ACCOUNT = re.compile(r"[^!]+!u(\d+)@\1\.")
_WELCOME_ENDS = "422"


class _Line(NamedTuple):
    tags: dict[str, str]
    source: str
    command: str
    words: list[str]
    text: str


def _parsed(frame: str) -> _Line:
    found = _LINE.fullmatch(frame)
    if found is None:
        raise Malformed(frame)
    tags = dict(tag.partition("=")[::2] for tag in (found[1] or "").split(";"))
    return _Line(tags, found[2] or "", found[3], found[4].split(), found[5] or "")


class Irc(Client):
    """A client that reads messages and skips all other lines."""

    dialect = "irc"
    sees_own = True
    capabilities: ClassVar[str] = "batch draft/multiline echo-message message-tags server-time"

    def __init__(self, edge: str, *, bare: bool = False) -> None:
        super().__init__(edge, bare=bare)
        self._edge = edge
        self._batches: dict[str, tuple[_Line, list[_Line]]] = {}
        """Messages of several lines that have not ended yet: the first line, and the lines of the text."""

    def register(self, account: Account, name: str) -> None:
        """Registers over OurChat v2, because IRC has a nick but no nickname."""
        other = V2(self._edge)
        other.register(account, name)
        other.line.close()
        self.login(account)

    def login(self, account: Account) -> None:
        if not self.account.id:
            self._write(f"CAP REQ :{self.capabilities}", "CAP END")
        self._write("AUTHENTICATE PLAIN")
        if not self.account.id:
            self._write("NICK n", "USER n 0 * :n")
        secret = base64.b64encode(f"\0{account.id}\0{account.password}".encode()).decode()
        self._write(f"AUTHENTICATE {secret}")
        reply = self._await("900", "904")
        if reply.command == "904":
            raise RequestRejected(reply.text)
        if not self.account.id:
            self._await(_WELCOME_ENDS)
        self.account = account

    def _write(self, *lines: str) -> None:
        for line in lines:
            self.line.send(line)

    def _await(self, *commands: str) -> _Line:
        """Returns the first line with one of these commands. Lines that came before it stay pending."""
        deadline = time.monotonic() + SECONDS
        while (line := _parsed(frame := self.line.read(deadline - time.monotonic()))).command not in commands:
            self.pending.append(frame)
        return line

    def send_message(self, chat: int, segments: tuple[Segment, ...], to: int = 0) -> None:
        """Sends one text segment."""
        target, lines = f"n|{to}" if to else f"#x~{chat}", str(segments[0]).split("\n")
        if len(lines) == 1:
            self._write(f"PRIVMSG {target} :{lines[0]}")
        else:
            self._write(f"BATCH +1 draft/multiline {target}")
            self._write(*(f"@batch=1 PRIVMSG {target} :{line}" for line in lines), "BATCH -1")

    def acknowledged(self) -> int:
        raise RequestRejected(self._await("401", "403", "404", "442", "FAIL"))

    def history(self, chat: int, count: int) -> list[Sight]:
        """Returns the newest messages, the oldest of them first."""
        self._write(f"CHATHISTORY LATEST #x~{chat} * {count}")
        start = self._await_batch("chathistory")
        found: list[Sight] = []
        while not ((line := _parsed(frame := self.line.read())).command == "BATCH" and line.words == [f"-{start}"]):
            if (sight := self.sight(frame)) is not None:
                found.append(sight)
        return found

    def _await_batch(self, kind: str) -> str:
        while (line := self._await("BATCH")).words[1:2] != [kind]:
            raise Malformed(str(line))
        return line.words[0][1:]

    def see(self, seconds: float = SECONDS) -> Sight:
        deadline = time.monotonic() + seconds
        while True:
            frame = self.pending.popleft() if self.pending else self.line.read(deadline - time.monotonic())
            if (sight := self.sight(frame)) is not None:
                return sight

    def sight(self, frame: str) -> Sight | None:
        """Returns the message that ends with this line."""
        line = _parsed(frame)
        batch = self._batches.get(line.tags.get("batch", ""))
        match line.command:
            case "BATCH" if line.words[0].startswith("+") and line.words[1] == "draft/multiline":
                self._batches[line.words[0][1:]] = line, []
            case "BATCH" if line.words[0][1:] in self._batches:
                first, lines = self._batches.pop(line.words[0][1:])
                return _message(first, "".join(_joined(lines)))
            case "PRIVMSG" if batch is not None:
                batch[1].append(line)
            case "PRIVMSG" | "NOTICE" if "!" in line.source:
                return _message(line, line.text)
        return None


class IrcWithHistory(Irc):
    """A client that requests the history of chats, as IRC clients on phones do."""

    capabilities = f"{Irc.capabilities} draft/chathistory draft/read-marker no-implicit-names"


def _joined(lines: list[_Line]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number and "draft/multiline-concat" not in line.tags:
            yield "\n"
        yield line.text


def _message(line: _Line, text: str) -> Sight:
    chat, _, index = line.tags["msgid"].partition("-")
    by = _ACCOUNT.match(line.source)
    if by is None:
        raise Malformed(str(line))
    ms = round(datetime.fromisoformat(line.tags["time"]).timestamp() * 1000)
    return Sight("message", {"chat": int(chat), "sender": int(by[1]), "text": text}, {"index": int(index), "ms": ms})
