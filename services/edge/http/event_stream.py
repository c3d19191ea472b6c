"""Sends a client without a socket its events, as a stream of server-sent events. The stream begins with the client's
position, or with the events that the client has missed since an earlier stream."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from urllib.parse import parse_qs

import msgspec

from services.edge.canonical.positions import HEAD_CHARACTERS, Place, pack, unpack
from services.edge.canonical.transport import Endpoint, Handshake
from services.edge.http.operation_connection import OperationConnection, OperationReply
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import ChatId
from shared.tasks import is_set_within

MAX_CHATS = 3000
"""The most chats whose positions are kept, because more positions would not fit into a command. The chats that have
changed last are kept."""
_BAD_CURSOR = "`have` and Last-Event-ID must be an id from a stream of events"
_SILENCE_SECONDS = 15.0
"""After this time without events, the stream writes a comment, because proxies end a response that is silent."""
_COMMENT = b":\n\n"
_WINDOW = 500
_TIMELINE = 100
"""The most missed messages of a chat that are sent. A `gap` names the indexes of the others."""
_PLACE_CHARACTERS = 12
"""The approximate number of characters that encode the position of one chat."""
_SHORT_CHARACTERS = 1024
"""A position up to this length follows each event. A longer position is sent only after events of the same length in
total."""


class _Event(msgspec.Struct):
    ev: str
    chat: ChatId = ChatId(0)
    index: int = 0
    rev: int = 0


class _ResumedChat(msgspec.Struct):
    chat: ChatId
    head: int
    rev: int
    changes_after: int | None = None
    state: int = 0


class SyncReply(msgspec.Struct):
    """The members of a reply to `sync` that a stream needs. `before`: set if there are more chats."""

    epoch: str
    reset: bool
    chats: list[_ResumedChat]
    gone: list[ChatId]
    before: list[int] | None = None
    lists: msgspec.Raw | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.reset or self.chats or self.gone or self.lists)


class EventPositions:
    """The client's position in each chat. A position moves only with the next message or change of the chat. So if the
    client misses an event, it gets everything from this event on again."""

    def __init__(self, epoch: str = "") -> None:
        self._epoch = epoch
        self._chats: dict[ChatId, Place] = {}
        """The positions of the chats. The chat that has changed last is the last in this order."""
        self._unmarked = 0
        """The number of characters of the events since a position was last sent."""

    @classmethod
    def parse(cls, text: str) -> "EventPositions":
        """Parse positions. Raises RequestError."""
        positions = cls()
        try:
            positions._epoch, positions._chats = unpack(text)
        except ValueError as error:
            raise RequestError(ErrorCode.INVALID, _BAD_CURSOR, "have") from error
        return positions

    def __len__(self) -> int:
        return len(self._chats)

    def __str__(self) -> str:
        return pack(self._epoch, self._chats)

    def synced(self, *pages: SyncReply) -> None:
        """Move the positions after the events of these pages, which list the last active chats first. Only the first
        page of a sync may require a reset."""
        first = pages[0]
        self._epoch = pages[-1].epoch or self._epoch
        if first.reset:
            self._chats.clear()
        for one in reversed([one for page in pages for one in page.chats]):
            rev = one.rev if one.changes_after is None else one.changes_after
            self._move(one.chat, Place(one.head, rev, one.state))
        for gone in first.gone:
            self._chats.pop(gone, None)

    def advance(self, encoded: bytes) -> tuple[bool, bool]:
        """Move the positions by this event of native. Returns whether the client lacks the event, and whether a
        position has moved."""
        event = msgspec.json.decode(encoded, type=_Event)
        known = self._chats.get(event.chat)
        place = known or Place(event.index - 1, 0)
        if event.ev == "message":
            return self._step(event.chat, event.index - place.last, place._replace(last=event.index))
        if event.ev == "changed" and known:
            return self._step(event.chat, event.rev - place.rev, place._replace(rev=event.rev))
        return True, event.ev == "gone" and self._chats.pop(event.chat, None) is not None

    def is_due(self, characters: int) -> bool:
        """Whether to send the position after an event of this number of characters. A long position is sent only after
        as many characters of events."""
        self._unmarked += characters
        if len(self._chats) * _PLACE_CHARACTERS > max(self._unmarked, _SHORT_CHARACTERS):
            return False
        self._unmarked = 0
        return True

    def _step(self, chat: ChatId, steps: int, place: Place) -> tuple[bool, bool]:
        if steps == 1:
            self._move(chat, place)
        return steps > 0, steps == 1

    def _move(self, chat: ChatId, place: Place) -> None:
        self._chats.pop(chat, None)
        if len(self._chats) >= MAX_CHATS:
            del self._chats[next(iter(self._chats))]
        self._chats[chat] = place


class EventConnection(OperationConnection):
    """A connection whose events are a stream. It lasts until `abort`, or until the edge closes it because the client
    reads too slowly."""

    ends_when_idle = False
    is_flood = False

    def __init__(self, endpoint: Endpoint, handshake: Handshake) -> None:
        self._unread: list[bytes] = []
        self._unread_bytes = 0
        self._changed = asyncio.Event()
        self._is_over = False
        super().__init__(endpoint, handshake, lambda _: self._end_stream())

    async def stream(self, positions: EventPositions) -> AsyncGenerator[bytes]:
        """The parts of the response until the connection ends: the events that the client lacks, and a comment after
        each silence."""
        while self._unread or not self._is_over:
            if not await is_set_within(self._changed, _SILENCE_SECONDS):
                yield _COMMENT
                continue
            self._changed.clear()
            events, self._unread, self._unread_bytes = self._unread, [], 0
            if part := b"".join(_unknown(event, positions) for event in events):
                yield part

    @property
    def drops_events(self) -> bool:
        return False

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
    """An event in the form of the stream. `positions`: the positions after the event, from which the client can
    resume."""
    block = b"data: %b\n\n" % event
    if positions is None:
        return block
    identifier, cursor = _position(positions)
    return identifier + block + cursor


def _position(positions: EventPositions) -> tuple[bytes, bytes]:
    """The position as the id of a block or, if the position is too long for a header, as a block of its own."""
    text = str(positions)
    if len(text) <= HEAD_CHARACTERS:
        return b"id: %b\n" % text.encode(), b""
    return b"", event_block(msgspec.json.encode({"ev": "cursor", "have": text}))


def _unknown(event: bytes, positions: EventPositions) -> bytes:
    """The event in the form of the stream, or nothing if the client already has it."""
    is_new, has_moved = positions.advance(event)
    return event_block(event, positions if has_moved and positions.is_due(len(event)) else None) if is_new else b""


class SyncRejected(Exception):
    def __init__(self, reply: OperationReply) -> None:
        super().__init__(reply.frame.decode())
        self.reply = reply


class Wait(msgspec.Struct):
    """The members of a `sync` that say how long its response may wait, and for which changes."""

    wait_ms: int = 0
    have: str | dict[str, object] = ""
    states: dict[str, int] = {}
    lists: dict[str, int] = {}

    @property
    def for_states(self) -> bool:
        """Whether the client also waits for states, and not only for messages and changes."""
        return bool(self.states or self.lists or (self.have and isinstance(self.have, str)))


class _Start(msgspec.Struct):
    have: str = ""


def known_positions(headers: Mapping[str, str], query: str, body: bytes) -> EventPositions | None:
    """The position that the client has sent in the body, in `Last-Event-ID` or in `?have=`. Raises RequestError."""
    try:
        text = msgspec.json.decode(body or b"{}", type=_Start).have
    except (ValueError, RecursionError) as error:
        raise RequestError(ErrorCode.INVALID, _BAD_CURSOR, "have") from error
    text = text or headers.get("last-event-id") or parse_qs(query).get("have", [""])[0]
    return EventPositions.parse(text) if text else None


async def first_part(connection: EventConnection, start: EventPositions | None) -> tuple[bytes, EventPositions]:
    """The first part of the response, and the positions after it. Raises SyncRejected."""
    positions, part, pages = start or EventPositions(), b"", list[SyncReply]()
    members: dict[str, object] = {"window": _WINDOW, "timeline": 0 if start is None else _TIMELINE}
    if start is not None:
        members["have"] = str(start)
    while True:
        events, page = await _page(connection, members)
        if page.reset:
            pages.clear()
            members.pop("have", None)
        pages.append(page)
        if page.before is None or (start is None and sum(len(one.chats) for one in pages) >= MAX_CHATS):
            break
        part += b"".join(map(event_block, events))
        members["before"] = page.before
    positions.synced(*pages)
    if start is not None:
        return part + b"".join(map(event_block, events[:-1])) + event_block(events[-1], positions), positions
    identifier, cursor = _position(positions)
    return cursor or identifier + b"\n", positions


async def _page(connection: EventConnection, members: Mapping[str, object]) -> tuple[list[bytes], SyncReply]:
    """Perform a sync. Returns the events that the client lacks, and the reply."""
    reply = await connection.perform("sync", msgspec.json.encode(members))
    if reply.error is not None:
        raise SyncRejected(reply)
    return resumed_events(reply), sync_reply(reply)


def resumed_events(reply: OperationReply) -> list[bytes]:
    """The events that take the place of the reply to a sync in a stream."""
    return [msgspec.json.encode({"ev": "resumed"} | reply.result), *reply.events]


def sync_reply(reply: OperationReply) -> SyncReply:
    return msgspec.json.decode(reply.frame, type=SyncReply)


def has_news(reply: OperationReply) -> bool:
    """Whether the reply to a sync must be sent now, because it is an error or contains something new."""
    return reply.error is not None or not sync_reply(reply).is_empty


def wait_of(body: bytes) -> Wait:
    """Read from a body how long its `sync` may wait. An invalid body will be rejected, and so does not wait."""
    try:
        return msgspec.json.decode(body, type=Wait)
    except (ValueError, RecursionError):
        return Wait()
