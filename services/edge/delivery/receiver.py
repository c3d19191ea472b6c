"""Receives delivery batches and heartbeats from the message service. Passes messages to their chats, and starts a
resync after a loss."""

import asyncio
from typing import Final

import msgspec

from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.ordering import BROADCAST, LossDetector, group_runs
from services.edge.delivery.resync import Resync
from services.edge.journal import MessageJournal
from services.edge.upstream.attempt import Leaders
from shared.bus.client import Bus
from shared.clock import steady_ms, until_next
from shared.contract import subjects
from shared.contract.edge import ChangeDelivery, DeliveryBatch, Heartbeat
from shared.contract.ids import NodeId
from shared.telemetry import log

_log = log(__name__)
_TICK_SECONDS = 1.0
_HEARTBEAT_MS = 1000.0
"""The longest time that a heartbeat takes to arrive, because the next heartbeat is sent after this time."""

_decode_batch: Final = msgspec.msgpack.Decoder(DeliveryBatch).decode
_decode_heartbeat = msgspec.msgpack.Decoder(Heartbeat).decode


class DeliveryReceiver:
    def __init__(
        self, node: NodeId, chats: LocalChats, resync: Resync, leaders: Leaders, journal: MessageJournal
    ) -> None:
        self._node = node
        self._leaders = leaders
        self._chats = chats
        self._resync = resync
        self._journal = journal
        self._losses = LossDetector(_now())

    def subscribe(self, bus: Bus) -> None:
        """Must be called before the bus client starts."""
        bus.subscribe(subjects.deliver(self._node), lambda data: self.receive_batch(data, self._node))
        bus.subscribe(subjects.BROADCAST, lambda data: self.receive_batch(data, BROADCAST))
        bus.subscribe(subjects.HEARTBEAT, self.receive_heartbeat)
        bus.notify_connection_lost(self._resync.mark_stale)

    def receive_batch(self, data: bytes, subject: str) -> None:
        batch = _decode_batch(data)
        if self._losses.batch(batch.replica, batch.epoch, subject, batch.counter, _now()):
            self._resync.mark_stale("a delivery batch was lost")
        for run in group_runs(batch.deliveries):
            first, last = run[0].message, run[-1].message
            self._journal.arrived(batch.replica, batch.counter, first.chat, first.index, last.index)
            try:
                self._chats.receive(run)
            except Exception:
                _log.exception("messages not delivered", chat=first.chat, index=first.index, messages=len(run))
                self._resync.mark_stale("a delivery failed")

        for change in batch.changes:
            self._notify_changed(change)

    def _notify_changed(self, delivery: ChangeDelivery) -> None:
        """Push the change. A client that misses this event gets the change together with the chat's next change, or at
        its next sync."""
        node, number = delivery.origin or ("", 0)
        try:
            self._chats.notify_changed(delivery, number if node == self._node else None)
        except Exception:
            _log.exception("change not delivered", chat=delivery.change.chat, rev=delivery.change.rev)

    def receive_heartbeat(self, data: bytes) -> None:
        heartbeat = _decode_heartbeat(data)
        if self._losses.heartbeat(heartbeat, _now()):
            self._resync.mark_stale("a delivery batch was lost")
        self._leaders.heartbeat(heartbeat, _now())
        now = steady_ms()
        self._chats.message_clock.observe(heartbeat.now, now - _HEARTBEAT_MS, now)

    async def run(self) -> None:
        """Detect losses that are not visible in a delivery batch."""
        while True:
            await asyncio.sleep(until_next(_TICK_SECONDS))
            self.on_timer(_now())

    def on_timer(self, now: float) -> None:
        """Called once a second."""
        for loss in self._losses.on_timer(now):
            self._resync.mark_stale(loss)


def _now() -> float:
    return asyncio.get_running_loop().time()
