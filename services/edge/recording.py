"""Records frames without their secrets. A tap records the frames of one connection. This edge has at most one recording
at a time, which operators' requests start, end and fetch."""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Literal, Protocol
from urllib.parse import parse_qsl, urlencode

import msgspec

from services.edge.canonical.frames import Binary, Frame
from services.edge.dialects.base import ConnectionInfo, Dialect
from shared.bus.client import Bus
from shared.clock import now_ms
from shared.contract import subjects
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, NodeId
from shared.contract.model import Scheme
from shared.contract.records import (
    EdgeRecording,
    ListRecordings,
    ReadRecording,
    RecordedClose,
    RecordedEvent,
    RecordedFrame,
    RecordedLogin,
    RecordedOpening,
    RecordingPage,
    RecordingState,
    StartRecording,
    StopRecording,
)
from shared.telemetry import log

_TOKEN = re.compile(r"eyJ(?!-secret-)[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
"""A JWT that is not masked."""
_FRAME_BYTES = 256 * 1024
"""Of a larger frame, only the size is recorded, because a page of a record must fit into one NATS message."""
_HELD_EVENTS = 16
_HELD_BYTES = 16 * 1024
"""The most bytes that are held for a connection before its login. Until then, it is unknown whether the connection is
to be recorded."""

_encode = msgspec.json.Encoder().encode
_log = log(__name__)
_MOST_SECONDS = 86_400
_MOST_BYTES = 64 * 1024 * 1024
_FORGET_SECONDS = 3_600.0
"""The time after which an ended recording is dropped if it is not fetched."""
_PAGE_BYTES = 384 * 1024


class SecretMasks:
    """Replaces secrets by masks, with numbers in the order of their first appearance. A mask has the form of its
    secret, because the form decides what a frame means. The forms are `<secret-1>`, 31 or 63 zeros and a 1 for a hash
    in hex, and `eyJ-secret-1.masked.masked` for a token. Keyed digests of the secrets are kept, but not the secrets."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._numbers: dict[bytes, int] = {}

    def mask(self, secret: str) -> str:
        digest = hashlib.blake2b(secret.encode(), key=self._key).digest()
        number = self._numbers.setdefault(digest, len(self._numbers) + 1)
        if Scheme.MD5.fits(secret) or Scheme.SHA256.fits(secret):
            return f"{number:0{len(secret)}x}"
        return f"eyJ-secret-{number}.masked.masked" if _TOKEN.fullmatch(secret) else f"<secret-{number}>"

    def mask_tokens(self, text: str) -> str:
        """Mask the tokens of this server wherever they are in the text, for example in a message."""
        return _TOKEN.sub(lambda found: self.mask(found[0]), text)


class TappedConnection(Protocol):
    """See services.edge.client.connection."""

    number: int
    account: AccountId
    dialect: Dialect | None
    info: ConnectionInfo


class Recording:
    """The events of one recording. `full` is called when an event does not fit any more."""

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
        """Whether to record this connection. None while this is unknown, before the login or the first frame."""
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
    """Records the frames of one connection. `detach` is called when it turns out that the connection is not to be
    recorded."""

    __slots__ = ("_account", "_connection", "_detach", "_held", "_held_bytes", "_is_opened", "_recording")

    def __init__(self, recording: Recording, connection: TappedConnection, detach: Callable[[], None]) -> None:
        self._recording = recording
        self._connection = connection
        self._detach = detach
        self._account = NO_ACCOUNT
        self._is_opened = False
        self._held: list[bytes] | None = []
        """Events that are held until it is known whether to record the connection. None if it is known."""
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


class TappedClient(Protocol):
    """See services.edge.client.client."""

    tap: Tap | None

    @property
    def connection(self) -> TappedConnection: ...


class FrameRecorder:
    """Carries out the operator's requests to record frames on this edge. `clients`: all clients of this edge, by the
    numbers of their connections."""

    def __init__(self, clients: Mapping[int, TappedClient]) -> None:
        self._clients = clients
        self._recording: Recording | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._node = NodeId("")

    def serve(self, bus: Bus, node: NodeId) -> None:
        """Must be called before the bus client starts."""
        self._node = node
        bus.serve(StartRecording.route, self._start)
        bus.serve(StopRecording.route, self._stop)
        bus.serve(ListRecordings.route, self._list)
        bus.serve(subjects.recording(node), self._read)

    def connected(self, client: TappedClient) -> None:
        """Begin to record a new connection, if the recording may want it."""
        recording = self._recording
        if recording is not None and not recording.ended and recording.wants(client.connection) is not False:
            client.tap = Tap(recording, client.connection, lambda: _detach(client))

    async def _start(self, request: StartRecording) -> EdgeRecording:
        _check(request)
        current = self._recording
        if current is None or current.request.id != request.id:
            if current is not None and not current.ended:
                raise RequestError(ErrorCode.CONFLICT, f"the recording {current.request.id} runs", "id")
            self._recording = Recording(request, lambda: self._end("size"))
            self._set_timer(request.seconds, "time")
            for client in self._clients.values():
                self.connected(client)
            _log.info("recording starts", id=request.id, account=request.account, dialect=request.dialect)
        return self._state()

    async def _stop(self, request: StopRecording) -> EdgeRecording:
        self._find(request.id)
        self._end("stopped")
        state = self._state()
        if request.drop:
            self._drop()
        return state

    async def _list(self, _: ListRecordings) -> EdgeRecording:
        return self._state()

    async def _read(self, request: ReadRecording) -> RecordingPage:
        lines, page, size = self._find(request.id).lines, list[str](), 0
        for line in islice(lines, request.after, None):
            size += len(line)
            if page and size > _PAGE_BYTES:
                break
            page.append(line.decode())
        return RecordingPage(page, request.after + len(page) < len(lines))

    def _find(self, id: str) -> Recording:
        recording = self._recording
        if recording is None or recording.request.id != id:
            raise RequestError(ErrorCode.NOT_FOUND, f"there is no recording {id} here", "id")
        return recording

    def _state(self) -> EdgeRecording:
        recording = self._recording
        return EdgeRecording(self._node, None if recording is None else recording.state)

    def _end(self, reason: str) -> None:
        recording = self._recording
        if recording is None or recording.ended:
            return
        recording.ended = reason
        for client in self._clients.values():
            client.tap = None
        self._set_timer(_FORGET_SECONDS, "")
        _log.info("recording ended", id=recording.request.id, reason=reason, events=len(recording.lines))

    def _set_timer(self, seconds: float, reason: str) -> None:
        """End the recording after `seconds`, for this reason. Without a reason, the ended recording is dropped then."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._end, reason) if reason else loop.call_later(seconds, self._drop)

    def _drop(self) -> None:
        self._recording = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _detach(client: TappedClient) -> None:
    client.tap = None


def _check(request: StartRecording) -> None:
    if (request.account == NO_ACCOUNT) is not bool(request.dialect):
        raise RequestError(ErrorCode.INVALID, "give either an account or a dialect to record", "account")
    if not 1 <= request.seconds <= _MOST_SECONDS:
        raise RequestError(ErrorCode.INVALID, f"a recording takes 1 to {_MOST_SECONDS} s", "seconds")
    if not 1 <= request.bytes <= _MOST_BYTES:
        raise RequestError(ErrorCode.INVALID, f"a recording has 1 to {_MOST_BYTES} bytes", "bytes")
