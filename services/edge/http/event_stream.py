"""A client's connection without a socket, whose events are a stream of server-sent events. It begins with nothing but
its position, or with what the reader of an earlier stream has missed."""

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Mapping
from itertools import accumulate, chain, pairwise
from typing import Annotated
from urllib.parse import parse_qs

import msgspec

from services.edge.canonical.transport import Endpoint, Handshake
from services.edge.http.operation_connection import OperationConnection, OperationReply
from shared.contract.errors import ErrorCode, RequestError

MAX_CHATS = 1000
"""As many as a `sync` may name. The stream knows those best that have changed last."""
_BAD_CURSOR = "`have` and Last-Event-ID are an id of a stream of events"
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
_Text = Annotated[str, msgspec.Meta(max_length=1024)]
_SILENCE_SECONDS = 15.0
"""Proxies end a response that is silent for long."""
_COMMENT = b":\n\n"
_WINDOW = 100
_TIMELINE = 100
"""Messages of a chat; more are a `gap`."""
_PAGES = 10


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """`chats`: for each, in order, the difference to the one before, the last index and the last rev."""

    epoch: _Text
    chats: Annotated[list[tuple[_Count, _Count, _Count]], msgspec.Meta(max_length=MAX_CHATS)]


class _Event(msgspec.Struct):
    ev: str
    chat: int = 0
    index: int = 0
    rev: int = 0


class _ResumedChat(msgspec.Struct):
    chat: int
    head: int
    rev: int
    changes_after: int | None = None


class SyncReply(msgspec.Struct):
    """What a stream needs of the reply to `sync`. `before`: there are more chats."""

    epoch: str
    reset: bool
    chats: list[_ResumedChat]
    gone: list[int]
    before: list[int] | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.reset or self.chats or self.gone)


class EventPositions:
    """A position moves with the next message or change of its chat alone: what comes beyond a hole comes again."""

    def __init__(self, epoch: str = "") -> None:
        self._epoch = epoch
        self._chats: dict[int, tuple[int, int]] = {}
        """Index and rev by chat; the last changed one is the last."""

    @classmethod
    def parse(cls, text: str) -> "EventPositions":
        """Raises RequestError."""
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            cursor = msgspec.msgpack.decode(packed, type=_Cursor)
        except (binascii.Error, ValueError) as error:
            raise RequestError(ErrorCode.INVALID, _BAD_CURSOR, "have") from error
        positions = cls(cursor.epoch)
        chats = accumulate(difference for difference, _, _ in cursor.chats)
        positions._chats = {chat: (index, rev) for chat, (_, index, rev) in zip(chats, cursor.chats, strict=True)}
        return positions

    def __len__(self) -> int:
        return len(self._chats)

    def __str__(self) -> str:
        chats = sorted(self._chats)
        differences = [after - before for before, after in pairwise(chain((0,), chats))]
        cursor = _Cursor(
            self._epoch, [(step, *self._chats[chat]) for step, chat in zip(differences, chats, strict=True)]
        )
        return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()

    def have(self) -> dict[str, object]:
        """The parameters of a sync from here."""
        return {"epoch": self._epoch, "have": {str(chat): place for chat, place in self._chats.items()}}

    def synced(self, reply: SyncReply) -> None:
        """After the events of this reply."""
        self._epoch = reply.epoch or self._epoch
        if reply.reset:
            self._chats.clear()
        for chat in reversed(reply.chats):
            self._move(chat.chat, chat.head, chat.rev if chat.changes_after is None else chat.changes_after)
        for gone in reply.gone:
            self._chats.pop(gone, None)

    def advance(self, encoded: bytes) -> tuple[bool, bool]:
        """Whether the reader lacks this event of native, and whether a position has moved."""
        event = msgspec.json.decode(encoded, type=_Event)
        known = self._chats.get(event.chat)
        index, rev = known or (event.index - 1, 0)
        if event.ev == "message":
            return self._step(event.chat, event.index - index, (event.index, rev))
        if event.ev == "changed" and known:
            return self._step(event.chat, event.rev - rev, (index, event.rev))
        return True, event.ev == "gone" and self._chats.pop(event.chat, None) is not None

    def _step(self, chat: int, steps: int, place: tuple[int, int]) -> tuple[bool, bool]:
        if steps == 1:
            self._move(chat, *place)
        return steps > 0, steps == 1

    def _move(self, chat: int, index: int, rev: int) -> None:
        self._chats.pop(chat, None)
        if len(self._chats) >= MAX_CHATS:
            del self._chats[next(iter(self._chats))]
        self._chats[chat] = index, rev


