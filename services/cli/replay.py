"""`dragoman replay` shows the meaning of each frame of a record, and the replies that need no service. It needs no
running system."""

import re
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from local.exit_status import ExitStatus
from local.options import FilePath
from services.cli.record_file import Record, UnreadableRecord, read
from services.edge.canonical.commands import BEFORE_LOGIN
from services.edge.canonical.frames import Binary, Outgoing
from services.edge.client.inbox import NOT_LOGGED_IN
from services.edge.dialects.base import ConnectionInfo, DecodeError, Dialect, Disconnect, LocalReply, Request
from services.edge.dialects.registry import DIALECTS
from shared.clock import now_ms
from shared.contract.auth import Login, Register
from shared.contract.ids import NO_ACCOUNT
from shared.contract.records import RecordedClose, RecordedFrame, RecordedLogin, RecordedOpening
from shared.settings.limits import LimitsSettings

_MASK = re.compile(r"<secret-\d+>|eyJ-secret-\d+\.masked\.masked|\b0{24,}[0-9a-f]+\b")
"""The masks that replace secrets in a record; see services.edge.recording."""
_LONG_NUMBER = re.compile(r"\d{10,}")
"""Matches a time, an OC number or the number of a message, which differ from one system to another."""


def comparable(text: str) -> str:
    """A recorded frame with its secrets and long numbers replaced, so that it can be compared."""
    return _LONG_NUMBER.sub("#", _MASK.sub("<secret>", text))


def make_dialect(opening: RecordedOpening, unix_ms: Callable[[], int] = now_ms) -> Dialect:
    """Makes the dialect of a recorded connection. Raises UnreadableRecord."""
    entry = next((entry for entry in DIALECTS if entry.name == opening.dialect), None)
    if entry is None:
        raise UnreadableRecord(
            f"the record has connections of the dialect {opening.dialect}, which this dragoman does not have",
            "Replay it with the dragoman that wrote it",
        )
    limits = LimitsSettings(rates=False)
    return entry(
        ConnectionInfo(limits, opening.base_url, opening.query, opening.binary, opening.language, unix_ms=unix_ms)
    )


class Player:
    """Plays a record against this server's code. `differences`: the number of replies that are not in the record."""

    def __init__(self) -> None:
        self.differences = 0
        self._connections: dict[int, _PlayedConnection] = {}

    def play(self, record: Record) -> Iterator[str]:
        """Replay the record; yields lines to print. Raises UnreadableRecord."""
        for event in record.events:
            if isinstance(event, RecordedOpening):
                self._connections[event.connection] = _PlayedConnection(event)
                lines: Iterator[str] = iter([f"opens, {event.dialect}"])
            elif (connection := self._connections.get(event.connection)) is None:
                continue
            elif isinstance(event, RecordedFrame):
                lines = connection.frame(event)
            elif isinstance(event, RecordedLogin):
                lines = connection.login(event)
            else:
                lines = iter([_closing(event)])
            for line in lines:
                yield f"#{event.connection} {line}"
        for number, connection in self._connections.items():
            for reply in connection.missing:
                self.differences += 1
                yield f"#{number} ! this server's reply is not in the record: {reply}"


class _PlayedConnection:
    """One connection of a record. As in the edge, frames after a login wait for the reply to the login, because their
    meaning depends on it."""

    def __init__(self, opening: RecordedOpening) -> None:
        self._dialect = make_dialect(opening, lambda: self._at)
        self._at = opening.at
        """The time when the frame that is being played was received."""
        self._account = NO_ACCOUNT
        self._waiting: deque[RecordedFrame] = deque()
        self._logs_in = False
        self.missing: list[str] = []
        """Replies of this server that have not appeared in the record yet."""

    def frame(self, event: RecordedFrame) -> Iterator[str]:
        text = f"({event.size} bytes, not recorded)" if event.text is None else event.text
        if event.by == "server":
            yield f"> {text}"
            if comparable(text) in self.missing:
                self.missing.remove(comparable(text))
            self._logs_in = False
        else:
            self._waiting.append(event)
        while self._waiting and not self._logs_in:
            yield from self._decode(self._waiting.popleft())

    def login(self, event: RecordedLogin) -> Iterator[str]:
        self._account = event.account
        self._dialect.logged_in(event.account, event.at / 1000)
        yield f"is logged in as {event.account}" if event.account else "is logged out"

    def _decode(self, event: RecordedFrame) -> Iterator[str]:
        dialect, now = self._dialect, event.at / 1000
        self._at = event.at
        if event.text is None and not event.binary:
            yield f"< ({event.size} bytes, masked as a whole or too large: not decoded)"
            return
        yield f"< {f'({event.size} bytes of a file)' if event.text is None else event.text}"
        try:
            actions = dialect.decode(Binary(bytes(event.size)) if event.text is None else event.text.encode(), now)
        except DecodeError as error:
            yield f"  cannot be decoded, {error.failure.code}: {error.failure.text}"
            yield from self._reply(dialect.encode_error(None, error.failure, error.context))
            if error.disconnect is not None:
                yield _disconnects(error.disconnect)
            return
        for action in actions:
            if isinstance(action, LocalReply):
                yield from self._reply(action.frames)
            elif isinstance(action, Request):
                yield from self._request(action)
            else:
                yield _disconnects(action)
        if not actions:
            yield "  is remembered"

    def _request(self, request: Request) -> Iterator[str]:
        yield f"  means {request.command!r}"
        is_login = isinstance(request.command, Login | Register) or bool(request.token)
        if self._account != NO_ACCOUNT:
            return
        self._logs_in = is_login
        if not is_login and not isinstance(request.command, BEFORE_LOGIN):
            yield from self._reply(self._dialect.encode_error(request, NOT_LOGGED_IN))

    def _reply(self, frames: tuple[Outgoing, ...]) -> Iterator[str]:
        for frame in frames:
            if isinstance(frame, bytes):
                self.missing.append(comparable(frame.decode()))
                yield f"  is answered {frame.decode()}"


def _closing(event: RecordedClose) -> str:
    return f"is closed by the server, {event.code} {event.reason}".rstrip() if event.code else "is closed by the client"


def _disconnects(action: Disconnect) -> str:
    return f"  disconnects, {action.code} {action.reason}".rstrip()


@click.command(epilog="Example: dragoman replay ann.record")
@click.argument("path", metavar="RECORD", type=FilePath(dir_okay=False))
def replay(path: Path) -> None:
    """Play a record of `dragoman admin record` through the protocols.

    The command prints each frame (< of the client, > of the server), its meaning, and the reply if the frame needs no
    service. The exit status is 1 when anything differs.
    """
    record, player = read(path), Player()
    for line in player.play(record):
        click.echo(line)
    if player.differences:
        sys.exit(ExitStatus.FAILED)
