"""Starts, ends and lends out the recording of this edge, at most one, by an operator's requests."""

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Protocol

from services.edge.recording.tap import Recording, Tap, TappedConnection
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, NodeId
from shared.contract.records import (
    EdgeRecording,
    ListRecordings,
    ReadRecording,
    RecordingPage,
    StartRecording,
    StopRecording,
)
from shared.telemetry import log

_log = log(__name__)
_MOST_SECONDS = 86_400
_MOST_BYTES = 64 * 1024 * 1024
_FORGET_SECONDS = 3_600.0
"""An ended recording that nobody reads is dropped."""
_PAGE_BYTES = 384 * 1024


class TappedClient(Protocol):
    """See services.edge.client.client."""

    tap: Tap | None

    @property
    def connection(self) -> TappedConnection: ...


class FrameRecorder:
    """`clients`: all of this edge, by their connections' numbers."""

    def __init__(self, clients: Mapping[int, TappedClient]) -> None:
        self._clients = clients
        self._recording: Recording | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._node = NodeId("")

    def serve(self, bus: Bus, node: NodeId) -> None:
        """To be called before the bus starts."""
        self._node = node
        bus.serve(StartRecording.route, self._start)
        bus.serve(StopRecording.route, self._stop)
        bus.serve(ListRecordings.route, self._list)
        bus.serve(subjects.recording(node), self._read)

    def connected(self, client: TappedClient) -> None:
        """A new connection."""
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
        """Ends the recording for this reason then, or (empty) drops it."""
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
        raise RequestError(ErrorCode.INVALID, "either an account or a dialect is recorded", "account")
    if not 1 <= request.seconds <= _MOST_SECONDS:
        raise RequestError(ErrorCode.INVALID, f"a recording takes 1 to {_MOST_SECONDS} s", "seconds")
    if not 1 <= request.bytes <= _MOST_BYTES:
        raise RequestError(ErrorCode.INVALID, f"a recording has 1 to {_MOST_BYTES} bytes", "bytes")
