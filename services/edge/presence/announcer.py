"""Announces over NATS that presence may lack accounts of this node, while the node cannot reach Redis."""

import time
from collections.abc import Awaitable, Callable

import nats.errors

from shared.bus.client import pack
from shared.contract.edge import PresenceIncomplete
from shared.contract.ids import NodeId
from shared.contract.subjects import PRESENCE_INCOMPLETE
from shared.telemetry import log

_log = log(__name__)
_PAUSE_SECONDS = 0.5
"""Logins that fail to register announce no more often than this."""

PublishBytes = Callable[[str, bytes], Awaitable[None]]
"""Publishes a payload on a NATS subject. Raises nats.errors.Error."""


class PresenceAnnouncer:
    """An announcement is valid for a lease, and is repeated by each beat of the lease."""

    def __init__(self, publish: PublishBytes, node: NodeId, lease_seconds: float) -> None:
        self._publish = publish
        self._node = node
        self._seconds = lease_seconds
        self._announced: float | None = None
        """When presence was announced as incomplete, monotonic seconds; None while it is complete."""

    async def announce_incomplete(self) -> None:
        now = time.monotonic()
        if self._announced is None or now - self._announced >= _PAUSE_SECONDS:
            self._announced = now
            await self._announce(self._seconds)

    async def announce_complete(self) -> None:
        if self._announced is not None:
            self._announced = None
            await self._announce(0)

    async def _announce(self, seconds: float) -> None:
        try:
            await self._publish(PRESENCE_INCOMPLETE, pack(PresenceIncomplete(self._node, int(seconds * 1000))))
        except nats.errors.Error as error:
            _log.warning("state of presence not announced", error=repr(error))
