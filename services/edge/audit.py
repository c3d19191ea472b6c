"""Finds out how far the delivery of a message to each account of this node has come, from connections, chats and the
journal. The audit also counts lost messages. A lost message is committed, but no connection has it or waits for it.
There should be none.

The audit takes one local account after the other, and checks it in two ways. First, for each undelivered message of the
account, one of the account's connections must have the message or wait for it. Second, the audit watches each of the
account's connections for some seconds. In this time each connection must get every message that is committed, even if
another device has read the message, or the client itself marks it as read. A message that is missing in two comparisons
is lost: the log names the message, and the counter names the stage at which it was lost.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from services.edge.confirmations.read_state import ReadStateFlusher
from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.resync import Resync
from services.edge.journal import DeliveryRecord, MessageJournal
from services.edge.metrics import EdgeMetrics
from services.edge.presence.local_accounts import LocalAccount, LocalAccounts, Recipient
from services.edge.rpc.remote_clock import RemoteClock
from shared.bus.client import Bus
from shared.clock import now_ms
from shared.contract.audit import (
    LOST,
    Confirmation,
    DeliveryStage,
    LocalState,
    LocateMessage,
    MessageAtEdge,
    TracedMessages,
    TraceMessages,
)
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.message import ChatSync, Sync, SyncChat
from shared.contract.model import Message
from shared.telemetry import log

_COMMIT_MS = 10_000
"""Within this time after a client has confirmed a delivery, the delivery is committed, or the edge tries again to
commit it."""
_UNDER_WAY = (DeliveryStage.PUSHED, DeliveryStage.HELD, DeliveryStage.QUEUED, DeliveryStage.BACKLOG)
_log = log(__name__)
_WATCH_SECONDS = 10.0
_AGE_MS = 10_000
"""The audit skips messages that are younger than this, because the node notices and repairs a loss within seconds."""
_IDLE_SECONDS = 1.0
_EMPTY_SECONDS = 5.0
_PAUSE_SECONDS = 5.0
"""The pause before a message that is missing is looked up for the second time."""
_REQUEST_SECONDS = 5.0
_AT_ONCE = 200
"""The number of messages that are compared before the event loop gets a pause. Also the most new messages of one chat
that a watch compares."""
_NEWEST = 1_000
"""The most undelivered messages of a chat that are compared. Some clients mark messages as read themselves, and may
never do so for old ones."""
_REPORTED = 10_000
"""The number of lost messages that are remembered, so that each message is counted once."""

Place = tuple[ChatId, int]
"""The chat and the index of a message."""


@dataclass(frozen=True)
class MessageLocator:
    _node: NodeId
    _accounts: LocalAccounts
    _chats: LocalChats
    _resync: Resync
    _read_state: ReadStateFlusher
    _journal: MessageJournal

    def serve(self, bus: Bus) -> None:
        """Must be called before the bus client starts."""
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
                    [recipient.dialect.name for recipient in local.recipients],
                )
                for local in locals_
            ],
        )

    def stages_of(self, local: LocalAccount, messages: Iterable[Message]) -> Iterator[tuple[Message, DeliveryStage]]:
        """The stages of messages that are stored as undelivered to the account. One search of the journal covers all
        these messages."""
        confirmed = self._journal.confirmations_by(local.account)
        for message in messages:
            chat, index = message.chat, message.index
            times = [at for low, high, at in confirmed.get(chat, ()) if low <= index <= high]
            yield message, self._stage(local, chat, index, message.time, times)

    def _stage(
        self, local: LocalAccount, chat: ChatId, index: int, time: int, confirmed: Collection[int]
    ) -> DeliveryStage:
        """`time`: when the message was committed. `confirmed`: when the account's clients confirmed the message, in
        Unix milliseconds."""
        account = local.account
        if self._read_state.covers(account, chat, index):
            return DeliveryStage.CONFIRMED
        if confirmed:
            soon = self._read_state.is_waiting(account) or now_ms() - max(confirmed) < _COMMIT_MS
            return DeliveryStage.CONFIRMED if soon else DeliveryStage.NO_CONFIRMATION
        stages = [recipient.delivery_stage(chat, index, time) for recipient in local.recipients]
        for stage in _UNDER_WAY:
            if stage in stages:
                return stage
        excused = [stage for stage in stages if stage is not None]
        return excused[0] if len(excused) == len(stages) else self._missing(account, chat, index)

    def stage_at(self, recipient: Recipient, account: AccountId, message: Message) -> DeliveryStage:
        """The stage that a message has reached on its way to this connection, which has not received it."""
        chat, index = message.chat, message.index
        stage = recipient.delivery_stage(chat, index, message.time)
        if stage is None or stage is DeliveryStage.UNMARKED:
            return self._missing(account, chat, index)
        return stage

    def _missing(self, account: AccountId, chat: ChatId, index: int) -> DeliveryStage:
        """The stage that a message has reached that no connection has received."""
        sequencer = self._chats.sequencer(chat)
        if sequencer is None or account not in sequencer.members:
            return DeliveryStage.FETCHING if self._resync.compares(account) else DeliveryStage.NO_BATCH
        if sequencer.delivered(index):
            return DeliveryStage.NO_DELIVERY
        is_known = sequencer.head is None or index <= sequencer.known_head or self._resync.compares(account)
        return DeliveryStage.FETCHING if is_known else DeliveryStage.NO_BATCH


def _times(confirmations: Iterable[Confirmation], account: AccountId) -> list[int]:
    return [one.at for one in confirmations if one.account == account]


class DeliveryWatch:
    """Collects the messages that the account's connections get. A connection that is opened later is not watched. At
    the end of this context manager, all connections stop recording."""

    def __init__(self, local: LocalAccount) -> None:
        self._watched = [(recipient, DeliveryRecord()) for recipient in local.recipients]

    def __enter__(self) -> "DeliveryWatch":
        for recipient, record in self._watched:
            recipient.keep_record(record)
        return self

    def __exit__(self, *_: object) -> None:
        for recipient, record in self._watched:
            if recipient.record is record:
                recipient.keep_record(None)

    def lacking(self, chat: ChatId, index: int) -> list[Recipient]:
        """The connections that have not received this message, except connections whose login has ended."""
        return [
            recipient
            for recipient, record in self._watched
            if recipient.record is record and not record.contains(chat, index)
        ]


@dataclass
class DeliveryAuditor:
    _bus: Bus
    _accounts: LocalAccounts
    _locator: MessageLocator
    _clock: RemoteClock
    _metrics: EdgeMetrics
    _pause: Callable[[float], Awaitable[None]] = field(default_factory=lambda: asyncio.sleep, init=False)
    _audited: set[AccountId] = field(default_factory=set, init=False)
    """The accounts whose audit is under way."""
    _reported: dict[tuple[AccountId, ChatId, int], None] = field(default_factory=dict, init=False)

    async def run(self, accounts_per_second: float, interval_seconds: float) -> None:
        """Audit one account after the other until cancelled. Each account is audited at most once in the interval,
        because an audit costs 4 ms of CPU time, and each message to a watched connection costs more."""
        async with asyncio.TaskGroup() as group:
            while True:
                accounts = list(self._accounts.by_account)
                for account in accounts:
                    if account not in self._audited:
                        group.create_task(self._audit(account), name="audit")
                    await self._rest(1 / accounts_per_second, interval_seconds)
                await self._pause(_IDLE_SECONDS if accounts else _EMPTY_SECONDS)

    async def _rest(self, least_seconds: float, interval_seconds: float) -> None:
        """Pause between two accounts. The pause becomes shorter when further accounts come."""
        rested = 0.0
        while (left := max(least_seconds, interval_seconds / max(len(self._accounts.by_account), 1)) - rested) > 0:
            await self._pause(step := min(left, _EMPTY_SECONDS))
            rested += step

    async def _audit(self, account: AccountId) -> None:
        local = self._accounts.get(account)
        if local is None:
            return
        self._audited.add(account)
        try:
            with DeliveryWatch(local) as watch:
                await self._compare(local, watch)
        except RequestError:
            return  # the next audit of the account compares it again
        finally:
            self._audited.discard(account)

    async def _compare(self, local: LocalAccount, watch: DeliveryWatch) -> None:
        """Raises RequestError."""
        suspects, heads = await self._unread(local)
        await self._pause(_WATCH_SECONDS)
        posted = await self._posted(local, heads)
        await self._pause(_AGE_MS / 1000)
        suspects |= self._undelivered(local, watch, posted)
        self._metrics.audits.inc()
        if not suspects:
            return
        await self._pause(_PAUSE_SECONDS)
        unread, _ = await self._unread(local)
        for place, stage in (unread | self._undelivered(local, watch, posted)).items():
            if place in suspects:
                self._report(local.account, *place, stage)

    async def _unread(self, local: LocalAccount) -> tuple[dict[Place, DeliveryStage], dict[ChatId, int]]:
        """The account's undelivered messages that no connection here has or waits for, and the last index of each chat.
        Raises RequestError."""
        losses: dict[Place, DeliveryStage] = {}
        heads: dict[ChatId, int] = {}
        oldest = self._clock.earliest() * 1000 - _AGE_MS
        async for page in self._pages(Sync(local.account, newest=_NEWEST)):
            messages = [one for entry in page for one in entry.messages if one.time < oldest]
            for start in range(0, len(messages), _AT_ONCE):
                if self._accounts.get(local.account) is not local:
                    return {}, {}
                for message, stage in self._locator.stages_of(local, messages[start : start + _AT_ONCE]):
                    if stage in LOST:
                        losses[message.chat, message.index] = stage
                await asyncio.sleep(0)
            heads |= {entry.chat: entry.head for entry in page}
        return losses, heads

    async def _posted(self, local: LocalAccount, heads: Mapping[ChatId, int]) -> list[Message]:
        """The messages that were posted after these indexes and that the account may see, at most 200 of each chat.
        Raises RequestError."""
        account, posted = local.account, list[Message]()
        async for page in self._pages(Sync(account, bare=True)):
            for chat, head in ((entry.chat, entry.head) for entry in page):
                if head > heads.get(chat, head):
                    request = SyncChat(chat, [account], heads[chat], limit=_AT_ONCE)
                    reply = await self._bus.send(request, seconds=_REQUEST_SECONDS)
                    first = reply.first_index.get(account)
                    posted += [message for message in reply.messages if first is not None and message.index >= first]
        return posted

    async def _pages(self, request: Sync) -> AsyncIterator[list[ChatSync]]:
        """The pages with all chats of the account. Raises RequestError."""
        more = True
        while more:
            reply = await self._bus.send(request, seconds=_REQUEST_SECONDS)
            yield reply.chats
            request, more = replace(request, after=reply.last_chat), reply.more

    def _undelivered(
        self, local: LocalAccount, watch: DeliveryWatch, posted: Collection[Message]
    ) -> dict[Place, DeliveryStage]:
        """The messages that a watched connection lacks and does not wait for."""
        losses: dict[Place, DeliveryStage] = {}
        for message in posted:
            for recipient in watch.lacking(message.chat, message.index):
                stage = self._locator.stage_at(recipient, local.account, message)
                if stage in LOST:
                    losses[message.chat, message.index] = stage
        return losses

    def _report(self, account: AccountId, chat: ChatId, index: int, stage: DeliveryStage) -> None:
        key = account, chat, index
        if key in self._reported:
            return
        self._reported[key] = None
        if len(self._reported) > _REPORTED:
            del self._reported[next(iter(self._reported))]
        self._metrics.lost[stage].inc()
        _log.error("message lost", account=account, chat=chat, index=index, stage=stage.value)
