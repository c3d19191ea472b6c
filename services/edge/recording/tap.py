"""The recording of one edge, and its taps: one for each connection that is, or may become, one to record."""

import hashlib
import re
import secrets
from collections.abc import Callable
from typing import Literal, Protocol
from urllib.parse import parse_qsl, urlencode

import msgspec

from services.edge.canonical.frames import Binary, Frame
from services.edge.dialects.base import ConnectionInfo, Dialect
from shared.clock import now_ms
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.records import (
    RecordedClose,
    RecordedEvent,
    RecordedFrame,
    RecordedLogin,
    RecordedOpening,
    RecordingState,
    StartRecording,
)

_HASH = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{64}")
_TOKEN = re.compile(r"eyJ(?!-secret-)[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
"""A JWT, but no mask of one."""
_FRAME_BYTES = 256 * 1024
"""Of larger frames only the size is recorded: a page of a record must fit into one message of the bus."""
_HELD_EVENTS = 16
_HELD_BYTES = 16 * 1024
"""Of a connection before its login, while it is unknown whether it is one to record."""

_encode = msgspec.json.Encoder().encode


class SecretMasks:
    """Numbers secrets in the order of their appearance. A mask has the form of its secret, because forms decide what a
    frame means: `<secret-1>`, 31 or 63 zeros and a 1 for a hash in hex, `eyJ-secret-1.masked.masked` for a token. Holds
    keyed digests, no secret."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._numbers: dict[bytes, int] = {}

    def mask(self, secret: str) -> str:
        digest = hashlib.blake2b(secret.encode(), key=self._key).digest()
        number = self._numbers.setdefault(digest, len(self._numbers) + 1)
        if _HASH.fullmatch(secret):
            return f"{number:0{len(secret)}x}"
        return f"eyJ-secret-{number}.masked.masked" if _TOKEN.fullmatch(secret) else f"<secret-{number}>"

    def mask_tokens(self, text: str) -> str:
        """Masks tokens of this server wherever they stand, such as in a message."""
        return _TOKEN.sub(lambda found: self.mask(found[0]), text)


class TappedConnection(Protocol):
    """See services.edge.client.connection."""

    number: int
    account: AccountId
    dialect: Dialect | None
    info: ConnectionInfo


class Recording:
    """`full` is called when an event does not fit any more."""

    def __init__(self, request: StartRecording, full: Callable[[], None]) -> None:
        self.request = request
        self.masks = SecretMasks()
        self.lines: list[bytes] = []
        self.ended = ""
        self._full = full
        self._started = now_ms()
        self._size = 0

    @property
    def state(self) -> RecordingState:
        request = self.request
        return RecordingState(
            id=request.id,
            account=request.account,
            dialect=request.dialect,
            started=self._started,
            until=self._started + request.seconds * 1000,
            events=len(self.lines),
            bytes=self._size,
            ended=self.ended,
        )

    def wants(self, connection: TappedConnection) -> bool | None:
        """None: it is unknown before the login, or the first frame."""
        request, account, dialect = self.request, connection.account, connection.dialect
        if request.dialect:
            return None if dialect is None else dialect.name == request.dialect
        return None if account == NO_ACCOUNT else account == request.account

    def add(self, line: bytes) -> None:
        if self.ended:
            return
        if self._size + len(line) > self.request.bytes:
            self._full()
            return
        self._size += len(line)
        self.lines.append(line)


class Tap:
    """`detach` is called when the connection is none to record."""

    __slots__ = ("_account", "_connection", "_detach", "_held", "_held_bytes", "_is_opened", "_recording")

    def __init__(self, recording: Recording, connection: TappedConnection, detach: Callable[[], None]) -> None:
        self._recording = recording
        self._connection = connection
        self._detach = detach
        self._account = NO_ACCOUNT
        self._is_opened = False
        self._held: list[bytes] | None = []
        """None: all is recorded."""
        self._held_bytes = 0

    def received(self, frame: Frame) -> None:
        self._add_frame(frame, "client")

    def sent(self, frames: tuple[Frame, ...]) -> None:
        for frame in frames:
            self._add_frame(frame, "server")

    def closed(self, code: int = 0, reason: str = "") -> None:
        if self._is_opened:
            self._add(RecordedClose(now_ms(), self._connection.number, code, reason))
        self._detach()

    def _add_frame(self, frame: Frame, by: Literal["client", "server"]) -> None:
        connection = self._connection
        dialect, number, at = connection.dialect, connection.number, now_ms()
        if dialect is None:
            return
        if not self._is_opened:
            self._is_opened = True
            self._add(_opening(connection, dialect, at))
        if connection.account != self._account:
            self._account = connection.account
            self._add(RecordedLogin(at, number, connection.account))
        binary = isinstance(frame, Binary)
        text = None if isinstance(frame, Binary) else self._masked(frame, dialect)
        self._add(RecordedFrame(at=at, connection=number, by=by, size=len(frame), text=text, binary=binary))

    def _masked(self, frame: bytes, dialect: Dialect) -> str | None:
        if len(frame) > _FRAME_BYTES:
            return None
        masks = self._recording.masks
        masked = dialect.mask_secrets(frame, masks.mask)
        return None if masked is None else masks.mask_tokens(masked.decode())

    def _add(self, event: RecordedEvent) -> None:
        wanted, line, held = self._recording.wants(self._connection), _encode(event), self._held
        if wanted is False:
            self._detach()
        elif held is None:
            self._recording.add(line)
        elif wanted:
            self._held = None
            for one in (*held, line):
                self._recording.add(one)
        elif len(held) < _HELD_EVENTS and self._held_bytes + len(line) <= _HELD_BYTES:
            held.append(line)
            self._held_bytes += len(line)


def _opening(connection: TappedConnection, dialect: Dialect, at: int) -> RecordedOpening:
    info = connection.info
    query = urlencode([pair for pair in parse_qsl(info.query) if pair[0] in dialect.public_query])
    return RecordedOpening(
        at=at,
        connection=connection.number,
        dialect=dialect.name,
        base_url=info.base_url,
        query=query,
        binary=info.binary,
        language=info.language,
    )
