"""Receives delivery batches and heartbeats from the message service. Passes messages to their chats, and starts a
resync after a loss."""

import asyncio
from typing import Final

import msgspec

from services.edge.delivery.broadcast_pause import BroadcastPause
from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.ordering import BROADCAST, LossDetector, group_runs
from services.edge.delivery.resync import Resync
from services.edge.journal import MessageJournal
from services.edge.upstream.attempt import Leaders
from shared.bus.client import Bus
from shared.clock import steady_ms
from shared.contract import subjects
from shared.contract.edge import ChangeDelivery, DeliveryBatch, Heartbeat
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.telemetry import log

_log = log(__name__)
_TICK_SECONDS = 1.0
_HEARTBEAT_MS = 1000.0
"""The longest time that a heartbeat takes to arrive, because the next heartbeat is sent after this time."""

_REMEMBERED_CHANGES = 4_096

_decode_batch: Final = msgspec.msgpack.Decoder(DeliveryBatch).decode
_decode_heartbeat = msgspec.msgpack.Decoder(Heartbeat).decode


class DeliveryReceiver:
    def __init__(
        self,
        node: NodeId,
        chats: LocalChats,
        resync: Resync,
        leaders: Leaders,
        journal: MessageJournal,
        pause: BroadcastPause,
    ) -> None:
        self._node = node
        self._leaders = leaders
        self._chats = chats
        self._resync = resync
        self._journal = journal
        self._pause = pause
        self._changes: dict[tuple[ChatId, int], set[AccountId | None]] = {}
        """The accounts that the last changes were pushed to, by chat and `rev`. The same change may arrive in a
        broadcast and in a delivery batch."""
        self._losses = LossDetector(node, _now())

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
        if (delivery := self._without_notified(delivery)).recipients == []:
            return
        try:
            self._chats.notify_changed(delivery, number if node == self._node else None)
        except Exception:
            _log.exception("change not delivered", chat=delivery.change.chat, rev=delivery.change.rev)

    def _without_notified(self, delivery: ChangeDelivery) -> ChangeDelivery:
        """The delivery of a change, without the recipients that an earlier copy of this delivery has reached."""
        key = delivery.change.chat, delivery.change.rev
        notified = self._changes.setdefault(key, set())
        if len(self._changes) > _REMEMBERED_CHANGES:
            del self._changes[next(iter(self._changes))]
        if delivery.recipients is None and None not in notified:
            notified.add(None)
            return delivery
        left = [] if None in notified else [one for one in delivery.recipients or () if one not in notified]
        notified.update(left)
        return msgspec.structs.replace(delivery, recipients=left)

    def receive_heartbeat(self, data: bytes) -> None:
        heartbeat = _decode_heartbeat(data)
        if self._losses.heartbeat(heartbeat, _now()):
            self._resync.mark_stale("a delivery batch was lost")
        self._leaders.heartbeat(heartbeat, _now())
        self._pause.receive(heartbeat, _now())
        now = steady_ms()
        self._chats.message_clock.observe(heartbeat.now, now - _HEARTBEAT_MS, now)

    async def run(self) -> None:
        """Detect losses that are not visible in a delivery batch."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.on_timer(_now())

    def on_timer(self, now: float) -> None:
        """Called once a second."""
        for loss in self._losses.on_timer(now):
            self._resync.mark_stale(loss)


def _now() -> float:
    return asyncio.get_running_loop().time()
