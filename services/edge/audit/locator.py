"""Where one message is on this node, for each account: read from connections, chats and the journal, never guessed."""

from collections.abc import Collection, Iterable, Iterator

from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.resync import Resync
from services.edge.journal import MessageJournal
from services.edge.presence.local_accounts import LocalAccount, LocalAccounts, Recipient
from services.edge.receipts.read_state import ReadStateFlusher
from shared.bus.client import Bus
from shared.clock import now_ms
from shared.contract.audit import (
    Confirmation,
    DeliveryStage,
    LocalState,
    LocateMessage,
    MessageAtEdge,
    TracedMessages,
    TraceMessages,
)
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import Message

_COMMIT_MS = 10_000
"""Deliveries are committed this soon after its confirmation, or a retry is due."""
_UNDER_WAY = (DeliveryStage.PUSHED, DeliveryStage.HELD, DeliveryStage.QUEUED, DeliveryStage.BACKLOG)


class MessageLocator:
    def __init__(
        self,
        node: NodeId,
        accounts: LocalAccounts,
        chats: LocalChats,
        resync: Resync,
        read_state: ReadStateFlusher,
        journal: MessageJournal,
    ) -> None:
        self._node = node
        self._accounts = accounts
        self._chats = chats
        self._resync = resync
        self._read_state = read_state
        self._journal = journal

    def serve(self, bus: Bus) -> None:
        """To be called before the bus starts."""
        bus.serve(LocateMessage.route, self._locate)
        bus.serve(TraceMessages.route, self._trace)

    async def _trace(self, request: TraceMessages) -> TracedMessages:
        return TracedMessages(self._node, self._journal.nonces_of(request.trace))

    async def _locate(self, request: LocateMessage) -> MessageAtEdge:
        journal, chat, index = self._journal, request.chat, request.index
        locals_ = [local for account in request.accounts if (local := self._accounts.get(account)) is not None]
        confirmations = journal.confirmations_of(chat, index)
        return MessageAtEdge(
            node=self._node,
            remembers_from=journal.remembers_from,
            traces=journal.traces_of(request.nonce),
            acceptance=journal.acceptance_of(chat, index),
            arrivals=journal.arrivals_of(chat, index),
            confirmations=confirmations,
            accounts=[
                LocalState(
                    local.account,
                    self._stage(local, chat, index, request.time, _times(confirmations, local.account)),
                    [recipient.dialect_name for recipient in local.recipients],
                )
                for local in locals_
            ],
        )

    def stages_of(self, local: LocalAccount, messages: Iterable[Message]) -> Iterator[tuple[Message, DeliveryStage]]:
        """Of messages that are stored as undelivered to the account. The journal is searched once for all of them."""
        confirmed = self._journal.confirmations_by(local.account)
        for message in messages:
            chat, index = message.chat, message.index
            times = [at for low, high, at in confirmed.get(chat, ()) if low <= index <= high]
            yield message, self._stage(local, chat, index, message.time, times)

    def _stage(
        self, local: LocalAccount, chat: ChatId, index: int, time: int, confirmed: Collection[int]
    ) -> DeliveryStage:
        """`time`: of its commit. `confirmed`: when its clients had it, Unix milliseconds."""
        account = local.account
        if self._read_state.covers(account, chat, index):
            return DeliveryStage.CONFIRMED
        if confirmed:
            soon = self._read_state.is_waiting(account) or now_ms() - max(confirmed) < _COMMIT_MS
            return DeliveryStage.CONFIRMED if soon else DeliveryStage.NO_RECEIPT
        stages = [recipient.delivery_stage(chat, index, time) for recipient in local.recipients]
        for stage in _UNDER_WAY:
            if stage in stages:
                return stage
        excused = [stage for stage in stages if stage is not None]
        return excused[0] if len(excused) == len(stages) else self._missing(account, chat, index)

    def stage_at(self, recipient: Recipient, account: AccountId, message: Message) -> DeliveryStage:
        """Of a message that this connection of the account has not got."""
        chat, index = message.chat, message.index
        stage = recipient.delivery_stage(chat, index, message.time)
        if stage is None or stage is DeliveryStage.UNMARKED:
            return self._missing(account, chat, index)
        return stage

    def _missing(self, account: AccountId, chat: ChatId, index: int) -> DeliveryStage:
        """No connection has the message."""
        sequencer = self._chats.sequencer(chat)
        if sequencer is None or account not in sequencer.members:
            return DeliveryStage.FETCHING if self._resync.compares(account) else DeliveryStage.NO_ENVELOPE
        if sequencer.delivered(index):
            return DeliveryStage.NO_DELIVERY
        is_known = sequencer.head is None or index <= sequencer.known_head or self._resync.compares(account)
        return DeliveryStage.FETCHING if is_known else DeliveryStage.NO_ENVELOPE


def _times(confirmations: Iterable[Confirmation], account: AccountId) -> list[int]:
    return [one.at for one in confirmations if one.account == account]
