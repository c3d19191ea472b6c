"""Tells search which chats have new or changed messages. An announcement may be lost: search sees a gap in their
numbers, and compares the positions of all chats from time to time."""

import asyncio
from collections.abc import Callable
from itertools import count

import msgspec
import nats.errors

from services.message.adapters.fanout import PublishBytes
from shared.clock import now_ms
from shared.contract.following import ANNOUNCE_SECONDS, MovedChats
from shared.contract.ids import ChatId
from shared.contract.subjects import MOVED_CHATS
from shared.telemetry import log

_log = log(__name__)
_CHATS = 20_000
"""Of an announcement."""
_pack = msgspec.msgpack.Encoder().encode


async def announce_moved(publish: PublishBytes, take_moved: Callable[[], set[ChatId]], replica: str) -> None:
    """Until cancelled. While nothing moves, it publishes nothing."""
    epoch, numbers = now_ms(), count(1)
    while True:
        await asyncio.sleep(ANNOUNCE_SECONDS)
        chats = sorted(take_moved())
        for start in range(0, len(chats), _CHATS):
            moved = MovedChats(replica, epoch, next(numbers), chats[start : start + _CHATS])
            try:
                await publish(MOVED_CHATS, _pack(moved))
            except nats.errors.Error as error:
                _log.debug("moved chats not announced", error=repr(error))
