"""Collects the messages that local accounts have received and read, and commits this read state to the message service
in batches. After its last connection has ended, an account stays in presence until its read state is committed."""

import asyncio
import contextlib
import math
import sys
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from typing import Any

from redis.exceptions import RedisError

from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.bus.failures import NoResponders
from shared.contract import subjects
from shared.contract.edge import FlushReadState, ReadStateFlushed
from shared.contract.ephemeral import ReadPlace
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_DEVICE, AccountId, ChatId, DeviceId, NodeId
from shared.contract.message import DevicePosition, MarkRead, ReadRange
from shared.tasks import operation
from shared.telemetry import log

Ranges = dict[ChatId, list[tuple[int, int]]]

_log = log(__name__)
_BATCH_SECONDS = 0.4
_POSTED_SECONDS = 3.5
"""The read state of posted messages is committed only after this time. Meanwhile the client confirms the messages of
others between its own posts, and the sum is one range. By default, clients confirm messages every 3 s."""
_LEAVE_SECONDS = 0.1
"""The pause between two searches for departed accounts. A departed account may log in on another node, and that login
waits for the read state of this node."""
_PRESENCE_LOST_SECONDS = 0.5
"""After presence data was lost, a login waits this long. Meanwhile the other nodes commit the read state of departed
accounts without a request."""
_BATCH_RANGES = 4_000
_COMMIT_SECONDS = 4.0
_ATTEMPT_SECONDS = 2.0
_PAUSE_SECONDS = 0.2
_MARKING_SECONDS = 2.0
"""A login waits this long for messages that are just being marked as delivered."""
_ABSENT_SECONDS = 0.25
"""After a node has not responded, it gets no request for this time. When a node dies, thousands of its accounts may log
in here, and each login would request the dead node."""


