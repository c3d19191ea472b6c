"""Removes the content of messages that are older than the settings allow. Once a day, the replica that leads the
partition of the first chat does this in small steps."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from services.message.metrics import MessageMetrics
from services.message.store.retention import Expired
from shared.clock import now_ms
from shared.contract.errors import RequestError
from shared.telemetry import log

_log = log(__name__)
_FIRST_SECONDS = 60.0
_INTERVAL_SECONDS = 86_400.0
_PAUSE_SECONDS = 0.2
"""The pause between two transactions of a few hundred messages each."""
_DAY_MS = 86_400_000


class MessageExpiry(Protocol):
    async def expire(self, before: int, after: int) -> Expired: ...


async def run(store: MessageExpiry, days: float, is_elected: Callable[[], bool], metrics: MessageMetrics) -> None:
    """Runs the housekeeping until it is cancelled."""
    await asyncio.sleep(_FIRST_SECONDS)
    while True:
        if is_elected():
            try:
                metrics.expired.inc(await expire_all(store, now_ms() - int(days * _DAY_MS), _PAUSE_SECONDS))
            except RequestError as error:
                _log.warning("expired messages were not removed: will be retried", error=str(error))
        await asyncio.sleep(_INTERVAL_SECONDS)


async def expire_all(store: MessageExpiry, before: int, pause: float) -> int:
    """Examines all messages. In a database that has exchanged partitions, a higher id does not mean a later message, so
    the search cannot stop at the first message that is new enough. Returns the number of bodies replaced."""
    after: int | None = 0
    total = 0
    while after is not None:
        after, expired = await store.expire(before, after)
        total += expired
        await asyncio.sleep(pause if expired else 0.02)
    return total
