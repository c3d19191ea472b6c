"""What an account missed, to one of its connections: after a login, and for chats that turn up in a re-sync.

Presence is registered before this starts, so a message is either read here or delivered as news, or both: each
connection keeps its own last index per chat until the chat's head on this node has passed it.
"""

import asyncio
from typing import Protocol

from services.edge.encoding import Encoded
from services.edge.node import Node
from services.edge.residents import Resident
from services.edge.streams import ChatStream
from shared.contract import subjects
from shared.contract.errors import ErrorCode, Refused
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ChatSync, Sync, SyncChat
from shared.contract.model import Message
from shared.telemetry import log

_log = log(__name__)
_PAUSE_SECONDS = 0.5
_PACE_SECONDS = 0.05
_PACE_BYTES = 256 * 1024

READING = -1
"""The position of a chat whose backlog is still being read."""


class Positions:
    """How far one connection has read each chat; messages up to there, and of chats not reached yet, are not news."""

    __slots__ = ("complete", "last", "missed")

    def __init__(self) -> None:
        self.last: dict[ChatId, int] = {}
        self.missed: set[ChatId] = set()
        """Chats that had news before the sync reached them."""
        self.complete = False
        """Every chat has been reached."""

    def covers(self, chat: ChatId, index: int) -> bool:
        """Whether the backlog holds this message, so that it must not be pushed as news."""
        position = self.last.get(chat)
        if position is None:
            if self.complete:
                return False
            self.missed.add(chat)
            return True
        return position == READING or index <= position


class Reader(Protocol):
    """The connection that reads."""

    positions: Positions | None

    def push(self, encoded: Encoded) -> None: ...

    def knows(self, chats: list[ChatId]) -> None: ...

    def unsent(self) -> int: ...

    def is_at(self, positions: Positions) -> bool:
        """Whether it is still logged in as when it got these positions."""


async def sync(node: Node, reader: Reader, resident: Resident, positions: Positions) -> None:
    """Everything unread in every chat; goes on until it is read, or the connection is gone."""
    after = ChatId(0)
    while reader.is_at(positions):
        try:
            reply = await node.bus.ask(subjects.SYNC, Sync(resident.account, after), retry=True)
        except Refused as refusal:
            _log.warning("sync failed, will be repeated", error=str(refusal))
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        if not reader.is_at(positions):
            return
        reader.knows([entry.chat for entry in reply.chats])
        for entry in reply.chats:
            await read_chat(node, reader, resident, positions, entry)
        if not reply.more:
            break
        after = reply.chats[-1].chat
    await _finish(node, reader, resident, positions)


async def _finish(node: Node, reader: Reader, resident: Resident, positions: Positions) -> None:
    """Chats that turned up while the sync was under way, then back to plain delivery as soon as possible."""
    while reader.is_at(positions) and (late := positions.missed - positions.last.keys()):
        for chat in late:
            await _read_on(node, reader, resident, positions, _Rest(chat))
    positions.complete = True
    _forget_passed(node, reader, positions)


async def sync_chat(node: Node, reader: Reader, resident: Resident, entry: ChatSync) -> None:
    """A chat that a re-sync found, to a connection that is past its own sync."""
    positions = reader.positions
    if positions is None:
        positions = reader.positions = Positions()
        positions.complete = True
    await read_chat(node, reader, resident, positions, entry)
    _forget_passed(node, reader, positions)


def _forget_passed(node: Node, reader: Reader, positions: Positions) -> None:
    for chat, last in list(positions.last.items()):
        stream = node.delivery.stream(chat)
        if last != READING and (stream is None or stream.head is None or stream.head >= last):
            del positions.last[chat]
    if positions.complete and not positions.last and reader.positions is positions:
        reader.positions = None


async def read_chat(node: Node, reader: Reader, resident: Resident, positions: Positions, entry: ChatSync) -> None:
    """One chat of a sync, to its head."""
    if not reader.is_at(positions):
        return
    stream = node.delivery.joined(resident, entry.chat, entry.head)
    if entry.unread_from > entry.read_index + 1:
        node.read_state.add(resident.account, {entry.chat: [(entry.read_index + 1, entry.unread_from - 1)]})
    for message in entry.messages:
        reader.push(Encoded(message))
    positions.last[entry.chat] = entry.upto
    if entry.upto < entry.head or (stream.head is not None and stream.head > entry.upto):
        await _read_on(node, reader, resident, positions, _Rest(entry.chat, entry.upto, entry.read))
    await _pace(reader, positions)


class _Rest:
    """What is left of a chat: after an index (None: from the account's first unread one), without what is read."""

    __slots__ = ("_read", "after", "chat")

    def __init__(self, chat: ChatId, after: int | None = None, read: list[tuple[int, int]] | None = None) -> None:
        self.chat = chat
        self.after = after
        self._read = read or []

    def wants(self, message: Message, account: AccountId, first: int) -> bool:
        if message.sender == account or message.index < first:
            return False
        return not any(low <= message.index <= high for low, high in self._read)


async def _read_on(node: Node, reader: Reader, resident: Resident, positions: Positions, rest: _Rest) -> None:
    """Page to the head while news of this chat are left aside, then change over to them."""
    stream = node.delivery.joined(resident, rest.chat, None)
    positions.last[rest.chat] = READING
    stream.readers += 1
    try:
        while reader.is_at(positions):
            try:
                if await _read_page(node, reader, resident, stream, rest):
                    break
            except Refused as refusal:
                if refusal.failure.code is not ErrorCode.UNAVAILABLE:
                    break
                await asyncio.sleep(_PAUSE_SECONDS)
            await _pace(reader, positions)
    finally:
        stream.readers -= 1
        positions.last[rest.chat] = rest.after or 0


async def _read_page(node: Node, reader: Reader, resident: Resident, stream: ChatStream, rest: _Rest) -> bool:
    """One page; whether the connection has all there is."""
    account = resident.account
    after = 2**53 if rest.after is None else rest.after
    reply = await node.bus.ask(subjects.SYNC_CHAT, SyncChat(rest.chat, [account], after), retry=True)
    if account not in reply.first_index:
        return True
    if rest.after is None:
        rest.after = min(reply.unread_from[account] - 1, reply.head)
    else:
        _push(reader, rest, reply.messages, account, reply.first_index[account])
        rest.after = max(rest.after, reply.upto)
    recent = stream.recent_after(rest.after) if rest.after >= reply.head else None
    if recent is None:
        return False
    _push(reader, rest, recent, account, reply.first_index[account])
    rest.after = max(rest.after, stream.head or 0)
    return True


def _push(reader: Reader, rest: _Rest, messages: list[Message], account: AccountId, first: int) -> None:
    for message in messages:
        if rest.wants(message, account, first):
            reader.push(Encoded(message))


async def _pace(reader: Reader, positions: Positions) -> None:
    while reader.unsent() > _PACE_BYTES and reader.is_at(positions):  # noqa: ASYNC110 (the kernel sets no event)
        await asyncio.sleep(_PACE_SECONDS)
