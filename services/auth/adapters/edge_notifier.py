"""Notifies edges over the bus, at most once. Edges recover from a lost notification: they list revocations regularly,
and a verification times out."""

import asyncio
from collections.abc import Awaitable, Callable

import nats.errors

from shared.bus.client import Bus, pack
from shared.contract.auth import ListRevocations, Revocations
from shared.contract.edge import Notice, Notify
from shared.contract.errors import RequestError
from shared.contract.ids import NodeId
from shared.contract.subjects import AUTH_STATE, NOTIFY_ALL, notify
from shared.telemetry import log

_log = log(__name__)
_INTERVAL_SECONDS = 1.0
_AFTER_ALL = ListRevocations(2**63 - 1)
"""Lists no revocation."""


class NodeNotifier:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def notify_all(self, notice: Notice) -> None:
        await self._publish(NOTIFY_ALL, notice)

    async def notify_node(self, node: NodeId, notice: Notice) -> None:
        await self._publish(notify(node), notice)

    async def _publish(self, subject: str, notice: Notice) -> None:
        try:
            await self._bus.publish(subject, pack(Notify(notice)))
        except nats.errors.Error as error:
            _log.warning("notification not sent", notice=type(notice).__name__, error=repr(error))


async def announce_state(list_revocations: Callable[[ListRevocations], Awaitable[Revocations]], bus: Bus) -> None:
    """Each second the number of the last revocation, maintenance mode and the names of the keys, to all edges: one that
    knows another state requests it. Runs until it is cancelled."""
    while True:
        try:
            await bus.publish(AUTH_STATE, pack(await list_revocations(_AFTER_ALL)))
        except (RequestError, nats.errors.Error) as error:
            _log.debug("state not announced", error=repr(error))
        await asyncio.sleep(_INTERVAL_SECONDS)


_log = log(__name__)
