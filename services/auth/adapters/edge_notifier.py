"""Notifies edges at most once, and announces auth's state. A lost notification does no harm: edges list revocations
regularly, and a verification has a time limit."""

import asyncio
from collections.abc import Awaitable, Callable

import nats.errors

from shared.bus.client import Bus, pack
from shared.contract.auth import ListRevocations, Revocations
from shared.contract.edge import EdgeEvent, Notify
from shared.contract.errors import RequestError
from shared.contract.ids import NodeId
from shared.contract.subjects import AUTH_STATE, NOTIFY_ALL, notify
from shared.telemetry import log

_log = log(__name__)
_INTERVAL_SECONDS = 1.0
_AFTER_ALL = ListRevocations(2**63 - 1)
"""A request that lists no revocation."""


class NodeNotifier:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def notify_all(self, event: EdgeEvent) -> None:
        await self._publish(NOTIFY_ALL, event)

    async def notify_node(self, node: NodeId, event: EdgeEvent) -> None:
        await self._publish(notify(node), event)

    async def _publish(self, subject: str, event: EdgeEvent) -> None:
        try:
            await self._bus.publish(subject, pack(Notify(event)))
        except nats.errors.Error as error:
            _log.warning("notification not sent", kind=type(event).__name__, error=repr(error))


async def announce_state(list_revocations: Callable[[ListRevocations], Awaitable[Revocations]], bus: Bus) -> None:
    """Announce auth's state to all edges each second, until cancelled: the number of the last revocation, maintenance
    mode, and the names of the keys. An edge whose state differs requests the difference."""
    while True:
        try:
            await bus.publish(AUTH_STATE, pack(await list_revocations(_AFTER_ALL)))
        except (RequestError, nats.errors.Error) as error:
            _log.debug("state not announced", error=repr(error))
        await asyncio.sleep(_INTERVAL_SECONDS)