class ReadBuffer:
    """Collects the messages that local accounts have received, read and posted, until this read state is committed."""

    def __init__(self) -> None:
        self._ranges: dict[AccountId, Ranges] = {}
        self._posted_since: dict[AccountId, float] = {}
        """When each account posted its first message that is not committed as delivered, in seconds."""
        self._confirmed: set[AccountId] = set()
        """The accounts that have received or read something, and not only posted."""
        self._reads: dict[tuple[AccountId, ChatId], tuple[int, int]] = {}
        """The index up to which an account has read (by `read`, or by a message of its own), and the connection that
        has read."""
        self._positions: dict[AccountId, dict[tuple[DeviceId, ChatId], int]] = {}
        """The index up to which each device of an account has received the messages of a chat. What a device has
        received is in `_ranges`, too."""

    def __contains__(self, account: AccountId) -> bool:
        return account in self._ranges

    def __len__(self) -> int:
        return len(self._ranges)

    @property
    def accounts(self) -> frozenset[AccountId]:
        return frozenset(self._ranges)

    def covers(self, account: AccountId, chat: ChatId, index: int) -> bool:
        """Whether this message is noted here as delivered to the account."""
        return any(low <= index <= high for low, high in self._ranges.get(account, {}).get(chat, ()))

    def first_undelivered(
        self, account: AccountId, chat: ChatId, stored: int, end: int, device: DeviceId = NO_DEVICE
    ) -> int:
        """The first undelivered index of the account or of its device, at most `end`. `stored`: the first undelivered
        index without this buffer."""
        if device:
            return min(max(stored, self._positions.get(account, {}).get((device, chat), 0) + 1), end)
        first = stored
        for low, high in merge_spans(self._ranges.get(account, {}).get(chat, [])):
            if low <= first <= high:
                first = high + 1
        return min(first, end)

    def add(self, account: AccountId, confirmed: Ranges, device: DeviceId = NO_DEVICE) -> None:
        """Note that these messages have arrived at the account. A device gets the messages of a chat in order, so all
        earlier ones have arrived at it."""
        if not confirmed:
            return
        chats = self._ranges.setdefault(account, {})
        for chat, ranges in confirmed.items():
            chats.setdefault(chat, []).extend(ranges)
            if device:
                self._move(DevicePosition(account, device, chat, max(high for _, high in ranges)))
        self._confirmed.add(account)

    def _move(self, position: DevicePosition) -> None:
        positions = self._positions.setdefault(position.account, {})
        place = position.device, position.chat
        positions[place] = max(position.index, positions.get(place, 0))

    def add_read(self, place: ReadPlace) -> None:
        """Note that the account has read all messages of the chat up to this index. So these messages have also
        arrived."""
        self.add(place.account, {place.chat: [(1, place.index)]})
        self._read_up_to((place.account, place.chat), (place.index, place.connection))

    def add_posted(
        self, account: AccountId, chat: ChatId, indexes: Sequence[int], now: float, connection: int = 0
    ) -> None:
        """Note posted messages, at least one index. The indexes of one batch are mostly consecutive, but a repeated
        message has an earlier index. An account that posts has read all earlier messages of the chat. These messages
        still may not have arrived at each of its clients."""
        # `setdefault` would make empty mappings and lists for each message
        if account not in self._posted_since:
            self._posted_since[account] = now
        chats = self._ranges.get(account)
        if chats is None:
            chats = self._ranges[account] = {}
        low = high = last = indexes[0]
        for index in indexes[1:]:
            if index != high + 1:
                add_span(chats, chat, low, high)
                low = index
            high = index
            last = max(last, index)
        add_span(chats, chat, low, high)
        self._read_up_to((account, chat), (last, connection))

    def _read_up_to(self, key: tuple[AccountId, ChatId], read: tuple[int, int]) -> None:
        known = self._reads.get(key)
        if known is None or known[0] <= read[0]:
            self._reads[key] = read

    def take(self, posted_until: float, accounts: Collection[AccountId] = ()) -> "ReadBuffer":
        """Move the ranges of these accounts to another buffer. Accounts that have received or read something, or have
        posted before `posted_until`, are also moved. An account's received and posted messages are moved together: if
        the account receives and posts in turn, each kind alone would be many ranges."""
        posted = [account for account, since in self._posted_since.items() if since <= posted_until]
        taken = ReadBuffer()
        confirmed, self._confirmed = self._confirmed, set()
        for account in {*accounts, *posted, *confirmed}:
            if (chats := self._ranges.pop(account, None)) is not None:
                taken._ranges[account] = chats
                self._posted_since.pop(account, None)
                if (positions := self._positions.pop(account, None)) is not None:
                    taken._positions[account] = positions
                for chat in chats:
                    if (read := self._reads.pop((account, chat), None)) is not None:
                        taken._reads[account, chat] = read
        return taken

    def reads_of(self, ranges: Iterable[ReadRange]) -> list[ReadPlace]:
        """Return the read positions that belong to these ranges, even if the ranges have been removed from the
        buffer."""
        reads = ((one, self._reads.get((one.account, one.chat))) for one in ranges if one.read)
        return [ReadPlace(one.account, one.chat, *read) for one, read in reads if read is not None]

    def pop_batch(self, limit: int) -> MarkRead:
        """Remove and return about `limit` ranges. The ranges of one account and its devices stay together. Only the
        first range of each chat has the chat's read index."""
        batch: list[ReadRange] = []
        positions: list[DevicePosition] = []
        while self._ranges and len(batch) < limit:
            account, chats = self._ranges.popitem()
            for chat, spans in chats.items():
                read, _ = self._reads.get((account, chat), (0, 0))
                for low, high in merge_spans(spans):
                    batch.append(ReadRange(account, chat, low, high, read))
                    read = 0
            for (device, chat), index in self._positions.pop(account, {}).items():
                positions.append(DevicePosition(account, device, chat, index))
        return MarkRead(batch, positions)

    def put_back(self, batch: MarkRead, taken: "ReadBuffer") -> None:
        """Put ranges that could not be committed back into this buffer, with the read positions from `taken`."""
        for one in batch.ranges:
            self.add(one.account, {one.chat: [(one.low, one.high)]})
        for position in batch.positions:
            self._move(position)
        for place in taken.reads_of(batch.ranges):
            self._read_up_to((place.account, place.chat), (place.index, place.connection))


