"""Notifies edges over the bus, at most once. Edges recover from a lost notification: they list revocations regularly,
and a verification times out."""

import nats.errors

from shared.bus.client import Bus, pack
from shared.contract.edge import Notice, Notify
from shared.contract.ids import NodeId
from shared.contract.subjects import NOTIFY_ALL, notify
from shared.telemetry import log

_log = log(__name__)


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
