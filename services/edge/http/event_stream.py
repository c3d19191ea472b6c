"""What a stream of events begins with: nothing but its position, or what the reader of an earlier one has missed."""

from collections.abc import Mapping
from urllib.parse import parse_qs

import msgspec

from services.edge.http.event_connection import EventConnection, event_block
from services.edge.http.event_positions import MAX_CHATS, EventPositions, SyncReply
from services.edge.http.operation_connection import OperationReply

_WINDOW = 100
_TIMELINE = 100
"""Messages of a chat; more are a `gap`."""
_PAGES = 10


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
    except msgspec.DecodeError:
        return Wait()