class ReadStateFlusher:
    def __init__(self, bus: Bus, node: NodeId, accounts: LocalAccounts) -> None:
        self._bus = bus
        self._node = node
        self._accounts = accounts
        self.on_committed: Callable[[Sequence[ReadPlace]], None] = lambda _: None
        """Called with all read positions that are committed."""
        self._buffer = ReadBuffer()
        self._work = asyncio.Event()
        """Set when something is added to the buffer, and when an account departs."""
        accounts.on_departed = self._work.set
        self._committing: frozenset[AccountId] = frozenset()
        self._awaited: dict[AccountId, set[asyncio.Task[None]]] = {}
        """The tasks that mark something as delivered when they end."""
        self._storing = asyncio.Lock()
        """Held while the buffer is committed."""
        self._flushing = asyncio.Lock()
        """Held while departed accounts leave presence. Without Redis, the flush takes long and fails."""
        self._absent: dict[NodeId, float] = {}
        """The nodes without responders, and until when they get no request."""

    def serve(self) -> None:
        """Must be called before the bus client starts."""
        self._bus.serve(subjects.flush(self._node), self._serve_flush)

    async def run(self) -> None:
        """Commits in batches until cancelled, and waits while there is no work."""
        due = _now()
        while True:
            await self._work.wait()
            self._work.clear()
            while self._buffer or self._accounts.awaiting_leave():
                await asyncio.sleep(_LEAVE_SECONDS)
                if self._accounts.awaiting_leave() or (self._buffer and due <= _now()):
                    await self._flush(_now() - _POSTED_SECONDS)
                    due = _now() + _BATCH_SECONDS

    def mark_delivered(self, account: AccountId, ranges: Ranges, device: DeviceId = NO_DEVICE) -> None:
        """Note that these messages have arrived at the account, on this device."""
        self._buffer.add(account, ranges, device)
        self._work.set()

    def mark_read(self, place: ReadPlace) -> None:
        """Note that the account has read everything up to this place. A message that is read counts as delivered,
        too."""
        self._buffer.add_read(place)
        self._work.set()

    def mark_posted(self, account: AccountId, chat: ChatId, indexes: Sequence[int], connection: int) -> None:
        """Note that the account has posted these messages, and so has read everything before them."""
        self._buffer.add_posted(account, chat, indexes, _now(), connection)
        self._work.set()

    def wait_for(self, account: AccountId, marking: "asyncio.Task[None]") -> None:
        """Delay the account's next login until this task has ended, because the task then marks something as
        delivered."""
        tasks = self._awaited.setdefault(account, set())
        tasks.add(marking)

        def done(task: "asyncio.Task[None]") -> None:
            tasks.discard(task)
            if not tasks:
                self._awaited.pop(account, None)

        marking.add_done_callback(done)

    def covers(self, account: AccountId, chat: ChatId, index: int) -> bool:
        """Whether this message will be committed as delivered."""
        return self._buffer.covers(account, chat, index)

    def first_undelivered(
        self, account: AccountId, chat: ChatId, stored: int, end: int, device: DeviceId = NO_DEVICE
    ) -> int:
        """The first undelivered index of the account or of its device, at most `end`. `stored`: the first undelivered
        index without the uncommitted state."""
        return self._buffer.first_undelivered(account, chat, stored, end, device)

    def is_waiting(self, account: AccountId) -> bool:
        """Whether read state of the account waits to be committed, or is just being committed."""
        return account in self._buffer or account in self._committing

    async def flush(self) -> bool:
        """Commit the whole buffer, then leave presence for departed accounts. Returns whether both worked."""
        return await self._flush(math.inf)

    async def _flush(self, posted_until: float) -> bool:
        """Flush all accounts, except accounts that have only posted messages, and have done so only after
        `posted_until`."""
        async with self._flushing:
            departed = self._accounts.awaiting_leave()
            if not await self._commit(posted_until, departed):
                return False
            try:
                # an account may have come and departed again during the commit
                await self._accounts.leave([account for account in departed if not self.is_waiting(account)])
            except RedisError as error:
                _log.warning("accounts were not removed from presence: will be retried", error=repr(error))
                return False
            return True

    async def flush_within(self, seconds: float) -> None:
        """Flush, and repeat a failing flush for this number of seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not await self.flush():  # noqa: ASYNC110
                    await asyncio.sleep(_PAUSE_SECONDS)

    async def _commit(self, posted_until: float, accounts: Collection[AccountId]) -> bool:
        """Commit the ranges that `ReadBuffer.take` selects. Returns whether that worked."""
        async with self._storing:
            return await self._commit_buffer(self._buffer.take(posted_until, accounts))

    async def _commit_buffer(self, waiting: ReadBuffer) -> bool:
        """Commit the ranges of `waiting`. Ranges that are confirmed meanwhile wait for the next flush. Ranges whose
        commit is not answered are put back into the buffer, even when the flush is cancelled. If a batch is rejected,
        smaller batches find the account, whose ranges are also put back, and the others are committed."""
        self._committing = waiting.accounts
        batch, size = MarkRead([]), _BATCH_RANGES
        try:
            while (batch := waiting.pop_batch(size)).ranges:
                try:
                    await self._bus.send(batch, seconds=_COMMIT_SECONDS, retry=True)
                except RequestError as error:
                    if error.failure.code is ErrorCode.UNAVAILABLE:
                        raise
                    is_sole = len({one.account for one in batch.ranges}) == 1
                    (self._buffer if is_sole else waiting).put_back(batch, waiting)
                    size = _BATCH_RANGES if is_sole else max(1, size // 2)
                    _log.error("read state was rejected", ranges=len(batch.ranges), error=str(error))
                    continue
                if reads := waiting.reads_of(batch.ranges):
                    self.on_committed(reads)
            return True
        except RequestError as error:
            _log.warning("read state was not committed: will be retried", error=str(error))
            return False
        finally:
            for left in (batch, waiting.pop_batch(sys.maxsize)):
                self._buffer.put_back(left, waiting)
            self._work.set()
            self._committing = frozenset()

    # An account's delivery confirmations are committed before its missed messages are requested.

    async def flush_account(self, account: AccountId, others: Collection[NodeId]) -> None:
        """Commit the read state of the account's connections here and on other nodes, however long that takes. While
        the message service cannot commit, it cannot return unread messages either. The flush does not wait until other
        accounts have left presence. Nodes that are missing from presence commit their state themselves."""
        if self._accounts.presence_unknown:
            await asyncio.sleep(_PRESENCE_LOST_SECONDS)
        with operation(math.inf):
            await _run_all([self._flush_here(account), *(self._flush_there(account, node) for node in others)])

    async def _flush_here(self, account: AccountId) -> None:
        local = self._accounts.get(account)
        if awaited := self._awaited.get(account):
            await asyncio.wait(awaited, timeout=_MARKING_SECONDS)
        await _run_all([recipient.confirm_all() for recipient in (local.recipients if local else ())])
        while self.is_waiting(account):
            if await self._commit(_now() - _POSTED_SECONDS, [account]):
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _flush_there(self, account: AccountId, node: NodeId) -> None:
        """Repeat the request until the node replies or has no responders. A frozen node loses its subscriptions within
        seconds."""
        while self._absent.get(node, 0.0) < _now():
            try:
                await self._bus.request(
                    subjects.flush(node), FlushReadState(account), seconds=_ATTEMPT_SECONDS, wait_for_service=False
                )
                return
            except NoResponders:
                self._absent = {other: until for other, until in self._absent.items() if until > _now()}
                self._absent[node] = _now() + _ABSENT_SECONDS
                return
            except RequestError as error:
                _log.info("another node has not committed the read state yet", other=node, error=str(error))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _serve_flush(self, request: FlushReadState) -> ReadStateFlushed:
        await self._flush_here(request.account)
        return ReadStateFlushed(self._node, self._accounts.get(request.account) is not None)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _run_all(steps: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run the steps concurrently. A single step, the usual case, needs no task."""
    if len(steps) == 1:
        await steps[0]
    else:
        await asyncio.gather(*steps)


def add_span(ranges: Ranges, chat: ChatId, low: int, high: int) -> None:
    spans = ranges.get(chat)
    if spans is None:
        ranges[chat] = [(low, high)]
    elif spans and spans[-1][1] + 1 == low:
        spans[-1] = spans[-1][0], high
    else:
        spans.append((low, high))


def merge_spans(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge the spans into as few ranges as possible, sorted."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