class EventConnection(OperationConnection):
    """Lasts until `abort`, or until the edge closes it, as it does when the events are read too slowly."""

    ends_when_idle = False
    is_flood = False

    def __init__(self, endpoint: Endpoint, handshake: Handshake) -> None:
        self._unread: list[bytes] = []
        self._unread_bytes = 0
        self._changed = asyncio.Event()
        self._is_over = False
        super().__init__(endpoint, handshake, lambda _: self._end_stream())

    async def stream(self, positions: EventPositions) -> AsyncGenerator[bytes]:
        """Parts of the response: the events that the reader lacks until the end of the connection, and a comment after
        each silence."""
        while self._unread or not self._is_over:
            try:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                yield _COMMENT
                continue
            self._changed.clear()
            events, self._unread, self._unread_bytes = self._unread, [], 0
            if part := b"".join(_unknown(event, positions) for event in events):
                yield part

    def unsent(self) -> int:
        return self._unread_bytes

    def pushed(self, event: bytes) -> None:
        self._unread.append(event)
        self._unread_bytes += len(event)
        self._changed.set()

    def _end_stream(self) -> None:
        self._is_over = True
        self._changed.set()


def event_block(event: bytes, positions: EventPositions | None = None) -> bytes:
    """`positions`: those after the event, from which the stream may be resumed."""
    return b"%bdata: %b\n\n" % (b"" if positions is None else b"id: %b\n" % str(positions).encode(), event)


def _unknown(event: bytes, positions: EventPositions) -> bytes:
    """Nothing if the reader has the event."""
    is_new, has_moved = positions.advance(event)
    return event_block(event, positions if has_moved else None) if is_new else b""


class SyncRejected(Exception):
    def __init__(self, reply: OperationReply) -> None:
        super().__init__(reply.error_code)
        self.reply = reply


class Wait(msgspec.Struct):
    """What of a `sync` says how long its response may wait, and for what."""

    wait_ms: int = 0
    states: dict[str, int] = {}


def known_positions(headers: Mapping[str, str], query: str) -> EventPositions | None:
    """What the reader has, by `Last-Event-ID` or else by `?have=`. Raises RequestError."""
    text = headers.get("last-event-id") or parse_qs(query).get("have", [""])[0]
    return EventPositions.parse(text) if text else None


async def first_part(connection: EventConnection, start: EventPositions | None) -> tuple[bytes, EventPositions]:
    """The first part of the response, and the positions after it. Raises SyncRejected."""
    positions, part, is_last = start or EventPositions(), b"", False
    for _ in range(_PAGES):
        page, is_last = await _page(connection, positions, timeline=0 if start is None else _TIMELINE)
        part += page
        if is_last or len(positions) >= MAX_CHATS:
            break
    return (b"id: %b\n\n" % str(positions).encode() if start is None else part), positions


async def _page(connection: EventConnection, positions: EventPositions, *, timeline: int) -> tuple[bytes, bool]:
    """The events that the reader lacks, and whether they are the last. Moves the positions."""
    members = {**positions.have(), "window": _WINDOW, "timeline": timeline}
    reply = await connection.perform("sync", msgspec.json.encode(members))
    if reply.error_code is not None:
        raise SyncRejected(reply)
    result = sync_reply(reply)
    *events, synced = resumed_events(reply)
    positions.synced(result)
    blocks = [*map(event_block, events), event_block(synced, positions)]
    return b"".join(blocks), result.before is None


def resumed_events(reply: OperationReply) -> list[bytes]:
    """Those of a stream in place of the reply to a sync."""
    return [msgspec.json.encode({"ev": "resumed"} | reply.result), *reply.events]


def sync_reply(reply: OperationReply) -> SyncReply:
    return msgspec.json.decode(reply.frame, type=SyncReply)


def has_news(reply: OperationReply) -> bool:
    """Whether the reply to a sync is worth a response: it is an error, or something is new."""
    return reply.error_code is not None or not sync_reply(reply).is_empty


def wait_of(body: bytes) -> Wait:
    """No waiting, for a body that will be rejected."""
    try:
        return msgspec.json.decode(body, type=Wait)
    except (ValueError, RecursionError):
        return Wait()
