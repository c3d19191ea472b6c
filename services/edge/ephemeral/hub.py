"""Wires what is shown at once or never, and receives the signals of all edges."""

from collections.abc import Callable
from typing import assert_never

import nats.errors

from services.edge.delivery.local_chats import LocalChats
from services.edge.ephemeral import signals
from services.edge.ephemeral.own_states import OwnStates
from services.edge.ephemeral.presence_watch import PresenceWatch
from services.edge.ephemeral.read_notices import ReadDisplay, ReadNotices
from services.edge.ephemeral.receipt_display import KnownReceipts, ReceiptDisplay
from services.edge.ephemeral.signals import MuteNotices
from services.edge.ephemeral.typing_notices import KnownBlocks, TypingNotices
from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.clock import now_ms
from shared.contract.ephemeral import BlocksChanged, ChatMuted, ReadsAnnounced, ReadsWanted, Signal, Typing
from shared.contract.ids import AccountId, NodeId
from shared.presence.store import Presence
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)


class EphemeralHub:
    def __init__(
        self,
        bus: Bus,
        presence: Presence,
        accounts: LocalAccounts,
        chats: LocalChats,
        tasks: Tasks,
        clock: Callable[[], float],
        node: NodeId,
    ) -> None:
        self._publish = signals.publisher(bus)
        self._blocked = KnownBlocks(bus, clock)
        self.typing = TypingNotices(self._publish, accounts, chats, self._blocked, tasks, clock)
        self.mutes = MuteNotices(self._publish, node, accounts)
        self.reads = ReadNotices(self._publish, node, accounts, tasks, clock)
        self._read_display = ReadDisplay(bus, node, accounts, tasks)
        self._known_receipts = KnownReceipts(bus, clock)
        self.receipts = ReceiptDisplay(bus, accounts, chats, tasks, self._known_receipts)
        self.states = OwnStates(presence, node, accounts, now_ms)
        self.watching = PresenceWatch(bus, presence, accounts, self.states, clock)
        signals.subscribe(bus, self._receive)

    async def close(self) -> None:
        await self._blocked.close()

    async def blocks_changed(self, account: AccountId) -> None:
        """An account here blocks this one from now on, or does not any more."""
        try:
            await self._publish(BlocksChanged(account))
        except nats.errors.Error as error:
            _log.warning("block not announced, edges notice it later", error=repr(error))

    def _receive(self, signal: Signal) -> None:
        match signal:
            case Typing():
                self.typing.show(signal)
            case ChatMuted():
                self.mutes.show(signal)
            case ReadsAnnounced():
                self._read_display.receive(signal)
                self.receipts.receive(signal)
            case ReadsWanted():
                self.reads.wanted(signal)
            case BlocksChanged(account):
                self._blocked.forget()
                self._known_receipts.forget()
                self.watching.check_again(account)
            case _:
                assert_never(signal)
